package profile

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// maxName bounds the name of a connection.
const maxName = 64

// CheckName reports what keeps name from naming a connection: it becomes a file
// name on every system, and a word on a command line.
func CheckName(name string) error {
	if name == "" {
		return errors.New("is missing")
	}
	if len(name) > maxName {
		return fmt.Errorf("%s is longer than %d bytes", shown(name), maxName)
	}
	return checkFileName(name, "._-")
}

// checkFileName allows ASCII letters, digits and the given other characters,
// and refuses what some system takes for more than a plain file.
func checkFileName(name, others string) error {
	if len(name) > 2*maxName {
		return fmt.Errorf("%s is too long", shown(name))
	}
	for _, r := range name {
		if !letterOrDigit(r) && !strings.ContainsRune(others, r) {
			return fmt.Errorf("%s holds %q; letters, digits and %q are allowed", shown(name), r, others)
		}
	}
	if !letterOrDigit(rune(name[0])) || name[len(name)-1] == '.' {
		return fmt.Errorf("%s must begin with a letter or digit and not end in a dot", shown(name))
	}
	if reserved(name) {
		return fmt.Errorf("%s is a device on Windows", shown(name))
	}
	return nil
}

func letterOrDigit(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
}

// reserved reports whether Windows takes the name for a device, whatever its
// extension.
func reserved(name string) bool {
	base, _, _ := strings.Cut(strings.ToUpper(name), ".")
	switch base {
	case "CON", "PRN", "AUX", "NUL":
		return true
	}
	return len(base) == 4 && (base[:3] == "COM" || base[:3] == "LPT") && '0' <= base[3] && base[3] <= '9'
}

// safeName makes a valid name of any text.
func safeName(s string) string {
	b := []byte(s)
	for i, c := range b {
		if !letterOrDigit(rune(c)) && c != '.' && c != '_' {
			b[i] = '-'
		}
	}
	if len(b) > maxName {
		b = b[:maxName]
	}
	name := strings.TrimRight(strings.TrimLeft(string(b), "._-"), ".")
	if name == "" || reserved(name) {
		name = "vpn-" + name
	}
	return strings.TrimRight(name, ".")
}

// SplitGateway splits "vpn.example.com", "192.0.2.1:4500", "2001:db8::1" or
// "[2001:db8::1]:4500". Port is 0 when none is written.
func SplitGateway(s string) (host string, port uint16, err error) {
	bad := func() (string, uint16, error) {
		return "", 0, fmt.Errorf("%s is not a gateway; write it as \"vpn.example.com\", \"192.0.2.1:4500\" or \"[2001:db8::1]:4500\"", shown(s))
	}
	rest, hasPort := "", false
	switch {
	case strings.HasPrefix(s, "["):
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return bad()
		}
		host, rest = s[1:end], s[end+1:]
		if a, err := netip.ParseAddr(host); err != nil || !a.Is6() {
			return bad()
		}
		if rest != "" {
			if rest, hasPort = strings.CutPrefix(rest, ":"); !hasPort {
				return bad()
			}
		}
	case strings.Count(s, ":") == 1:
		host, rest, hasPort = strings.Cut(s, ":")
	default:
		host = s
	}
	if hasPort {
		p, err := strconv.ParseUint(rest, 10, 16)
		if err != nil || p == 0 || rest[0] == '+' {
			return bad()
		}
		port = uint16(p)
	}
	if a, err := netip.ParseAddr(host); err == nil {
		// An address of the link is of no use without the interface, and one
		// with it means another thing on the next machine.
		if a.IsUnspecified() || a.IsMulticast() || a.Zone() != "" {
			return bad()
		}
		return host, port, nil
	}
	if !hostName(host) || strings.Trim(host, "0123456789.") == "" {
		return bad()
	}
	return host, port, nil
}

// JoinGateway is the inverse of SplitGateway.
func JoinGateway(host string, port uint16) string {
	if port == 0 {
		return host
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + ":" + strconv.Itoa(int(port))
}

// hostName reports whether s is a name that DNS can answer (RFC 1123, 2.1),
// with underscores, which occur.
func hostName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, r := range label {
			if !letterOrDigit(r) && r != '-' && r != '_' {
				return false
			}
		}
	}
	return true
}
