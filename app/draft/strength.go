package draft

import (
	"crypto/rand"
	"math"
	"strings"
	"unicode"
	"unicode/utf8"
)

// WeakBits is where a pre-shared key stops being weak. Who answers as the
// gateway once can try guesses at leisure, on as many machines as he likes
// (RFC 7296, section 2.15): 64 bits withstand ten thousand million guesses a
// second for some decades.
const WeakBits = 64

// A Grade is the strength of a secret in a word.
type Grade int

// The grades, by how long a search takes that tries ten thousand million
// guesses a second.
const (
	Empty   Grade = iota
	Seconds       // found within seconds or minutes
	Days          // within hours or days
	Years         // within months or years: too little for what is kept longer
	Good
	Strong
)

// A Flaw is what makes a secret easier to guess than its length promises.
type Flaw string

// The flaws.
const (
	FlawShort    Flaw = "short"
	FlawCommon   Flaw = "common"   // it holds words that everyone tries first
	FlawWords    Flaw = "words"    // it reads like language
	FlawRepeats  Flaw = "repeats"  // "aaaa", "abcabc"
	FlawSequence Flaw = "sequence" // "12345", "qwertz"
)

// A Strength estimates how hard a secret is to guess.
type Strength struct {
	Bits  float64
	Grade Grade
	Flaw  Flaw // the worst; none in a secret that is not weak
}

// Weak reports whether the secret needs a reason to be used.
func (s Strength) Weak() bool { return s.Bits < WeakBits }

// Generate returns a secret of 130 random bits that can be read out on a
// telephone: groups of capital letters and digits.
func Generate() string {
	s := rand.Text()
	var b strings.Builder
	for i, c := range s {
		if i > 0 && i%5 == 0 && i < 25 {
			b.WriteByte('-')
		}
		b.WriteRune(c)
	}
	return b.String()
}

// Measure estimates a secret: the cheapest way of putting it together from
// what guessers try first and from single characters. It errs to the low side
// for language, and cannot know what others know about the user.
func Measure(secret string) Strength {
	if secret == "" {
		return Strength{}
	}
	if len(secret) > 256 {
		secret = strings.ToValidUTF8(secret[:256], "") // enough to judge by
	}
	runes := []rune(secret)
	each := math.Log2(alphabet(runes))
	// best[i] is the cost of the first i characters, from[i] its last step.
	best := make([]float64, len(runes)+1)
	how := make([]step, len(runes)+1)
	for i := 1; i <= len(runes); i++ {
		best[i], how[i] = best[i-1]+each, step{i - 1, FlawShort}
		if runes[i-1] == ' ' {
			best[i] = best[i-1] + 2 // where a word ends is no secret
		}
		for j := max(0, i-maxWord); j <= i-3; j++ {
			if bits, flaw, ok := pattern(runes[j:i], each); ok && best[j]+bits < best[i] {
				best[i], how[i] = best[j]+bits, step{j, flaw}
			}
		}
	}
	s := Strength{Bits: best[len(runes)]}
	if whole, n := period(runes); n > 1 {
		if bits := Measure(string(whole)).Bits + math.Log2(float64(n)); bits < s.Bits {
			s.Bits = bits
			how = []step{{}, {0, FlawRepeats}}
			runes = runes[:1]
		}
	}
	s.Grade = grade(s.Bits)
	if s.Weak() {
		s.Flaw = worst(how, len(runes))
	}
	return s
}

type step struct {
	from int
	flaw Flaw
}

func grade(bits float64) Grade {
	switch {
	case bits < 43: // 15 minutes
		return Seconds
	case bits < 54: // 3 weeks
		return Days
	case bits < WeakBits:
		return Years
	case bits < 96:
		return Good
	}
	return Strong
}

// worst is the flaw that covers the most characters.
func worst(how []step, n int) Flaw {
	count := map[Flaw]int{}
	for i := n; i > 0; i = how[i].from {
		count[how[i].flaw] += i - how[i].from
	}
	flaw := FlawShort
	for _, f := range []Flaw{FlawCommon, FlawRepeats, FlawSequence, FlawWords} {
		if count[f] > count[flaw] {
			flaw = f
		}
	}
	return flaw
}

// alphabet is the number of characters that someone would try who knows what
// kinds of characters occur.
func alphabet(runes []rune) float64 {
	var lower, upper, digit, other, wide, hex = false, false, false, false, false, true
	for _, r := range runes {
		hex = hex && strings.ContainsRune("0123456789abcdefABCDEF", r)
		switch {
		case 'a' <= r && r <= 'z':
			lower = true
		case 'A' <= r && r <= 'Z':
			upper = true
		case '0' <= r && r <= '9':
			digit = true
		case r == ' ':
		case r < utf8.RuneSelf:
			other = true
		default:
			wide = true
		}
	}
	if hex && digit && lower != upper {
		return 16
	}
	n := 0.0
	for _, k := range []struct {
		there bool
		size  float64
	}{{lower, 26}, {upper, 26}, {digit, 10}, {other, 33}, {wide, 100}} {
		if k.there {
			n += k.size
		}
	}
	return max(n, 2)
}

// maxWord bounds the length of a pattern.
const maxWord = 32

// pattern returns the bits of a part that is more than single characters.
func pattern(part []rune, each float64) (bits float64, flaw Flaw, ok bool) {
	n := float64(len(part))
	if same(part) {
		return each + math.Log2(n), FlawRepeats, true
	}
	if inOrder(part) {
		return 6 + math.Log2(n), FlawSequence, true
	}
	plain, word, extra := folded(part)
	if rank, known := common[word]; known {
		return math.Log2(float64(rank+1)) + 1 + extra, FlawCommon, true
	}
	if len(part) >= 4 && readable(plain) {
		return 2.5*n + extra, FlawWords, true
	}
	if len(part) == 4 && (strings.HasPrefix(word, "19") || strings.HasPrefix(word, "20")) && digits(part) {
		return 7, FlawCommon, true // a year
	}
	return 0, "", false
}

func same(part []rune) bool {
	for _, r := range part {
		if r != part[0] {
			return false
		}
	}
	return true
}

// rows are what fingers and heads run along.
var rows = []string{"abcdefghijklmnopqrstuvwxyz", "01234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiop", "yxcvbnm", "azertyuiop", "qsdfghjklm", "wxcvbn", "1qaz2wsx3edc4rfv5tgb"}

func inOrder(part []rune) bool {
	s := strings.ToLower(string(part))
	back := []rune(s)
	for i, j := 0, len(back)-1; i < j; i, j = i+1, j-1 {
		back[i], back[j] = back[j], back[i]
	}
	for _, row := range rows {
		if strings.Contains(row, s) || strings.Contains(row, string(back)) {
			return true
		}
	}
	return false
}

// period returns the part of which the whole is repetitions, and how many.
func period(runes []rune) ([]rune, int) {
	for n := 1; n <= len(runes)/2; n++ {
		if len(runes)%n != 0 {
			continue
		}
		whole := true
		for i := n; i < len(runes) && whole; i++ {
			whole = runes[i] == runes[i-n]
		}
		if whole {
			return runes[:n], len(runes) / n
		}
	}
	return runes, 1
}

// folded returns a part in small letters, as words are listed, which is with
// letters for the digits that stand for them, and the bits that its spelling adds.
func folded(part []rune) (plain, word string, extra float64) {
	out := make([]rune, len(part))
	capitals := 0
	for i, r := range part {
		if unicode.IsUpper(r) {
			capitals++
			r = unicode.ToLower(r)
		}
		out[i] = r
	}
	if capitals > 0 {
		extra = 1
		if capitals != len(part) && (capitals > 1 || !unicode.IsUpper(part[0])) {
			extra = float64(len(part)) / 2
		}
	}
	plain = string(out)
	if digits(part) {
		return plain, plain, extra
	}
	for i, r := range out {
		if j := strings.IndexRune("013457@$!", r); j >= 0 {
			out[i] = rune("oieastasi"[j])
		}
	}
	return plain, string(out), extra
}

func digits(part []rune) bool {
	for _, r := range part {
		if r < '0' || r > '9' {
			return false
		}
	}
	return true
}

// readable reports whether a part of small letters has the vowels of a
// language, evenly spread.
func readable(word string) bool {
	vowels, run := 0, 0
	for _, r := range word {
		switch {
		case strings.ContainsRune("aeiouyäöüéèàâêôû", r):
			vowels, run = vowels+1, 0
		case unicode.IsLower(r):
			if run++; run > 4 {
				return false
			}
		default:
			return false
		}
	}
	n := utf8.RuneCountInString(word)
	return vowels*4 >= n && vowels*5 <= n*3
}
