// Package draft is a connection as a wizard edits it: plain data, its checks
// field by field, and the way to and from the text of a profile. It knows no
// toolkit and no language; the last word on a connection is the service's.
package draft

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"sallyport/core/api"
)

// A Method is how the two ends prove who they are. The gateway does with a
// certificate, unless it is PSK.
type Method string

// The methods that a draft can have.
const (
	PSK         Method = "psk"
	Certificate Method = "certificate"
	User        Method = "eap"             // a name and a password
	Both        Method = "certificate+eap" // a certificate, then a user (RFC 4739)
)

// Certifies reports whether the own end has a certificate.
func (m Method) Certifies() bool { return m == Certificate || m == Both }

// Names reports whether a user answers with a password.
func (m Method) Names() bool { return m == User || m == Both }

// A Draft is a connection under way. The zero value is not useful: see New and
// Parse.
type Draft struct {
	Name     string
	Profile  api.Profile
	Gateways []string

	Method Method
	// Secret is the pre-shared key or the passphrase of the key, as typed. It is
	// in no text. In an edit an empty one lets the stored one stay.
	Secret string
	Ask    bool // for the secret whenever the connection is made; it is not stored
	// Certificate and Key are files that the user has chosen; nil lets stay what
	// an edited connection has.
	Certificate, Key *File
	// OnToken says that certificate and key are on a smart card or token, Token as
	// which: a PKCS #11 URI. Its PIN is asked for at each connect; Secret may have it
	// for a test.
	OnToken bool
	Token   string
	// Through has the Certificate shown within EAP (EAP-TLS), as User.
	Through bool
	// User answers when the gateway asks, with Password. That is stored, unless
	// AskPassword says that the user is asked; in an edit an empty one lets the
	// stored one stay.
	User        string
	Password    string
	AskPassword bool
	EAP         EAP
	LocalID     string // empty: the certificate's subject, or with a key the own address

	// SystemTrust says that the gateway's certificate may be from any authority
	// of the system, and that the user is asked about others. Otherwise CAs, or
	// when there are none those of the edited connection, are trusted alone.
	SystemTrust bool
	CAs         []File
	RemoteID    string // empty: the gateway's name with a certificate, else any

	All       bool     // protect all traffic
	Networks  []string // or else these, in the notation of profiles
	Addresses []string // inner addresses to ask for; "0.0.0.0" and "::" ask for any

	origin document // of an edited connection
}

// An EAP is what few need to say about how a user answers. The zero value lets
// the gateway choose among what is safe.
type EAP struct {
	Methods   []string // "mschapv2", "gtc", "ttls", "peap"
	Inner     []string // within TTLS and PEAP: "mschapv2", "gtc", "pap"
	Anonymous string   // the name that TTLS and PEAP say outside of TLS
	Server    string   // the name in the certificate of the server behind TLS
}

func (e *EAP) equal(o *EAP) bool {
	return slices.Equal(e.Methods, o.Methods) && slices.Equal(e.Inner, o.Inner) && e.Anonymous == o.Anonymous && e.Server == o.Server
}

// A File is one that the user has chosen, read already.
type File struct {
	Name string // without the folder
	Data []byte
}

// NewFile returns the file for data that was read from a path of any system.
func NewFile(at string, data []byte) File {
	return File{Name: path.Base(strings.ReplaceAll(at, `\`, "/")), Data: data}
}

// New returns a draft with the defaults.
func New() *Draft {
	return &Draft{Profile: api.Respond, Gateways: []string{""}, Method: Certificate, All: true, Addresses: AnyAddress()}
}

// AnyAddress asks for an inner address of each family.
func AnyAddress() []string { return []string{"0.0.0.0", "::"} }

// AnyIPv4 asks for an inner IPv4 address alone.
func AnyIPv4() []string { return []string{"0.0.0.0"} }

// Edited reports whether the draft changes a connection that is stored.
func (d *Draft) Edited() bool { return d.origin != nil }

// Clone returns a copy that shares nothing that is ever changed.
func (d *Draft) Clone() *Draft {
	c := *d
	c.Gateways = slices.Clone(d.Gateways)
	c.CAs = slices.Clone(d.CAs)
	c.Networks = slices.Clone(d.Networks)
	c.Addresses = slices.Clone(d.Addresses)
	return &c
}

// Equal reports whether two drafts of the same connection say the same.
func (d *Draft) Equal(o *Draft) bool {
	return d.Name == o.Name && d.Profile == o.Profile && slices.Equal(d.gateways(), o.gateways()) &&
		d.Method == o.Method && d.Secret == o.Secret && d.Ask == o.Ask &&
		d.Through == o.Through && d.User == o.User && d.Password == o.Password && d.AskPassword == o.AskPassword && d.EAP.equal(&o.EAP) &&
		d.Certificate.equal(o.Certificate) && d.Key.equal(o.Key) && d.LocalID == o.LocalID && d.OnToken == o.OnToken && d.Token == o.Token &&
		d.SystemTrust == o.SystemTrust && slices.EqualFunc(d.CAs, o.CAs, func(a, b File) bool { return a.equal(&b) }) &&
		d.RemoteID == o.RemoteID && d.All == o.All && slices.Equal(trimmed(d.Networks), trimmed(o.Networks)) && slices.Equal(d.Addresses, o.Addresses)
}

func (f *File) equal(o *File) bool {
	return f == o || f != nil && o != nil && f.Name == o.Name && string(f.Data) == string(o.Data)
}

// container reports whether certificate and key are in a PKCS #12 file.
func (d *Draft) container() bool {
	return !d.OnToken && d.Certificate != nil && d.Key == nil && Inspect(d.Certificate.Data).Container
}

// KeepsSecret reports whether the stored pre-shared key may stay.
func (d *Draft) KeepsSecret() bool {
	local := d.origin.table("local")
	return d.Edited() && local.text("method") == string(PSK) && !local.flag("ask")
}

// KeepsCertificate reports whether the stored certificate and key may stay.
func (d *Draft) KeepsCertificate() bool {
	local := d.origin.table("local")
	return d.Edited() && local.text("token") == "" && len(local.list("certificates")) > 0
}

// KeepsPassword reports whether a stored password may stay, if there is one.
func (d *Draft) KeepsPassword() bool {
	local := d.origin.table("local")
	m, through := methodOf(local)
	return d.Edited() && m.Names() && !through && !(m == User && local.flag("ask"))
}

// KeepsCAs reports whether authorities of the edited connection may stay.
func (d *Draft) KeepsCAs() bool {
	return d.Edited() && d.origin.table("remote").text("method") == string(Certificate) && len(d.origin.table("remote").list("cas")) > 0
}

// StoredCertificate returns the certificate of an edited connection, and
// StoredCAs its authorities, as they are written within its text: for a look at
// what stays. What is only named there has no data.
func (d *Draft) StoredCertificate() []File {
	return stored(d.origin.table("local").list("certificates"))
}

// StoredCAs returns the authorities of an edited connection.
func (d *Draft) StoredCAs() []File { return stored(d.origin.table("remote").list("cas")) }

func stored(values []string) []File {
	var out []File
	for _, v := range values {
		name, _, within := strings.Cut(v, "-----BEGIN ")
		f := File{Name: strings.TrimSpace(name)}
		if within {
			f.Data = []byte(v)
		}
		out = append(out, f)
	}
	return out
}

// GatewayID is the identity that the gateway must prove: RemoteID, or with
// certificates the name that all gateways have in common. It is empty when any
// will do, or when none follows from the gateways.
func (d *Draft) GatewayID() string {
	if id := strings.TrimSpace(d.RemoteID); id != "" || d.Method == PSK {
		return id
	}
	name := ""
	for _, g := range d.gateways() {
		host, _, ok := SplitGateway(g)
		if !ok || name != "" && !strings.EqualFold(host, name) {
			return ""
		}
		name = host
	}
	return name
}

// gateways are the gateways without blanks and empty lines.
func (d *Draft) gateways() []string { return trimmed(d.Gateways) }

func trimmed(list []string) []string {
	var out []string
	for _, s := range list {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// SuggestName returns a name for the connection, from its first gateway, that
// taken does not have.
func (d *Draft) SuggestName(taken func(string) bool) string {
	name := "vpn"
	if g := d.gateways(); len(g) > 0 {
		if host, _, ok := SplitGateway(g[0]); ok {
			name = host
			if labels := strings.Split(host, "."); len(labels) > 2 && !isAddress(host) {
				name = labels[len(labels)-2] // vpn.example.com: example
			}
		}
	}
	b := []byte(name)
	for i, c := range b {
		if !letterOrDigit(rune(c)) && c != '.' {
			b[i] = '-'
		}
	}
	name = strings.Trim(string(b[:min(len(b), maxName-4)]), ".-")
	if CheckName(name) != "" {
		name = "vpn"
	}
	try := name
	for i := 2; taken(try); i++ {
		try = name + "-" + strconv.Itoa(i)
	}
	return try
}
