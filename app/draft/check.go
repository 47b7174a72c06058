package draft

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A Kind says what is wrong with a field; front ends have a sentence for each.
type Kind string

// The kinds of faults.
const (
	Missing        Kind = "missing"
	TooLong        Kind = "too_long"
	NotGateway     Kind = "not_gateway"     // "vpn.example.com", "192.0.2.1:4500" or "[2001:db8::1]:4500" is
	BadPort        Kind = "bad_port"        // of a gateway
	Twice          Kind = "twice"           // the same entry again
	NotName        Kind = "not_name"        // letters, digits, ".", "_", "-"
	ReservedName   Kind = "reserved"        // a device on Windows
	NotText        Kind = "not_text"        // control characters, or no UTF-8
	Pattern        Kind = "pattern"         // the own identity cannot be one
	NotNetwork     Kind = "not_network"     // "10.0.0.0/8" is
	NoCertificate  Kind = "no_certificate"  // the file holds none
	NoKey          Kind = "no_key"          // the file holds no private key
	PKCS12         Kind = "pkcs12"          // a container with a key, where an authority is asked for
	OpenSSHKey     Kind = "openssh_key"     // a key of another program
	NotOfKey       Kind = "not_of_key"      // the key does not belong to the certificate
	NeedPassphrase Kind = "need_passphrase" // the key is encrypted
	NoPassphrase   Kind = "no_passphrase"   // to ask for: the key is not encrypted
	NeedGatewayID  Kind = "need_gateway_id" // who among all the world is the gateway?
	TooMany        Kind = "too_many"
)

// The fields, as the service names them in the Position of an error. Lists
// have an index behind: "gateways[0]".
const (
	FieldName        = "name"
	FieldGateways    = "gateways"
	FieldSecret      = "local.secret"
	FieldCertificate = "local.certificates"
	FieldKey         = "local.key"
	FieldAsk         = "local.ask"
	FieldToken       = "local.token"
	FieldUser        = "local.user"
	FieldPassword    = "local.password" // the service calls it local.secret
	FieldMethods     = "local.eap.methods"
	FieldInner       = "local.eap.inner"
	FieldAnonymous   = "local.eap.anonymous"
	FieldEAPServer   = "local.eap.server"
	FieldLocalID     = "local.id"
	FieldCAs         = "remote.cas"
	FieldRemoteID    = "remote.id"
	FieldNetworks    = "children[0].remote_ts"
	FieldAddresses   = "virtual_ips"
	FieldProfile     = "profile"
)

// A Fault is what is wrong with one field.
type Fault struct {
	Field string
	Kind  Kind
	Text  string // what stands there, cut to a line
}

// Error lets a fault be an error; it is for logs and tests.
func (f Fault) Error() string { return fmt.Sprintf("%s: %s %s", f.Field, f.Kind, f.Text) }

// The bounds of a draft.
const (
	maxName     = 64
	maxGateways = 16
	maxNetworks = 64
	maxCAs      = 16
	minSecret   = 8 // of a pre-shared key, unless the profile says otherwise
	maxSecret   = 4096
	maxIdentity = 1024
	maxUser     = 253
)

// Check returns what keeps the draft from being handed to the service, in the
// order of the fields.
func (d *Draft) Check() []Fault {
	var c checker
	c.gateways(d)
	switch d.Method {
	case PSK:
		c.psk(d)
	default:
		if d.Method.Certifies() {
			c.certificate(d)
		}
		if d.Method.Names() || d.Through {
			c.user(d)
		}
		c.trust(d)
	}
	c.identity(FieldLocalID, d.LocalID, true)
	c.identity(FieldRemoteID, d.RemoteID, false)
	if !d.All {
		c.networks(d)
	}
	if k := CheckName(d.Name); k != "" {
		c.add(FieldName, k, d.Name)
	}
	return c.faults
}

type checker struct{ faults []Fault }

func (c *checker) add(field string, k Kind, text string) {
	if len(text) > 60 {
		text = strings.ToValidUTF8(text[:60], "") + "…"
	}
	c.faults = append(c.faults, Fault{Field: field, Kind: k, Text: text})
}

func (c *checker) gateways(d *Draft) {
	seen := map[string]bool{}
	for i, g := range d.Gateways {
		g = strings.TrimSpace(g)
		field := At(FieldGateways, i)
		if g == "" {
			continue
		}
		switch _, _, ok := SplitGateway(g); {
		case !ok:
			c.add(field, gatewayFault(g), g)
		case seen[strings.ToLower(g)]:
			c.add(field, Twice, g)
		}
		seen[strings.ToLower(g)] = true
	}
	switch {
	case len(seen) == 0:
		c.add(At(FieldGateways, 0), Missing, "")
	case len(seen) > maxGateways:
		c.add(At(FieldGateways, maxGateways), TooMany, "")
	}
}

// At is the field of an entry of a list.
func At(field string, i int) string { return field + "[" + strconv.Itoa(i) + "]" }

func gatewayFault(s string) Kind {
	if host, port, found := strings.Cut(s, ":"); found && !strings.ContainsAny(port, ":/") && hostName(host) || strings.HasPrefix(s, "[") && strings.Contains(s, "]:") {
		return BadPort
	}
	return NotGateway
}

func (c *checker) psk(d *Draft) {
	switch {
	case d.Ask:
	case d.Secret == "" && !d.KeepsSecret():
		c.add(FieldSecret, Missing, "")
	case len(d.Secret) > maxSecret:
		c.add(FieldSecret, TooLong, "")
	}
}

func (c *checker) user(d *Draft) {
	text := func(field, s string) {
		switch {
		case len(s) > maxUser:
			c.add(field, TooLong, s)
		case !plain(s):
			c.add(field, NotText, "")
		}
	}
	if strings.TrimSpace(d.User) == "" {
		c.add(FieldUser, Missing, "")
	}
	text(FieldUser, d.User)
	switch {
	case !d.Method.Names() || d.AskPassword && d.Method == User:
	case d.Password == "" && !d.AskPassword && !d.KeepsPassword():
		c.add(FieldPassword, Missing, "")
	case len(d.Password) > maxSecret:
		c.add(FieldPassword, TooLong, "")
	}
	text(FieldAnonymous, d.EAP.Anonymous)
	c.identity(FieldEAPServer, d.EAP.Server, true)
}

func (c *checker) certificate(d *Draft) {
	if d.OnToken {
		switch {
		case d.Token == "":
			c.add(FieldToken, Missing, "")
		case len(d.Secret) > maxSecret:
			c.add(FieldSecret, TooLong, "")
		}
		return
	}
	var own Content
	if d.Certificate != nil {
		own = Inspect(d.Certificate.Data)
	}
	switch {
	case d.Certificate == nil && !d.KeepsCertificate():
		c.add(FieldCertificate, Missing, "")
	case d.Certificate != nil && own.Foreign != "":
		c.add(FieldCertificate, own.Foreign, d.Certificate.Name)
	case d.Certificate != nil && len(own.Certificates) == 0 && !own.Container:
		c.add(FieldCertificate, NoCertificate, d.Certificate.Name)
	}
	key := d.keyFile()
	if key == nil {
		if !d.KeepsCertificate() || d.Certificate != nil {
			c.add(FieldKey, Missing, "")
		}
		return
	}
	k := Inspect(key.Data)
	switch {
	case k.Foreign != "":
		c.add(FieldKey, k.Foreign, key.Name)
	case k.Key == KeyNone:
		c.add(FieldKey, NoKey, key.Name)
	case k.Key == KeyEncrypted && d.Secret == "" && (!d.Ask || k.Container):
		c.add(FieldSecret, NeedPassphrase, "")
	case k.Key == KeyPlain && d.Ask:
		c.add(FieldAsk, NoPassphrase, "")
	case len(own.Certificates) > 0 && !k.Fits(own.Certificates[0]):
		c.add(FieldKey, NotOfKey, key.Name)
	case len(d.Secret) > maxSecret:
		c.add(FieldSecret, TooLong, "")
	}
}

// keyFile is the file with the private key: the certificate's own when that
// holds both.
func (d *Draft) keyFile() *File {
	if d.OnToken {
		return nil
	}
	if d.Key == nil && d.Certificate != nil && Inspect(d.Certificate.Data).Key != KeyNone {
		return d.Certificate
	}
	return d.Key
}

// NeedsPassphrase reports whether the chosen key is encrypted.
func (d *Draft) NeedsPassphrase() bool {
	key := d.keyFile()
	return d.Method.Certifies() && key != nil && Inspect(key.Data).Key == KeyEncrypted
}

func (c *checker) trust(d *Draft) {
	if d.SystemTrust {
		if id := d.GatewayID(); id == "" || id == "%any" || strings.Contains(id, "*") {
			c.add(FieldRemoteID, NeedGatewayID, id)
		}
		return
	}
	if len(d.CAs) == 0 && !d.KeepsCAs() {
		c.add(FieldCAs, Missing, "")
	}
	if len(d.CAs) > maxCAs {
		c.add(FieldCAs, TooMany, "")
	}
	for i, f := range d.CAs {
		in := Inspect(f.Data)
		switch {
		case in.Container:
			c.add(At(FieldCAs, i), PKCS12, f.Name)
		case in.Foreign != "" && in.Foreign != OpenSSHKey:
			c.add(At(FieldCAs, i), in.Foreign, f.Name)
		case len(in.Certificates) == 0:
			c.add(At(FieldCAs, i), NoCertificate, f.Name)
		}
	}
	if len(d.gateways()) > 0 && d.GatewayID() == "" {
		c.add(FieldRemoteID, NeedGatewayID, "")
	}
}

func (c *checker) identity(field, id string, local bool) {
	id = strings.TrimSpace(id)
	switch {
	case len(id) > maxIdentity:
		c.add(field, TooLong, id)
	case !plain(id):
		c.add(field, NotText, "")
	case local && (id == "%any" || strings.Contains(id, "*")):
		c.add(field, Pattern, id)
	}
}

func (c *checker) networks(d *Draft) {
	seen, n := map[string]bool{}, 0
	for i, s := range d.Networks {
		if s = strings.TrimSpace(s); s == "" {
			continue
		}
		n++
		switch {
		case !IsNetwork(s):
			c.add(At(FieldNetworks, i), NotNetwork, s)
		case seen[s]:
			c.add(At(FieldNetworks, i), Twice, s)
		}
		seen[s] = true
	}
	switch {
	case n == 0:
		c.add(At(FieldNetworks, 0), Missing, "")
	case n > maxNetworks:
		c.add(At(FieldNetworks, maxNetworks), TooMany, "")
	}
}

// CheckName returns what keeps name from naming a connection, or nothing: it
// becomes a file name on every system and a word on a command line.
func CheckName(name string) Kind {
	switch {
	case name == "":
		return Missing
	case len(name) > maxName:
		return TooLong
	}
	for _, r := range name {
		if !letterOrDigit(r) && r != '.' && r != '_' && r != '-' {
			return NotName
		}
	}
	if !letterOrDigit(rune(name[0])) || name[len(name)-1] == '.' {
		return NotName
	}
	base, _, _ := strings.Cut(strings.ToUpper(name), ".")
	switch base {
	case "CON", "PRN", "AUX", "NUL":
		return ReservedName
	}
	if len(base) == 4 && (base[:3] == "COM" || base[:3] == "LPT") && '0' <= base[3] && base[3] <= '9' {
		return ReservedName
	}
	return ""
}

// SplitGateway splits "vpn.example.com", "192.0.2.1:4500", "2001:db8::1" or
// "[2001:db8::1]:4500". Port is 0 when none is written.
func SplitGateway(s string) (host string, port uint16, ok bool) {
	host, digits, hasPort := s, "", false
	if rest, bracket := strings.CutPrefix(s, "["); bracket {
		inner, tail, closed := strings.Cut(rest, "]")
		if a, err := netip.ParseAddr(inner); !closed || err != nil || !a.Is6() {
			return "", 0, false
		}
		if host = inner; tail != "" {
			if digits, hasPort = strings.CutPrefix(tail, ":"); !hasPort {
				return "", 0, false
			}
		}
	} else if strings.Count(s, ":") == 1 {
		host, digits, hasPort = strings.Cut(s, ":")
	}
	if hasPort {
		p, err := strconv.ParseUint(digits, 10, 16)
		if err != nil || p == 0 {
			return "", 0, false
		}
		port = uint16(p)
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return host, port, !a.IsUnspecified() && !a.IsMulticast() && a.Zone() == ""
	}
	return host, port, hostName(host) && strings.Trim(host, "0123456789.") != ""
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

// IsNetwork reports whether s is a network as the user writes it: "10.0.0.0/8",
// an address, or a range "10.0.0.1-10.0.0.9". What a profile says besides,
// "[tcp/443]" behind it, is left to the service.
func IsNetwork(s string) bool {
	addresses, limit, limited := strings.Cut(strings.TrimSpace(s), "[")
	if limited && (!strings.HasSuffix(limit, "]") || !plain(limit) || len(limit) > 64) {
		return false
	}
	addresses = strings.TrimSpace(addresses)
	if from, to, found := strings.Cut(addresses, "-"); found {
		a, err1 := netip.ParseAddr(strings.TrimSpace(from))
		b, err2 := netip.ParseAddr(strings.TrimSpace(to))
		return err1 == nil && err2 == nil && a.BitLen() == b.BitLen() && !b.Less(a) && a.Zone() == "" && b.Zone() == ""
	}
	if _, err := netip.ParsePrefix(addresses); err == nil {
		return true
	}
	a, err := netip.ParseAddr(addresses)
	return err == nil && a.Zone() == ""
}

func isAddress(s string) bool { _, err := netip.ParseAddr(s); return err == nil }

func letterOrDigit(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
}

// plain reports whether s is printable text of one line.
func plain(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool {
		return r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0x2028 || r == 0x2029
	}) < 0
}
