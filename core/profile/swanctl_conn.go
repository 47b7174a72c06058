package profile

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"sallyport/core/pool"
	"sallyport/core/profile/settings"
	"sallyport/core/transform"
)

// connKeys are the settings of a connection that have no counterpart here.
var connKeys = map[string]treatment{
	"local_addrs":    {same: []string{"%any", "%any4", "%any6", "0.0.0.0", "::", "0.0.0.0/0", "::/0"}, why: "the service uses the addresses that the machine has"},
	"local_port":     {same: []string{"0", "500", "4500"}, why: "the service has its own ports"},
	"aggressive":     {same: no, why: "is for IKEv1"},
	"pull":           {same: yes, why: "is for IKEv1"},
	"dscp":           {same: []string{"0", "000000"}, why: "IKE packets are sent without a mark"},
	"encap":          {any: true}, // ESP always travels in UDP
	"dpd_timeout":    {same: zero, why: "is for IKEv1; the retransmissions decide when a peer is dead"},
	"fragmentation":  {same: []string{"yes", "accept", "true"}, why: "large IKE messages are fragmented whenever both ends know how"},
	"send_certreq":   {same: yes, why: "the trusted authorities are always named to the peer"},
	"send_cert":      {same: []string{"always", "ifasked", "yes"}, why: "the own certificate is always sent"},
	"keyingtries":    {same: []string{"0", "1", "%forever"}, why: "the connection's profile decides how long to try"},
	"rand_time":      {same: zero, why: "is not used"},
	"mediation":      {same: no, why: "mediation is not supported", refuse: true},
	"mediated_by":    {why: "mediation is not supported", refuse: true},
	"mediation_peer": {why: "mediation is not supported", refuse: true},
	"if_id_in":       {same: zero, why: "the tunnel has a device of its own"},
	"if_id_out":      {same: zero, why: "the tunnel has a device of its own"},
	"ocsp":           {same: []string{"never", "no"}, why: "OCSP is not used yet"},
}

// connection reads connections.<name>.
func (im *swanctl) connection(sec *settings.Section, names map[string]bool) *conn {
	c := &conn{im: im, b: Bundle{Certs: map[string][]byte{}, Secrets: map[string][]byte{}}}
	v := c.view(sec, "connections."+plain(sec.Name))
	p := &c.b.Connection
	p.Version, p.Name = SchemaVersion, c.name(sec, v.path, names)
	switch version, pos := v.get("version"); version {
	case "", "0", "2":
	case "1":
		// The rest of the section speaks another language.
		c.refuse(pos, v.field("version"), "IKEv1 is not supported yet")
		return c
	default:
		c.malformed(pos, v.field("version"), "%s is no version of IKE", shown(version))
	}
	p.Role = Initiator
	v.addresses()
	if p.Role == Initiator {
		p.VirtualIPs = v.virtualIPs()
	} else if vips, pos := v.list("vips"); len(vips) > 0 {
		c.note(pos, v.field("vips"), "the connection waits for peers and asks for no address")
	}
	p.IKE.Proposals = v.proposals("proposals", transform.ProtoIKE)
	v.times()
	v.quantum()
	local, remote := v.ends()
	v.children()
	// Credentials come last: what fails before needs none, and asks for no file.
	if len(c.errs) == 0 {
		local.localEnd()
		remote.remoteEnd()
	}
	v.rest(connKeys)
	v.sections(func(n string) bool {
		return n == "children" || strings.HasPrefix(n, "local") || strings.HasPrefix(n, "remote")
	})
	if len(c.errs) == 0 && len(im.missing) == 0 {
		c.b.Ignored = append(c.b.Ignored, im.general...)
		if err := c.b.finish(); err != nil {
			for _, e := range AllErrors(err) {
				c.malformed(sec.Pos, v.path, "%s", e.Error())
			}
		}
		c.b.Plan = c.plan(sec)
	}
	return c
}

// name chooses the connection's name: safe as a file name, and unique on
// systems that ignore case.
func (c *conn) name(sec *settings.Section, field string, names map[string]bool) string {
	if c.im.req.Name != "" {
		return c.im.req.Name
	}
	base := safeName(sec.Name)
	name := base
	for i := 2; names[strings.ToLower(name)]; i++ {
		suffix := "-" + strconv.Itoa(i)
		name = base[:min(len(base), maxName-len(suffix))] + suffix
	}
	names[strings.ToLower(name)] = true
	if name != sec.Name {
		c.note(sec.Pos, field, "is called %q here, as a name that every system takes for a file", name)
	}
	return name
}

// addresses reads whom to connect to, and with it the role.
func (v *view) addresses() {
	p := &v.b.Connection
	list, pos := v.list("remote_addrs")
	port, portPos := v.get("remote_port")
	var number uint64
	if port != "" && port != "500" && port != "0" {
		var err error
		if number, err = strconv.ParseUint(port, 10, 16); err != nil {
			v.malformed(portPos, v.field("remote_port"), "%s is no port", shown(port))
		}
	}
	var patterns []string
	for _, a := range list {
		if wildcard(a) {
			continue
		}
		if strings.ContainsAny(a, "/-") && looksLikeRange(a) {
			patterns = append(patterns, a)
			continue
		}
		if _, _, err := SplitGateway(a); err != nil {
			v.malformed(pos, v.field("remote_addrs"), "%v", err)
			continue
		}
		v.hosts = append(v.hosts, a)
		p.Gateways = append(p.Gateways, JoinGateway(a, uint16(number)))
	}
	v.pools()
	if len(p.Gateways) > 0 && p.Role != Responder {
		if len(patterns) > 0 {
			v.note(pos, v.field("remote_addrs"), "ranges of addresses are not connected to: %s", shown(strings.Join(patterns, ", ")))
		}
		return
	}
	p.Role = Responder
	if len(p.Gateways)+len(patterns) > 0 {
		v.refuse(pos, v.field("remote_addrs"), "a connection that waits for peers cannot be limited to some addresses yet")
	}
	p.Gateways = nil
}

// wildcard reports whether an entry of remote_addrs stands for every peer.
func wildcard(a string) bool {
	switch strings.ToLower(a) {
	case "%any", "%any4", "%any6", "0.0.0.0", "::", "0.0.0.0/0", "::/0":
		return true
	}
	return false
}

// looksLikeRange tells a prefix or a range of addresses from a host name,
// which may hold a "-".
func looksLikeRange(a string) bool {
	_, err := netip.ParsePrefix(a)
	if err == nil {
		return true
	}
	_, _, err = pool.ParseRange(a)
	return err == nil
}

func (v *view) virtualIPs() []string {
	list, pos := v.list("vips")
	var out []string
	for _, a := range list {
		addr, err := netip.ParseAddr(a)
		if err != nil || addr.Zone() != "" {
			v.malformed(pos, v.field("vips"), "%s is not an address", shown(a))
			continue
		}
		out = append(out, addr.String())
	}
	return out
}

// proposals checks each proposal by itself. strongSwan passes over what it
// does not know, and so does this, as long as something is left.
func (v *view) proposals(key string, protocol transform.Protocol) []string {
	list, pos := v.list(key)
	var out []string
	for _, s := range list {
		if _, err := transform.ParseProposals(protocol, []string{s}); err != nil {
			v.note(pos, v.field(key), "%s is not offered: %s", shown(s), bare(err))
			continue
		}
		out = append(out, s)
	}
	if len(list) > 0 && len(out) == 0 {
		v.refuse(pos, v.field(key), "none of the proposals is supported")
	}
	return out
}

// times reads the lifetimes of the IKE SA and the liveness checks.
func (v *view) times() {
	k := &v.b.Connection.IKE
	k.RekeyTime, _ = v.duration("rekey_time", maxLifetime)
	k.ReauthTime, _ = v.duration("reauth_time", maxLifetime)
	k.LivenessDelay, _ = v.duration("dpd_delay", 24*time.Hour)
	if s, pos := v.get("rekey_time"); has(zero, s) && k.ReauthTime.Duration == 0 {
		v.note(pos, v.field("rekey_time"), "new keys cannot be switched off; they are made after 4h")
	}
	if over, ok := v.duration("over_time", maxLifetime); ok && over.Duration > 0 {
		rekey := k.RekeyTime.Duration
		if rekey == 0 {
			rekey = 4 * time.Hour
		}
		k.LifeTime.Duration = rekey + over.Duration
	}
	switch mobike, pos := v.get("mobike"); {
	case mobike == "":
	case has(yes, mobike):
		k.MOBIKE = MOBIKEAllow
	case has(no, mobike):
		k.MOBIKE = MOBIKENever
	default:
		v.malformed(pos, v.field("mobike"), "%s is neither yes nor no", shown(mobike))
	}
	switch unique, pos := v.get("unique"); strings.ToLower(unique) {
	case "", "no":
	case "replace", "yes":
		k.Unique = true
	default:
		v.note(pos, v.field("unique"), "only \"no\" and \"replace\" are known")
	}
}

// duration reads a time: a number with s, m, h or d behind it.
func (v *view) duration(key string, most time.Duration) (Duration, bool) {
	s, pos := v.get(key)
	if s == "" {
		return Duration{}, false
	}
	units := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour}
	digits, unit := s, time.Second
	if u, ok := units[s[len(s)-1]]; ok {
		digits, unit = strings.TrimSpace(s[:len(s)-1]), u
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil {
		v.malformed(pos, v.field(key), "%s is not a time; write it as \"90s\", \"5m\", \"4h\" or \"1d\"", shown(s))
		return Duration{}, false
	}
	if n > uint64(most/unit) {
		v.note(pos, v.field(key), "is cut to %s", Duration{Duration: most})
		return Duration{Duration: most}, true
	}
	return Duration{Duration: time.Duration(n) * unit}, true
}

// poolKeys are the attributes of a pool that are not handed out.
var poolKeys = map[string]treatment{
	"netmask":       {why: "the netmask follows from the addresses"},
	"subnet":        {why: "the traffic selectors of the children say it"},
	"split_include": {why: "the traffic selectors of the children say it"},
	"split_exclude": {why: "is not handed out"},
	"nbns":          {why: "is not handed out"},
	"dhcp":          {why: "is not handed out"},
	"server":        {why: "is not handed out"},
}

// pools reads the pools that the connection names. To have one is to be a
// responder.
func (v *view) pools() {
	names, pos := v.list("pools")
	p := &v.b.Connection
	all := v.im.tree.Section("pools")
	for _, name := range names {
		p.Role = Responder
		var sec *settings.Section
		if all != nil {
			sec = all.Section(name)
		}
		if sec == nil {
			v.refuse(pos, v.field("pools"), "there is no pool %s in the pools section", shown(name))
			continue
		}
		pv := v.view(sec, "pools."+plain(name))
		addrs, at := pv.get("addrs")
		if a, err := netip.ParseAddr(addrs); err == nil {
			addrs = a.String() + "-" + a.String()
		}
		_, last, err := pool.ParseRange(addrs)
		if err != nil {
			pv.malformed(at, pv.field("addrs"), "%s is not a range of addresses", shown(addrs))
			continue
		}
		// "10.1.0.7/24" is a pool that begins with 10.1.0.7: what lies before
		// is somebody's, often the gateway's own.
		if p, err := netip.ParsePrefix(addrs); err == nil && p.Addr() != p.Masked().Addr() && !last.Less(p.Addr()) {
			addrs = p.Addr().String() + "-" + last.String()
		}
		out := Pool{Name: safeName(name), Addresses: addrs}
		dns, at := pv.list("dns")
		for _, d := range dns {
			a, err := netip.ParseAddr(d)
			if err != nil || a.IsUnspecified() || a.Zone() != "" {
				pv.malformed(at, pv.field("dns"), "%s is not the address of a name server", shown(d))
				continue
			}
			out.DNS = append(out.DNS, a.String())
		}
		// Attribute 25 is INTERNAL_DNS_DOMAIN (RFC 8598).
		domains, at := pv.list("25")
		for _, d := range domains {
			if !hostName(strings.TrimSuffix(d, ".")) {
				pv.malformed(at, pv.field("25"), "%s is not a domain name", shown(d))
				continue
			}
			out.Domains = append(out.Domains, d)
		}
		for _, k := range sec.Keys {
			if n, err := strconv.ParseUint(k.Name, 10, 16); err == nil && n != 25 {
				pv.used[k.Name] = true
				pv.note(k.Pos, pv.field(k.Name), "configuration attributes by number are not handed out, except 25")
			}
		}
		pv.rest(poolKeys)
		p.Pools = append(p.Pools, out)
	}
}
