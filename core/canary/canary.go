// Package canary finds secrets in what a program wrote. Tests give a program
// marked secrets, collect all that it says, and look for them in every spelling
// in which they could have got there.
package canary

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf16"

	//lint:ignore SA1019 the hash of a password that MSCHAPv2 works with
	"golang.org/x/crypto/md4"
)

// shortest is the length of the shortest spelling that is looked for: what is
// shorter occurs by chance.
const shortest = 8

// A spelling is one way to write a secret.
type spelling struct {
	name string
	text []byte
}

// Find returns how and in which spelling the secrets occur in data; nil when
// they do not.
func Find(data []byte, secrets ...[]byte) []string {
	var found []string
	lower := bytes.ToLower(data)
	for i, s := range secrets {
		for _, sp := range spellings(s) {
			in := data
			if strings.HasSuffix(sp.name, "hex") {
				in = lower
			}
			if at := bytes.Index(in, sp.text); at >= 0 {
				found = append(found, fmt.Sprintf("secret %d in %s: …%q…", i, sp.name, data[max(0, at-40):min(len(data), at+len(sp.text)+10)]))
			}
		}
	}
	return found
}

// spellings lists the ways to write a secret. Text is written as UTF-8 and, as
// MSCHAPv2 has it, as UTF-16; the hash that it makes of that serves as well as
// the password.
func spellings(secret []byte) []spelling {
	list := encodings("", secret)
	list = append(list, []spelling{
		{"quoted", []byte(strings.Trim(strconv.Quote(string(secret)), `"`))},
		{"quoted in ASCII", []byte(strings.Trim(strconv.QuoteToASCII(string(secret)), `"`))},
		{"JSON", jsonText(secret, true)},
		{"JSON without HTML escapes", jsonText(secret, false)},
		{"JSON in ASCII", asciiJSON(secret)},
		{"a URL's query", []byte(url.QueryEscape(string(secret)))},
		{"a URL's path", []byte(url.PathEscape(string(secret)))},
		{"a list of numbers", []byte(strings.Trim(fmt.Sprint(secret), "[]"))},
		{"a list of numbers in Go", []byte(strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", secret), "[]byte{"), "}"))},
		{"a list of numbers in JSON", []byte(strings.ReplaceAll(strings.Trim(fmt.Sprint(secret), "[]"), " ", ","))},
	}...)
	units := utf16.Encode([]rune(string(secret)))
	little, big := make([]byte, 0, 2*len(units)), make([]byte, 0, 2*len(units))
	for _, u := range units {
		little, big = append(little, byte(u), byte(u>>8)), append(big, byte(u>>8), byte(u))
	}
	list = append(list, encodings("UTF-16 ", little)...)
	list = append(list, encodings("big-endian UTF-16 ", big)...)
	h := md4.New()
	h.Write(little)
	list = append(list, encodings("NT hash ", h.Sum(nil))...)

	out := list[:0]
	for _, s := range list {
		if len(s.text) >= shortest {
			out = append(out, s)
		}
	}
	return out
}

// encodings writes bytes as they are, in hexadecimal and in base64. There what
// stands before moves the letters: each of the three ways is looked for, without
// the letters that depend on the neighbours.
func encodings(prefix string, b []byte) []spelling {
	x := hex.EncodeToString(b)
	list := []spelling{{prefix + "raw", b}, {prefix + "hex", []byte(x)}}
	for _, sep := range []string{" ", ":"} {
		var pairs []string
		for i := 0; i < len(x); i += 2 {
			pairs = append(pairs, x[i:i+2])
		}
		list = append(list, spelling{prefix + fmt.Sprintf("hex with %q", sep) + " hex", []byte(strings.Join(pairs, sep))})
	}
	for shift := range 3 {
		for name, enc := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64 of URLs": base64.RawURLEncoding} {
			text := enc.EncodeToString(append(make([]byte, shift), b...))
			from, to := (shift*8+5)/6, (shift+len(b))*8/6
			list = append(list, spelling{prefix + name, []byte(text[from:to])})
		}
	}
	return list
}

func jsonText(b []byte, html bool) []byte {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(html)
	if err := enc.Encode(string(b)); err != nil {
		return nil
	}
	return bytes.Trim(bytes.TrimSpace(out.Bytes()), `"`)
}

// asciiJSON is JSON in which everything outside of ASCII is escaped.
func asciiJSON(b []byte) []byte {
	var out []byte
	for _, r := range string(jsonText(b, true)) {
		if r < 0x80 {
			out = append(out, byte(r))
			continue
		}
		for _, u := range utf16.Encode([]rune{r}) {
			out = fmt.Appendf(out, `\u%04x`, u)
		}
	}
	return out
}
