package bundle

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"sallyport/core/api"
)

// A redactor replaces what tells who and where somebody is. The same value
// gets the same pseudonym.
type redactor struct {
	known  map[string]string // by value, in lower case where case does not matter
	counts map[string]int    // by kind of pseudonym
	// literals are values that have no form to recognise them by: an identity
	// may be any text. They are replaced wherever they stand as a word.
	literals map[string]bool
	order    []string // of literals, the longest first; nil: to be made
}

func newRedactor() *redactor {
	return &redactor{known: make(map[string]string), counts: make(map[string]int), literals: make(map[string]bool)}
}

// identityFields are the fields of a decoded message that hold an identity.
var identityFields = []string{"identity", "subject", "issuer"}

// maxLiterals bounds how many identities are learnt: peers of a gateway may
// call themselves many things.
const maxLiterals = 4096

// pseudonym returns the name that stands for a value of a kind.
func (r *redactor) pseudonym(kind, value string) string {
	key := kind + "\x00" + value
	if p, ok := r.known[key]; ok {
		return p
	}
	r.counts[kind]++
	p := fmt.Sprintf("%s-%d", kind, r.counts[kind])
	r.known[key] = p
	return p
}

// learn notes the identities that an answer names in fields of their own.
func (r *redactor) learn(v any) {
	switch v := v.(type) {
	case api.State:
		for _, c := range v.Connections {
			r.identity(c.PeerID)
			for _, g := range c.Gateway {
				r.identity(g)
			}
		}
		for _, p := range v.Prompts {
			r.identity(p.User)
		}
	case api.Dynamic:
		for _, s := range v.IKESAs {
			r.identity(s.LocalID)
			r.identity(s.RemoteID)
		}
	case []api.Message:
		for _, m := range v {
			for _, p := range m.Payloads {
				for _, f := range p.Fields {
					if slices.Contains(identityFields, f.Name) {
						r.identity(f.Value)
					}
				}
			}
		}
	}
}

// identity notes a value that text does not recognise by itself.
func (r *redactor) identity(s string) {
	s = strings.TrimSpace(s)
	if len(s) < 2 || len(r.literals) >= maxLiterals || strings.Contains(s, "%any") || r.text(s) != s && !strings.ContainsAny(s, " ,=") {
		return
	}
	r.literals[s], r.order = true, nil
}

// json redacts every string of a JSON text. Its keys are ours.
func (r *redactor) json(b []byte) ([]byte, error) {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var out bytes.Buffer
	if err := r.value(dec, &out); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// value copies the next value of dec, redacted, in its order.
func (r *redactor) value(dec *json.Decoder, out *bytes.Buffer) error {
	t, err := dec.Token()
	if err != nil {
		return err
	}
	d, nested := t.(json.Delim)
	if !nested {
		if s, ok := t.(string); ok {
			t = r.text(s)
		}
		return encode(out, t)
	}
	out.WriteString(d.String())
	for first := true; dec.More(); first = false {
		if !first {
			out.WriteByte(',')
		}
		if d == '{' {
			key, err := dec.Token()
			if err != nil {
				return err
			}
			if err := encode(out, key); err != nil {
				return err
			}
			out.WriteByte(':')
		}
		if err := r.value(dec, out); err != nil {
			return err
		}
	}
	end, err := dec.Token()
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	out.WriteString(end.(json.Delim).String())
	return nil
}

func encode(out *bytes.Buffer, v any) error {
	b, err := json.Marshal(v)
	out.Write(b)
	return err
}

// What tells something of somebody, by its form.
var (
	mailForm = regexp.MustCompile(`[\pL\pN._%+\-]+@[\pL\pN][\pL\pN.\-]*`)
	dnForm   = regexp.MustCompile(`\b(CN|O|OU|C|L|ST|DC|UID|E|emailAddress|serialNumber|SN|GN|T|street|S)=("(?:[^"\\]|\\.)*"|(?:[^,+"\\\x00-\x1f]|\\.)+)`)
	ip4Form  = regexp.MustCompile(`\b\d{1,3}(?:\.\d{1,3}){3}(?:/\d{1,2})?\b`)
	ip6Form  = regexp.MustCompile(`(?i)[0-9a-f:]*:[0-9a-f:]*:[0-9a-f:.]*(?:%[\w.\-]+)?(?:/\d{1,3})?`)
	hostForm = regexp.MustCompile(`(?i)[\pL\pN_](?:[\pL\pN_\-]*[\pL\pN])?(?:\.[\pL\pN_](?:[\pL\pN_\-]*[\pL\pN])?)*\.[\pL][\pL\pN\-]*[\pL\pN]`)
	userForm = regexp.MustCompile(`[^\s"()]+ (\((?:uid|sid|user) [^)]*\))`)
	hashForm = regexp.MustCompile(`(?i)\b[0-9a-f]{2}(?::[0-9a-f]{2}){7,}\b`)
	homeForm = regexp.MustCompile(`(?i)(/home/|/Users/|\\Users\\)([^/\\\s"]+)`)
	timeForm = regexp.MustCompile(`^\d{4}-\d\d-\d\dT[\d:.]+(Z|[+\-]\d\d:\d\d)$`)
)

// text returns s with pseudonyms.
func (r *redactor) text(s string) string {
	if s == "" || timeForm.MatchString(s) {
		return s
	}
	s = r.words(s)
	s = homeForm.ReplaceAllStringFunc(s, func(m string) string {
		sub := homeForm.FindStringSubmatch(m)
		return sub[1] + r.pseudonym("user", sub[2])
	})
	s = userForm.ReplaceAllStringFunc(s, func(m string) string {
		name, rest, _ := strings.Cut(m, " ")
		if name == "root" {
			return m
		}
		return r.pseudonym("user", name) + " " + rest
	})
	s = mailForm.ReplaceAllStringFunc(s, func(m string) string { return r.pseudonym("mail", strings.ToLower(m)) })
	s = dnForm.ReplaceAllStringFunc(s, func(m string) string {
		attr, value, _ := strings.Cut(m, "=")
		return attr + "=" + r.pseudonym("name", strings.Trim(value, `" `))
	})
	s = hashForm.ReplaceAllStringFunc(s, func(m string) string { return r.pseudonym("fingerprint", strings.ToUpper(m)) })
	s = ip6Form.ReplaceAllStringFunc(s, r.address6)
	s = ip4Form.ReplaceAllStringFunc(s, r.address)
	return hostForm.ReplaceAllStringFunc(s, r.host)
}

// words replaces the identities that were learnt, where they stand alone.
func (r *redactor) words(s string) string {
	if r.order == nil {
		for l := range r.literals {
			r.order = append(r.order, l)
		}
		slices.SortFunc(r.order, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), strings.Compare(a, b)) })
	}
	for _, l := range r.order {
		if strings.Contains(s, l) {
			s = replaceWord(s, l, func() string { return r.pseudonym("id", l) })
		}
	}
	return s
}

// replaceWord replaces word in s where no letter or digit goes on from it.
func replaceWord(s, word string, with func() string) string {
	var out strings.Builder
	for rest := s; ; {
		i := strings.Index(rest, word)
		if i < 0 {
			out.WriteString(rest)
			return out.String()
		}
		end := i + len(word)
		out.WriteString(rest[:i])
		if (i == 0 && (out.Len() == 0 || !wordByte(s[len(s)-len(rest)-1])) || i > 0 && !wordByte(rest[i-1])) && (end == len(rest) || !wordByte(rest[end])) {
			out.WriteString(with())
		} else {
			out.WriteString(word)
		}
		rest = rest[end:]
	}
}

func wordByte(c byte) bool {
	return c == '_' || c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// address6 finds where an IPv6 address ends: a port, or punctuation of the
// sentence, may follow it.
func (r *redactor) address6(m string) string {
	for end := len(m); end > 1; end-- {
		if out := r.address(m[:end]); out != m[:end] {
			return out + m[end:]
		}
		if _, err := netip.ParseAddr(m[:end]); err == nil {
			return m // one that is kept
		}
	}
	return m
}

// address replaces an address or a network. What is the same everywhere is kept.
func (r *redactor) address(m string) string {
	text, bits, isNet := strings.Cut(m, "/")
	a, err := netip.ParseAddr(text)
	if err != nil {
		return m
	}
	a = a.Unmap()
	if a.IsLoopback() || a.IsUnspecified() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) || isNet && wellKnown(m) ||
		a.Is4() && strings.HasPrefix(text, "255.") {
		return m
	}
	kind := "ip6"
	if a.Is4() {
		kind = "ip4"
	}
	switch {
	case a.IsPrivate():
		kind += "-private"
	case a.IsLinkLocalUnicast():
		kind += "-link"
	default:
		kind += "-public"
	}
	p := r.pseudonym(kind, a.WithZone("").String())
	if isNet {
		p += "/" + bits
	}
	return p
}

// wellKnown reports networks that tell nothing.
func wellKnown(m string) bool {
	p, err := netip.ParsePrefix(m)
	return err == nil && slices.Contains([]string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fe80::/10", "fc00::/7", "100.64.0.0/10", "2000::/3"}, p.Masked().String())
}

// host replaces a host's name, and leaves what only looks like one.
func (r *redactor) host(m string) string {
	lower := strings.ToLower(m)
	first, _, _ := strings.Cut(lower, ".")
	last := lower[strings.LastIndexByte(lower, '.')+1:]
	if slices.Contains(settingRoots, first) || slices.Contains(sections, first) && slices.Contains(settings, last) || slices.Contains(fileEnds, last) {
		return m
	}
	return r.pseudonym("host", lower)
}

// settingRoots begin the settings of profile files, sections those of our own,
// whose names a host might have too; fileEnds end the names of files that the
// service speaks of.
var (
	settingRoots = []string{"connections", "secrets", "pools", "authorities"}
	sections     = []string{"ike", "esp", "local", "remote", "children", "child", "dns", "pool"}
	settings     = []string{"proposals", "method", "id", "secret", "key", "certificates", "cas", "schemes", "name", "local_ts", "remote_ts",
		"rekey_time", "hard_lifetime", "reauth_time", "rekey_bytes", "rekey_packets", "per_resource_sas", "servers", "only", "ignore", "addresses", "domains"}
	fileEnds = []string{"toml", "conf", "pem", "der", "crt", "cer", "key", "p12", "json", "txt", "sock", "go", "dll", "exe", "service"}
)
