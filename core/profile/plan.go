package profile

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"sallyport/core/api"
	"sallyport/core/config"
	"sallyport/core/ike/auth"
	"sallyport/core/transform"
)

// maxPlan bounds the lines of a plan.
const maxPlan = 512

// A planner writes, setting by setting, what a file asks for and what it
// becomes.
type planner struct {
	lines []api.PlanLine
	// wanted holds what the file says, by our name of the setting; notes what is
	// to be said of it.
	wanted map[string][]string
	notes  map[string][]string
}

func (p *planner) add(l api.PlanLine) {
	if len(p.lines) < maxPlan {
		p.lines = append(p.lines, l)
	}
}

// setting adds the line of a setting with one value, unless neither the file
// nor the connection says anything of it. byDefault is what an empty value
// means.
func (p *planner) setting(name, value, byDefault string) {
	wanted := strings.Join(p.wanted[name], ", ")
	notes := p.notes[name]
	if wanted == "" && value == "" && len(notes) == 0 && byDefault == "" {
		return
	}
	l := api.PlanLine{Setting: name, Wanted: wanted, Becomes: value, Note: strings.Join(notes, "; ")}
	if value == "" {
		l.Becomes = byDefault
	}
	p.add(l)
}

// proposals adds a line for each proposal of the file.
func (p *planner) proposals(name string, protocol transform.Protocol, list []string) {
	wanted := p.wanted[name]
	if len(wanted) == 0 {
		if wanted = list; len(wanted) == 0 {
			p.add(api.PlanLine{Setting: name, Becomes: "the built-in algorithms"})
			return
		}
	}
	for _, w := range wanted {
		l := api.PlanLine{Setting: name, Wanted: w}
		parsed, err := transform.ParseProposals(protocol, []string{w})
		if err != nil {
			l.Note = bare(err)
			if k, ok := errors.AsType[*transform.KeywordError](err); ok {
				l.Note = k.Error() // the proposal stands beside it
			}
			l.Weak = strings.Contains(strings.ToLower(w), "md5") || strings.Contains(strings.ToLower(w), "des")
			p.add(l)
			continue
		}
		if slices.Contains([]string{"default", "default:aead"}, strings.ToLower(strings.TrimSpace(w))) {
			l.Becomes = "the built-in algorithms"
			p.add(l)
			continue
		}
		var becomes, weak []string
		for _, x := range parsed {
			becomes = append(becomes, strings.TrimPrefix(x.String(), protocol.String()+":"))
			for _, why := range x.Weak() {
				if !slices.Contains(weak, why) {
					weak = append(weak, why)
				}
			}
		}
		l.Becomes, l.Weak, l.Note = strings.Join(becomes, ", "), len(weak) > 0, strings.Join(weak, "; ")
		p.add(l)
	}
}

// connection adds the lines of a connection as it will be.
func (p *planner) connection(c *Connection) {
	byDefault := func(field string) string { return docs[field].Default }
	p.setting("role", c.Role, "")
	p.setting("gateways", strings.Join(c.Gateways, ", "), "")
	p.setting("profile", string(c.PolicyProfile()), "")
	p.proposals("ike.proposals", transform.ProtoIKE, c.IKE.Proposals)
	p.setting("ike.rekey_time", duration(c.IKE.RekeyTime), byDefault("IKE.rekey_time"))
	p.setting("ike.life_time", duration(c.IKE.LifeTime), "")
	p.setting("ike.reauth_time", duration(c.IKE.ReauthTime), "")
	p.setting("ike.liveness_delay", duration(c.IKE.LivenessDelay), byDefault("IKE.liveness_delay"))
	p.setting("ike.retransmit_timeout", duration(c.IKE.RetransmitTimeout), "")
	p.setting("ike.retransmit_tries", number(uint64(c.IKE.RetransmitTries)), "")
	p.setting("ike.unique", yesNo(c.IKE.Unique), "")
	p.setting("ike.no_resume", yesNo(c.IKE.NoResume), "")
	p.setting("ike.quantum", c.IKE.Quantum, "")
	p.setting("ike.ppks", strings.Join(ppkIDs(c), ", "), "")
	p.setting("ike.ppk_required", yesNo(c.IKE.PPKRequired), "")
	p.setting("ike.childless", yesNo(c.IKE.Childless), "")
	p.setting("ike.mobike", c.IKE.MOBIKE, "")
	p.auth("local", &c.Local, c)
	p.auth("remote", &c.Remote, c)
	p.setting("virtual_ips", strings.Join(c.VirtualIPs, ", "), "")
	for i := range c.Children {
		ch := &c.Children[i]
		at := "children." + ch.Name + "."
		local, remote := "the assigned or own address (dynamic)", "everything"
		if c.IsResponder() {
			local, remote = "everything", "the peer's address (dynamic)"
		}
		p.setting(at+"local_ts", strings.Join(ch.LocalTS, ", "), local)
		p.setting(at+"remote_ts", strings.Join(ch.RemoteTS, ", "), remote)
		p.proposals(at+"proposals", transform.ProtoESP, ch.Proposals)
		p.setting(at+"rekey_time", duration(ch.RekeyTime), byDefault("Child.rekey_time"))
		p.setting(at+"life_time", duration(ch.LifeTime), "")
		p.setting(at+"rekey_bytes", number(ch.RekeyBytes), "")
		p.setting(at+"rekey_packets", number(ch.RekeyPackets), "")
		p.setting(at+"per_resource_sas", perResource(ch.PerResourceSAs), "")
	}
	for _, pool := range c.Pools {
		p.setting("pools."+pool.Name, pool.Addresses, "")
	}
	switch {
	case c.IsResponder():
	case c.DNS.Ignore:
		p.setting("dns", "the machine's DNS stays as it is", "")
	default:
		p.setting("dns", strings.Join(c.DNS.Servers, ", "), "the gateway's name servers")
		p.setting("dns.only", strings.Join(c.DNS.Only, ", "), "")
	}
}

func (p *planner) auth(end string, a *Auth, c *Connection) {
	method := map[string]string{MethodPSK: "a pre-shared key", MethodCertificate: "a certificate"}[a.Method]
	if a.Ask {
		method += map[string]string{MethodPSK: ", asked for at each connect", MethodCertificate: ", whose passphrase is asked for at each connect"}[a.Method]
	}
	if a.OnToken() {
		method = map[bool]string{true: "a certificate on a token, whose PIN is asked for at each connect", false: "a certificate on a token"}[a.PIN == ""]
	}
	switch {
	case end == "local" && a.Method == MethodEAP:
		method = fmt.Sprintf("the user %s, asked with EAP", a.User)
	case end == "local" && a.UsesEAP():
		method += fmt.Sprintf(", then the user %s, asked with EAP", a.User)
	case a.Method == MethodEAP:
		method = "users, asked with EAP"
	}
	p.setting(end+".method", method, "")
	if end == "local" {
		p.setting("local.eap.server", a.EAP.Server, "")
	}
	id := ""
	if a.ID != "" {
		id = a.ID
	}
	nobody := "any that it proves"
	if end == "local" {
		nobody = "the subject of the certificate"
		if a.Method == MethodPSK {
			nobody = "the own address"
		}
	}
	p.setting(end+".id", id, nobody)
	if a.Method == MethodCertificate && end == "local" {
		p.setting("local.certificates", certNames(a.Certificates), "")
		p.setting("local.token", a.Token, "")
	}
	if a.Method == MethodCertificate && end == "remote" {
		p.setting("remote.cas", certNames(a.CAs), "the system's authorities")
		if a.Revocation != "" || len(p.wanted["remote.revocation"]) > 0 {
			p.setting("remote.revocation", a.Revocation, RevocationSoft)
		}
	}
	if a.WeakCertificates {
		p.add(api.PlanLine{Setting: end + ".weak_certificates", Wanted: "yes", Becomes: "yes", Weak: true,
			Note: "RSA keys of 1024 bits and signatures over SHA-1 are accepted, which somebody with means can forge"})
	}
	if len(a.Signatures) == 0 {
		p.setting(end+".signatures", "", "")
		return
	}
	l := api.PlanLine{Setting: end + ".signatures", Wanted: strings.Join(p.wanted[end+".signatures"], ", "), Becomes: strings.Join(a.Signatures, ", ")}
	for _, s := range a.Signatures {
		if scheme, err := auth.ParseScheme(s); err == nil && scheme.Weak() {
			l.Weak, l.Note = true, s+" signs a SHA-1 hash, which is broken"
		}
	}
	p.add(l)
}

// certNames tells stored certificates by the files that they came from.
func certNames(names []string) string {
	var out []string
	for _, n := range names {
		if m := storedCert.FindStringSubmatch(n); m != nil {
			n = m[1]
		}
		out = append(out, n)
	}
	return strings.Join(out, ", ")
}

func duration(d Duration) string {
	if d.Duration == 0 {
		return ""
	}
	return d.String()
}

func number(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}

func perResource(n int) string {
	switch n {
	case 0:
		return ""
	case OnePerProcessor:
		return "one for each processor"
	}
	return strconv.Itoa(n)
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return ""
}

// planTOML plans a profile of our own format: c is what the file says.
func planTOML(c *Connection, b *Bundle) []api.PlanLine {
	p := planner{wanted: map[string][]string{}}
	want := func(name string, values ...string) {
		for _, v := range values {
			if label, ok := inlineCert(v); ok {
				v = "the certificate in the file (" + strings.TrimSuffix(label, ".pem") + ")"
			}
			if v != "" {
				p.wanted[name] = append(p.wanted[name], config.Shown(v))
			}
		}
	}
	plain := func(name string, values ...string) { // that messages may show as they are
		for _, v := range values {
			if v != "" {
				p.wanted[name] = append(p.wanted[name], v)
			}
		}
	}
	plain("role", c.Role)
	plain("profile", c.Profile)
	plain("gateways", c.Gateways...)
	plain("virtual_ips", c.VirtualIPs...)
	plain("ike.proposals", c.IKE.Proposals...)
	plain("ike.rekey_time", duration(c.IKE.RekeyTime))
	plain("ike.life_time", duration(c.IKE.LifeTime))
	plain("ike.reauth_time", duration(c.IKE.ReauthTime))
	plain("ike.liveness_delay", duration(c.IKE.LivenessDelay))
	plain("ike.retransmit_timeout", duration(c.IKE.RetransmitTimeout))
	plain("ike.retransmit_tries", number(uint64(c.IKE.RetransmitTries)))
	plain("ike.unique", yesNo(c.IKE.Unique))
	plain("ike.no_resume", yesNo(c.IKE.NoResume))
	plain("ike.quantum", c.IKE.Quantum)
	plain("ike.ppks", ppkIDs(c)...)
	plain("ike.ppk_required", yesNo(c.IKE.PPKRequired))
	plain("ike.childless", yesNo(c.IKE.Childless))
	plain("ike.mobike", c.IKE.MOBIKE)
	plain("ike.check_path", yesNo(c.IKE.CheckPath))
	plain("ike.redirect", c.IKE.Redirect)
	for _, end := range []struct {
		name string
		auth *Auth
	}{{"local", &c.Local}, {"remote", &c.Remote}} {
		plain(end.name+".method", end.auth.Method)
		plain(end.name+".id", end.auth.ID)
		plain(end.name+".signatures", end.auth.Signatures...)
	}
	want("local.certificates", c.Local.Certificates...)
	want("remote.cas", c.Remote.CAs...)
	for i := range c.Children {
		ch := &c.Children[i]
		at := "children." + ch.Name + "."
		plain(at+"local_ts", ch.LocalTS...)
		plain(at+"remote_ts", ch.RemoteTS...)
		plain(at+"proposals", ch.Proposals...)
		plain(at+"rekey_time", duration(ch.RekeyTime))
		plain(at+"life_time", duration(ch.LifeTime))
		plain(at+"rekey_bytes", number(ch.RekeyBytes))
		plain(at+"rekey_packets", number(ch.RekeyPackets))
		plain(at+"per_resource_sas", perResource(ch.PerResourceSAs))
	}
	for _, pool := range c.Pools {
		plain("pools."+pool.Name, pool.Addresses)
	}
	plain("dns", c.DNS.Servers...)
	plain("dns.only", c.DNS.Only...)
	if c.DNS.Ignore {
		plain("dns", "ignore = true")
	}
	p.connection(&b.Connection)
	return p.lines
}

// A remark is a note on a setting that is not honoured, or not as it stands.
type remark struct {
	field string // "connections.home.mobike"
	why   string
}
