package profile

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"sallyport/core/api"
	"sallyport/core/config"
	"sallyport/core/ike/auth"
	"sallyport/core/ike/message"
	"sallyport/core/pool"
	"sallyport/core/transform"
	"sallyport/core/ts"
)

// A mode says where a profile comes from.
type mode int

const (
	// stored profiles name entries of the certificate and secret stores.
	stored mode = iota
	// imported profiles name files beside themselves, or leave the secret to
	// the request.
	imported
)

// The values of Role, Method and Profile.
const (
	Initiator = "initiator"
	Responder = "responder"

	MethodPSK         = "psk"
	MethodCertificate = "certificate"
	MethodEAP         = "eap" // local of an initiator only

	TransportAuto = "auto"
	TransportUDP  = "udp"
	TransportTCP  = "tcp"

	RevocationOff    = "off"
	RevocationSoft   = "soft"
	RevocationStrict = "strict"
	MOBIKEAllow      = "allow"
	MOBIKENever      = "never"
)

// SchemaVersion is the version that this code reads and writes.
const SchemaVersion = 1

// IsResponder reports whether the connection waits for peers.
func (c *Connection) IsResponder() bool { return c.Role == Responder }

// PolicyProfile returns the profile with its default.
func (c *Connection) PolicyProfile() api.Profile {
	if c.Profile == "" {
		return api.Respond
	}
	return api.Profile(c.Profile)
}

// Validate reports every fault of c, joined, each an *Error.
func (c *Connection) Validate() error {
	f := config.Faults{List: validate(c, stored)}
	return f.Err()
}

func validate(c *Connection, m mode) []*Error {
	v := validator{mode: m}
	v.connection(c)
	return v.List
}

// A validator collects faults by field.
type validator struct {
	config.Faults
	mode mode
	// ofPeers says that a responder's own proof is made with each peer's key.
	ofPeers bool
}

func (v *validator) bad(field, format string, args ...any) { v.Add(0, field, format, args...) }

func (v *validator) connection(c *Connection) {
	switch {
	case c.Version == 0:
		v.bad("version", "is missing; write version = %d", SchemaVersion)
	case c.Version != SchemaVersion:
		v.bad("version", "is %d, but this Sallyport reads version %d", c.Version, SchemaVersion)
	}
	if err := CheckName(c.Name); err != nil {
		v.bad("name", "%v", err)
	}
	v.oneOf("role", c.Role, "", Initiator, Responder)
	v.oneOf("profile", c.Profile, "", string(api.Respond), string(api.Request), string(api.Require))
	if c.IsResponder() {
		v.responder(c)
	} else {
		v.initiator(c)
	}
	v.transport(c)
	v.peerSecrets(c)
	v.auth("local", &c.Local, true)
	v.auth("remote", &c.Remote, false)
	v.token("local", &c.Local, true, c.IsResponder())
	v.token("remote", &c.Remote, false, c.IsResponder())
	v.more("local", &c.Local, true)
	v.more("remote", &c.Remote, false)
	v.eap("local", &c.Local, true, c.IsResponder())
	v.eap("remote", &c.Remote, false, c.IsResponder())
	if c.Remote.Method == MethodPSK && c.Remote.Secret == "" && len(c.Remote.Secrets) == 0 && c.Local.Method != MethodPSK && v.mode == stored {
		v.bad("remote.secret", "is missing: it names the pre-shared key that the remote end proves")
	}
	if c.Local.Ask && c.IsResponder() {
		v.bad("local.ask", "is for an initiator: a responder has nobody to ask")
	}
	if c.Remote.Method == MethodEAP && c.Local.Method == MethodEAP {
		v.bad("local.method", "cannot be \"eap\" too: the gateway proves itself before it asks")
	}
	if c.Remote.Method == MethodCertificate && len(c.Remote.CAs) == 0 {
		v.anyAuthority(c)
	}
	v.revocation(c)
	v.ike(&c.IKE)
	v.quantum(c)
	if c.IKE.CheckPath && !c.IsResponder() {
		v.bad("ike.check_path", "belongs to a responder: only the end that connects moves")
	}
	v.redirect(c)
	v.children(c)
}

// redirect checks where a responder sends its peers.
func (v *validator) redirect(c *Connection) {
	to := c.IKE.Redirect
	if to == "" {
		return
	}
	if !c.IsResponder() {
		v.bad("ike.redirect", "belongs to a responder: gateways send their peers elsewhere")
		return
	}
	r := RedirectTo(to)
	if said, err := message.ParseRedirect(r.AppendTo(nil)); err != nil || said.Gateway() != r.Gateway() {
		v.bad("ike.redirect", "%s is neither an address nor the name of a host", shown(to))
	}
}

// RedirectTo returns the gateway that a responder's setting names.
func RedirectTo(s string) message.Redirect {
	if a, err := netip.ParseAddr(s); err == nil {
		return message.Redirect{Addr: a.Unmap().WithZone("")}
	}
	return message.Redirect{Name: s}
}

// revocation checks what the other end's certificate may be, and what is to be
// known of it.
func (v *validator) revocation(c *Connection) {
	v.oneOf("remote.revocation", c.Remote.Revocation, "", RevocationOff, RevocationSoft, RevocationStrict)
	switch {
	case c.Local.WeakCertificates:
		v.bad("local.weak_certificates", "belongs to [remote]: the own certificate is the other end's to judge")
	case c.Remote.WeakCertificates && len(c.Remote.CAs) == 0:
		v.bad("remote.weak_certificates", "needs cas: what is weak is believed of named authorities alone")
	}
	set := c.Remote.Revocation != "" || c.Remote.RevocationPrivate
	switch {
	case c.Local.Revocation != "" || c.Local.RevocationPrivate:
		v.bad("local.revocation", "belongs to [remote]: the own certificate is the other end's to judge")
	case set && c.Remote.Method != MethodCertificate && (c.Remote.Method != MethodEAP || len(c.Remote.CAs) == 0):
		v.bad("remote.revocation", "needs method = \"certificate\", or for users with EAP-TLS method = \"eap\" with cas")
	case c.Remote.RevocationPrivate && c.Remote.Revocation == RevocationOff:
		v.bad("remote.revocation_private", "has no meaning with revocation = \"off\"")
	}
}

func (v *validator) initiator(c *Connection) {
	if len(c.Gateways) == 0 {
		v.bad("gateways", "is missing: whom to connect to, as gateways = [\"vpn.example.com\"]")
	}
	for i, g := range c.Gateways {
		if _, _, err := SplitGateway(g); err != nil {
			v.bad(at("gateways", i), "%v", err)
		}
	}
	for i, a := range c.VirtualIPs {
		if addr, err := netip.ParseAddr(a); err != nil || addr.Zone() != "" {
			v.bad(at("virtual_ips", i), "%s is not an address; \"0.0.0.0\" and \"::\" ask for any", shown(a))
		}
	}
	if len(c.VirtualIPs) > 8 {
		v.bad("virtual_ips", "more than 8")
	}
	if len(c.Pools) > 0 {
		v.bad("pools", "only a responder hands out addresses; set role = \"responder\" or remove it")
	}
	v.addresses("dns.servers", c.DNS.Servers)
	v.domains("dns.only", c.DNS.Only)
	if c.DNS.Ignore && (len(c.DNS.Servers) > 0 || len(c.DNS.Only) > 0) {
		v.bad("dns.ignore", "contradicts dns.servers or dns.only")
	}
}

func (v *validator) responder(c *Connection) {
	if len(c.Gateways) > 0 {
		v.bad("gateways", "a responder waits for peers and has no gateway")
	}
	if len(c.VirtualIPs) > 0 {
		v.bad("virtual_ips", "a responder asks for no address")
	}
	if c.DNS.Ignore || len(c.DNS.Servers) > 0 || len(c.DNS.Only) > 0 {
		v.bad("dns", "is for an initiator; what a responder hands out stands in pools")
	}
	names := map[string]bool{}
	for i, p := range c.Pools {
		field := at("pools", i)
		if err := CheckName(p.Name); err != nil {
			v.bad(field+".name", "%v", err)
		} else if names[p.Name] {
			v.bad(field+".name", "%s is there twice", shown(p.Name))
		}
		names[p.Name] = true
		if _, _, err := pool.ParseRange(p.Addresses); err != nil {
			v.bad(field+".addresses", "%s is not a range; write it as \"10.20.0.0/24\" or \"10.20.0.10-10.20.0.99\"", shown(p.Addresses))
		}
		v.addresses(field+".dns", p.DNS)
		v.domains(field+".domains", p.Domains)
		if len(p.Groups) > 0 && !c.Remote.AsksUsers() {
			v.bad(field+".groups", "needs [remote] users or radius: only users have groups")
		}
		for j, g := range p.Groups {
			if g == "" || len(g) > 253 || !clean(g) {
				v.bad(at(field+".groups", j), "is not the name of a group")
			}
		}
	}
}

func (v *validator) auth(field string, a *Auth, local bool) {
	v.oneOf(field+".method", a.Method, MethodPSK, MethodCertificate, MethodEAP)
	if a.ID != "" {
		id, err := auth.ParseIdentity(a.ID)
		switch {
		case !clean(a.ID) || len(a.ID) > 1024:
			v.bad(field+".id", "is not printable text of at most 1024 bytes")
		case err != nil:
			v.bad(field+".id", "%v", bare(err))
		case local && (id.IsAny() || strings.ContainsRune(a.ID, '*')):
			v.bad(field+".id", "the own identity cannot be a pattern; leave it out to use the certificate's subject, or with a PSK the address")
		}
	}
	v.fileName(field+".secret", a.Secret)
	v.fileName(field+".key", a.Key)
	v.fileName(field+".users", a.Users)
	v.fileName(field+".radius.secret", a.RADIUS.Secret)
	for i, n := range a.Certificates {
		v.certificate(at(field+".certificates", i), n)
	}
	for i, n := range a.CAs {
		v.certificate(at(field+".cas", i), n)
	}
	for i, s := range a.Signatures {
		if _, err := auth.ParseScheme(s); err != nil {
			v.bad(at(field+".signatures", i), "%v", bare(err))
		}
	}
	psk := a.Method == MethodPSK
	if psk && len(a.Signatures) > 0 {
		v.bad(field+".signatures", "has no meaning with a pre-shared key")
	}
	switch {
	case psk && local && a.Secret == "" && !a.Ask && v.mode == stored && !v.ofPeers:
		v.bad(field+".secret", "is missing: it names the pre-shared key in the secret store; ask = true asks for it at each connect")
	case psk && local && a.Secret != "" && a.Ask:
		v.bad(field+".ask", "contradicts secret: what is stored is not asked for")
	case a.Method == MethodCertificate && a.Secret != "" && a.User == "":
		v.bad(field+".secret", "has no meaning with method = \"certificate\"")
	}
	if local {
		if len(a.CAs) > 0 {
			v.bad(field+".cas", "belongs to [remote]: the authorities that the other end's certificate must lead to")
		}
		switch {
		case psk && (len(a.Certificates) > 0 || a.Key != ""):
			v.bad(field+".certificates", "has no meaning with method = \"psk\"")
		case a.Method == MethodCertificate && !a.certifies() && (v.mode == stored || a.Key == ""):
			v.bad(field+".certificates", "is missing: the own certificate first, then intermediates")
		case a.Method == MethodCertificate && a.Key == "" && !a.OnToken() && v.mode == stored:
			v.bad(field+".key", "is missing: the private key of the certificate")
		}
		return
	}
	if len(a.Certificates) > 0 || a.Key != "" {
		v.bad(field+".certificates", "belongs to [local]; the remote end sends its certificate, and cas says which authorities it must lead to")
	}
	if psk && len(a.CAs) > 0 {
		v.bad(field+".cas", "has no meaning with method = \"psk\"")
	}
	if a.Ask {
		v.bad(field+".ask", "belongs to [local]: what this end proves itself with")
	}
}

// peerSecrets checks the pre-shared keys of single peers.
func (v *validator) peerSecrets(c *Connection) {
	list := c.Remote.Secrets
	v.ofPeers = len(list) > 0
	switch {
	case len(c.Local.Secrets) > 0:
		v.bad("local.secrets", "belongs to [remote] of a responder: the keys of its peers")
	case len(list) > 0 && (!c.IsResponder() || c.Remote.Method != MethodPSK):
		v.bad("remote.secrets", "is for a responder whose peers prove a pre-shared key")
	case len(list) > maxPeerSecrets:
		v.bad("remote.secrets", "more than %d", maxPeerSecrets)
		return
	}
	seen := map[string]bool{}
	for i, p := range list {
		field := at("remote.secrets", i)
		id, err := auth.ParseIdentity(p.ID)
		switch {
		case err != nil || !clean(p.ID) || len(p.ID) > 1024:
			v.bad(field+".id", "%s is not an identity", shown(p.ID))
		case id.IsAny():
			v.bad(field+".id", "is missing: whose key it is; everybody's is remote.secret")
		case seen[id.String()]:
			v.bad(field+".id", "%s is there twice", shown(p.ID))
		}
		seen[id.String()] = true
		if p.Secret == "" && v.mode == stored {
			v.bad(field+".secret", "is missing: it names the pre-shared key in the secret store")
		}
		v.fileName(field+".secret", p.Secret)
	}
	for field, a := range map[string]*Auth{"local": &c.Local, "remote": &c.Remote} {
		if a.WeakSecret && a.Method != MethodPSK {
			v.bad(field+".weak_secret", "has a meaning with method = \"psk\" only")
		}
	}
}

// maxPeerSecrets bounds the peers with a key of their own.
const maxPeerSecrets = 256

// anyAuthority checks a connection that names no authority for the other end.
// The system's authorities vouch for everyone in the world, so it has to be
// said who is meant.
func (v *validator) anyAuthority(c *Connection) {
	if c.IsResponder() {
		v.bad("remote.cas", "is missing: the certificate authorities to trust for this connection")
		return
	}
	if !c.Remote.Names() {
		v.bad("remote.cas", "is missing: name the certificate authorities to trust for this connection, or set remote.id to the gateway's own name")
	}
}

// Names reports whether the identity is one end's alone, and no pattern.
func (a *Auth) Names() bool {
	id, err := auth.ParseIdentity(a.ID)
	return err == nil && a.ID != "" && !id.IsAny() && !strings.ContainsRune(a.ID, '*')
}

func (v *validator) ike(k *IKE) {
	v.oneOf("ike.mobike", k.MOBIKE, "", MOBIKEAllow, MOBIKENever)
	v.proposals("ike.proposals", transform.ProtoIKE, k.Proposals)
	v.duration("ike.rekey_time", k.RekeyTime, time.Second, maxLifetime)
	v.duration("ike.life_time", k.LifeTime, time.Second, 2*maxLifetime)
	v.duration("ike.reauth_time", k.ReauthTime, time.Second, maxLifetime)
	v.duration("ike.liveness_delay", k.LivenessDelay, time.Second, 24*time.Hour)
	v.duration("ike.retransmit_timeout", k.RetransmitTimeout, 100*time.Millisecond, time.Minute)
	if k.RetransmitTries > 20 || k.RetransmitTries < 0 {
		v.bad("ike.retransmit_tries", "%d is out of range (1 to 20)", k.RetransmitTries)
	}
	v.lifetime("ike", k.RekeyTime, 4*time.Hour, k.LifeTime)
}

// maxLifetime bounds how long keys may serve.
const maxLifetime = 30 * 24 * time.Hour

func (v *validator) children(c *Connection) {
	if len(c.Children) == 0 {
		v.bad("children", "is missing: at least one [[children]] says which traffic to protect")
	}
	if len(c.Children) > 16 {
		v.bad("children", "more than 16")
	}
	names := map[string]bool{}
	for i := range c.Children {
		ch, field := &c.Children[i], at("children", i)
		if err := CheckName(ch.Name); err != nil {
			v.bad(field+".name", "%v", err)
		} else if names[ch.Name] {
			v.bad(field+".name", "%s is there twice", shown(ch.Name))
		}
		names[ch.Name] = true
		v.selectors(field+".local_ts", ch.LocalTS)
		v.selectors(field+".remote_ts", ch.RemoteTS)
		v.proposals(field+".proposals", transform.ProtoESP, ch.Proposals)
		v.duration(field+".rekey_time", ch.RekeyTime, time.Second, maxLifetime)
		v.duration(field+".life_time", ch.LifeTime, time.Second, 2*maxLifetime)
		v.lifetime(field, ch.RekeyTime, time.Hour, ch.LifeTime)
		// A count that is used up within a moment would rekey without end.
		if ch.RekeyBytes != 0 && ch.RekeyBytes < 64<<10 {
			v.bad(field+".rekey_bytes", "is less than 64 KiB")
		}
		if ch.RekeyPackets != 0 && ch.RekeyPackets < 1000 {
			v.bad(field+".rekey_packets", "is less than 1000")
		}
		if n := ch.PerResourceSAs; n < OnePerProcessor || n > MaxPerResource {
			v.bad(field+".per_resource_sas", "is not -1 (one for each processor) or from 0 to %d", MaxPerResource)
		}
	}
}

func (v *validator) selectors(field string, list []string) {
	for i, s := range list {
		if _, _, err := ParseSelector(s); err != nil {
			v.bad(at(field, i), "%v", err)
		}
	}
}

func (v *validator) proposals(field string, p transform.Protocol, list []string) {
	for i, s := range list {
		if strings.TrimSpace(s) == "" || len(s) > 512 || !clean(s) {
			v.bad(at(field, i), "%s is not a proposal", shown(s))
			continue
		}
		if _, err := transform.ParseProposals(p, []string{s}); err != nil {
			v.bad(at(field, i), "%v", bare(err))
		}
	}
	if len(v.List) == 0 && len(list) > 0 {
		if _, err := transform.ParseProposals(p, list); err != nil {
			v.bad(field, "%v", bare(err))
		}
	}
}

func (v *validator) duration(field string, d Duration, least, most time.Duration) {
	if d.Duration != 0 && (d.Duration < least || d.Duration > most) {
		v.bad(field, "%s is out of range (%s to %s)", d, Duration{Duration: least}, Duration{Duration: most})
	}
}

// lifetime checks that there is time to rekey.
func (v *validator) lifetime(field string, rekey Duration, byDefault time.Duration, life Duration) {
	r := rekey.Duration
	if r == 0 {
		r = byDefault
	}
	if life.Duration != 0 && life.Duration <= r {
		v.bad(field+".life_time", "%s ends before the rekeying after %s", life, Duration{Duration: r})
	}
}

func (v *validator) addresses(field string, list []string) {
	for i, s := range list {
		if a, err := netip.ParseAddr(s); err != nil || a.Zone() != "" || a.IsUnspecified() {
			v.bad(at(field, i), "%s is not the address of a name server", shown(s))
		}
	}
}

func (v *validator) domains(field string, list []string) {
	for i, s := range list {
		if !hostName(strings.TrimSuffix(s, ".")) {
			v.bad(at(field, i), "%s is not a domain name", shown(s))
		}
	}
}

func (v *validator) oneOf(field, value string, allowed ...string) {
	var names []string
	for _, a := range allowed {
		if value == a {
			return
		}
		if a != "" {
			names = append(names, strconv.Quote(a))
		}
	}
	if value == "" {
		v.bad(field, "is missing; it is one of %s", strings.Join(names, ", "))
		return
	}
	hint := ""
	if near := config.Nearest(value, allowed); near != "" {
		hint = fmt.Sprintf("; did you mean %q?", near)
	}
	v.bad(field, "%s is not one of %s%s", shown(value), strings.Join(names, ", "), hint)
}

// certificate checks the name of a certificate; of one to import there may be
// the text itself, in PEM.
func (v *validator) certificate(field, value string) {
	if _, ok := inlineCert(value); !ok || v.mode != imported {
		v.fileName(field, value)
	}
}

// fileName checks the name of a stored secret or certificate, or of a file to
// import.
func (v *validator) fileName(field, name string) {
	switch {
	case name == "":
	case v.mode == imported:
		if len(name) > 1024 || !clean(name) || strings.ContainsAny(name, "*?[") {
			v.bad(field, "%s is not a file name", shown(name))
		}
	default:
		if err := checkFileName(name, "._-+"); err != nil {
			v.bad(field, "%v", err)
		}
	}
}

func at(field string, i int) string { return fmt.Sprintf("%s[%d]", field, i) }

// bare drops the "package: " that begins an error of core: the message tells
// the field instead.
func bare(err error) string {
	s := err.Error()
	for _, p := range []string{"auth: ", "transform: ", "ts: ", "pool: ", "pki: ", "pkcs11uri: "} {
		s = strings.TrimPrefix(s, p)
	}
	return s
}

// clean reports whether s is printable text of one line.
func clean(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0x2028 || r == 0x2029 }) < 0
}

// ParseSelector parses a traffic selector of a child. A dynamic one has protocol
// and ports, and no addresses yet.
func ParseSelector(s string) (sel ts.Selector, dynamic bool, err error) {
	rest, dynamic := strings.CutPrefix(s, "dynamic")
	if !dynamic {
		if sel, err = ts.Parse(s); err != nil {
			return sel, false, errors.New(bare(err))
		}
		return sel, false, nil
	}
	if sel, err = ts.Parse("0.0.0.0/0" + rest); err != nil {
		return sel, true, fmt.Errorf("%s is not a traffic selector: after \"dynamic\" only [protocol/port] may follow", shown(s))
	}
	sel.From, sel.To = netip.Addr{}, netip.Addr{}
	return sel, true, nil
}
