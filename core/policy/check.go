package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"sallyport/core/config"
	"sallyport/core/ike/auth"
	"sallyport/core/transform"
	"sallyport/core/ts"
)

// check judges what the policy says without a machine.
func (p *Policy) check() Findings {
	c := checker{Policy: p}
	switch {
	case p.Version == 0:
		c.bad("version", "is missing; write version = %d", SchemaVersion)
	case p.Version != SchemaVersion:
		c.bad("version", "is %d, but this Sallyport reads version %d", p.Version, SchemaVersion)
	}
	if err := CheckName(p.Name); err != nil {
		c.bad("name", "%v", err)
	}
	c.text("description", p.Description)
	c.proposals("key_exchange.methods", transform.ProtoIKE, p.KeyExchange.Methods)
	c.duration("key_exchange.lifetime", p.KeyExchange.Lifetime, time.Minute, maxLifetime)
	c.proposals("default_response.methods", transform.ProtoESP, p.DefaultResponse.Methods)
	c.auth("default_response.auth", p.DefaultResponse.Auth)
	for i := range p.DefaultResponse.Auth {
		if !p.DefaultResponse.Auth[i].Answers() {
			c.bad(at("default_response.auth", i)+".method", "\"eap\" proves the user of the end that begins, and here the peer does: a connection with role = \"responder\" asks for users")
		}
	}
	c.duration("downgrade.ttl", p.Downgrade.TTL, time.Minute, maxTTL)
	for i, pin := range p.Downgrade.Pins {
		if word, _, err := parseAddress(pin); err != nil || word != "" {
			c.bad(at("downgrade.pins", i), "%s is not an address, prefix or range", shown(pin))
		}
	}
	if p.Exemptions.LANDiscovery && !p.Exemptions.LAN {
		c.bad("exemptions.lan_discovery", "has no meaning without lan = true")
	}
	c.lists()
	c.actions()
	c.rules()
	return c.found
}

const (
	maxLifetime = 30 * 24 * time.Hour
	maxTTL      = 10 * 365 * 24 * time.Hour
)

// A checker collects findings.
type checker struct {
	*Policy
	found Findings
}

func (c *checker) add(s Severity, field, format string, args ...any) {
	if len(c.found) < maxFindings {
		c.found = append(c.found, c.finding(s, field, format, args...))
	}
}

func (c *checker) bad(field, format string, args ...any) {
	c.add(SeverityError, field, format, args...)
}

func (c *checker) warn(field, format string, args ...any) {
	c.add(SeverityWarning, field, format, args...)
}

func (c *checker) text(field, s string) {
	if len(s) > maxText || !clean(s) {
		c.bad(field, "is not one line of printable text of at most %d bytes", maxText)
	}
}

// name checks what a rule, filter list or action is called.
func (c *checker) name(field, name, what string, seen map[string]bool, stock func(string) bool) {
	switch {
	case name == "":
		c.bad(field, "is missing")
	case len(name) > maxName || !clean(name) || strings.TrimSpace(name) != name:
		c.bad(field, "%s is not one line of printable text of at most %d bytes", shown(name), maxName)
	case seen[name]:
		c.bad(field, "%s is there twice", shown(name))
	case stock != nil && stock(name):
		c.bad(field, "%s is the name of a stock %s; choose another", shown(name), what)
	}
	seen[name] = true
}

func (c *checker) lists() {
	seen := map[string]bool{}
	for i := range c.FilterLists {
		l, field := &c.FilterLists[i], at("filter_lists", i)
		c.name(field+".name", l.Name, "filter list", seen, func(n string) bool {
			return slices.ContainsFunc(StockFilterLists(), func(s FilterList) bool { return s.Name == n })
		})
		c.text(field+".description", l.Description)
		if len(l.Filters) > maxFilters {
			c.bad(field+".filters", "%d filters are too many (limit %d)", len(l.Filters), maxFilters)
			continue
		}
		for j := range l.Filters {
			if _, faults := l.Filters[j].parse(); len(faults) > 0 {
				for _, f := range faults {
					c.bad(at(field+".filters", j)+"."+f.field, "%v", f.err)
				}
			}
		}
	}
}

func (c *checker) actions() {
	seen := map[string]bool{}
	for i := range c.FilterActions {
		a, field := &c.FilterActions[i], at("filter_actions", i)
		c.name(field+".name", a.Name, "filter action", seen, func(n string) bool {
			return slices.ContainsFunc(StockFilterActions(), func(s FilterAction) bool { return s.Name == n })
		})
		c.text(field+".description", a.Description)
		c.oneOf(field+".action", a.Action, ActionPermit, ActionBlock, ActionNegotiate)
		if a.Action != ActionNegotiate {
			plain := FilterAction{Name: a.Name, Description: a.Description, Action: a.Action}
			if len(a.Methods) > 0 || a.AcceptUnsecured || a.FallbackToUnsecured || a.FallbackTime != plain.FallbackTime ||
				a.RespondOnly || a.SessionKeyPFS || a.RekeySeconds != 0 || a.RekeyKilobytes != 0 {
				c.bad(field+".action", "only \"negotiate\" has security methods, fallback, keys and the like")
			}
			continue
		}
		c.proposals(field+".methods", transform.ProtoESP, a.Methods)
		c.duration(field+".fallback_time", a.FallbackTime, time.Second, 24*time.Hour)
		if a.FallbackTime.Duration != 0 && !a.FallbackToUnsecured {
			c.bad(field+".fallback_time", "has no meaning without fallback_to_unsecured = true")
		}
		if a.RespondOnly && !a.FallbackToUnsecured {
			c.bad(field+".respond_only", "needs fallback_to_unsecured = true: nothing would start a negotiation, and nothing could pass")
		}
		if a.RekeySeconds != 0 && (a.RekeySeconds < 60 || a.RekeySeconds > uint64(maxLifetime/time.Second)) {
			c.bad(field+".rekey_seconds", "%d is out of range (60 to %d)", a.RekeySeconds, maxLifetime/time.Second)
		}
		// A count that is used up within a moment would rekey without end.
		if a.RekeyKilobytes != 0 && (a.RekeyKilobytes < 64 || a.RekeyKilobytes > 1<<40) {
			c.bad(field+".rekey_kilobytes", "%d is out of range (64 to %d)", a.RekeyKilobytes, uint64(1)<<40)
		}
	}
}

func (c *checker) rules() {
	seen := map[string]bool{}
	for i := range c.Rules {
		r, field := &c.Rules[i], at("rules", i)
		c.name(field+".name", r.Name, "rule", seen, nil)
		c.oneOf(field+".connection_type", r.ConnectionType, "", TypeAll, TypeLAN, TypeRemote)
		list, okList := c.List(r.FilterList)
		if !okList {
			c.missing(field+".filter_list", "filter list", r.FilterList, c.listNames())
		}
		action, okAction := c.Action(r.FilterAction)
		if !okAction {
			c.missing(field+".filter_action", "filter action", r.FilterAction, c.actionNames())
		}
		c.auth(field+".auth", r.Auth)
		if okAction && action.Action == ActionNegotiate {
			c.users(field, r, &action)
		}
		gateway, err := netip.ParseAddr(r.Tunnel)
		if err == nil && (gateway.Zone() != "" || gateway.IsUnspecified() || gateway.IsMulticast() || gateway.IsLoopback() || gateway.Is4In6()) {
			c.bad(field+".tunnel", "%s cannot be the address of a gateway", shown(r.Tunnel))
		}
		if r.Tunnel != "" && err != nil && (len(r.Tunnel) > maxName || !clean(r.Tunnel)) {
			c.bad(field+".tunnel", "%s is neither an address nor the name of a connection", shown(r.Tunnel))
		}
		if !okAction || !okList {
			continue
		}
		negotiates := action.Action == ActionNegotiate
		if !negotiates && len(r.Auth) > 0 {
			c.bad(field+".auth", "has no meaning with a filter action that does not negotiate")
		}
		if negotiates && r.Enabled && (r.Tunnel == "" || err == nil) && len(r.Auth) == 0 {
			c.bad(field+".auth", "is missing: how the peer and we prove who we are")
		}
		c.oneWay(field, r, &list, &action)
	}
}

// oneWay refuses filters that are not mirrored where an SA protects both ways.
func (c *checker) oneWay(field string, r *Rule, list *FilterList, action *FilterAction) {
	for j := range list.Filters {
		f := &list.Filters[j]
		if action.Action == ActionNegotiate && !f.Mirrored {
			c.bad(c.filterField(r.FilterList, j)+".mirrored", "must be true for the rule %s: what is negotiated is protected both ways", shown(r.Name))
			return
		}
		if r.Tunnel == "" && (strings.EqualFold(strings.TrimSpace(f.Source), WordGateway) || strings.EqualFold(strings.TrimSpace(f.Destination), WordGateway)) {
			c.bad(field+".tunnel", "is missing: a filter of the list %s names the gateway", shown(list.Name))
			return
		}
	}
}

// filterField returns the path of a filter.
func (p *Policy) filterField(list string, filter int) string {
	for i := range p.FilterLists {
		if p.FilterLists[i].Name == list {
			return at(at("filter_lists", i)+".filters", filter)
		}
	}
	return "filter_lists"
}

func (c *checker) listNames() (names []string) {
	for _, l := range append(slices.Clone(c.FilterLists), StockFilterLists()...) {
		names = append(names, l.Name)
	}
	return names
}

func (c *checker) actionNames() (names []string) {
	for _, a := range append(slices.Clone(c.FilterActions), StockFilterActions()...) {
		names = append(names, a.Name)
	}
	return names
}

// missing says that a reference leads nowhere.
func (c *checker) missing(field, what, name string, known []string) {
	if name == "" {
		c.bad(field, "is missing: the name of a %s", what)
		return
	}
	hint := ""
	lower := make([]string, len(known))
	for i, k := range known {
		lower[i] = strings.ToLower(k)
	}
	if near := config.Nearest(name, lower); near != "" {
		hint = fmt.Sprintf("; did you mean %q?", known[slices.Index(lower, near)])
	} else if what == "secret" || what == "certificate" {
		hint = "; " + stored(known) // who imports names a file, and the stores have names of their own
	}
	c.bad(field, "there is no %s %s%s", what, shown(name), hint)
}

// maxNames bounds the names that a finding lists.
const maxNames = 8

// stored says what is in a store.
func stored(names []string) string {
	more := ""
	switch {
	case len(names) == 0:
		return "the store is empty: the import of a connection fills it"
	case len(names) > maxNames:
		names, more = names[:maxNames], fmt.Sprintf(" and %d more", len(names)-maxNames)
	}
	return "the store has " + quoted(names) + more
}

func (c *checker) oneOf(field, value string, allowed ...string) {
	if slices.Contains(allowed, value) {
		return
	}
	allowed = slices.DeleteFunc(allowed, func(s string) bool { return s == "" })
	if value == "" {
		c.bad(field, "is missing; it is one of %s", quoted(allowed))
		return
	}
	hint := ""
	if near := config.Nearest(value, allowed); near != "" {
		hint = fmt.Sprintf("; did you mean %q?", near)
	}
	c.bad(field, "%s is not one of %s%s", shown(value), quoted(allowed), hint)
}

func (c *checker) duration(field string, d config.Duration, least, most time.Duration) {
	if d.Duration != 0 && (d.Duration < least || d.Duration > most) {
		c.bad(field, "%s is out of range (%s to %s)", d, config.Duration{Duration: least}, config.Duration{Duration: most})
	}
}

func (c *checker) proposals(field string, protocol transform.Protocol, list []string) {
	if len(list) > 64 {
		c.bad(field, "more than 64")
		return
	}
	good := true
	for i, s := range list {
		if strings.TrimSpace(s) == "" || len(s) > 512 || !clean(s) {
			c.bad(at(field, i), "%s is not a list of algorithms", shown(s))
			good = false
			continue
		}
		if _, err := transform.ParseProposals(protocol, []string{s}); err != nil {
			c.bad(at(field, i), "%s", strings.TrimPrefix(err.Error(), "transform: "))
			good = false
		}
	}
	if !good || len(list) == 0 {
		return
	}
	proposals, err := transform.ParseProposals(protocol, list)
	if err != nil {
		c.bad(field, "%s", strings.TrimPrefix(err.Error(), "transform: "))
		return
	}
	var weak []string
	for i := range proposals {
		for _, w := range proposals[i].Weak() {
			if !slices.Contains(weak, w) {
				weak = append(weak, w)
				c.warn(field, "allows %s, which is weak", w)
			}
		}
	}
}

func (c *checker) auth(field string, methods []AuthMethod) {
	if len(methods) > 64 {
		c.bad(field, "more than 64")
		return
	}
	for i := range methods {
		c.authMethod(at(field, i), &methods[i])
	}
}

func (c *checker) authMethod(field string, m *AuthMethod) {
	c.oneOf(field+".method", m.Method, MethodCertificate, MethodPSK, MethodEAP)
	for _, id := range []struct {
		field, text string
		pattern     bool
	}{{"local_id", m.LocalID, false}, {"remote_id", m.RemoteID, true}} {
		if id.text == "" {
			continue
		}
		parsed, err := auth.ParseIdentity(id.text)
		switch {
		case len(id.text) > maxText || !clean(id.text):
			c.bad(field+"."+id.field, "is not printable text of at most %d bytes", maxText)
		case err != nil:
			c.bad(field+"."+id.field, "%s", strings.TrimPrefix(err.Error(), "auth: "))
		case !id.pattern && (parsed.IsAny() || strings.Contains(id.text, "*")):
			c.bad(field+"."+id.field, "the own identity cannot be a pattern")
		}
	}
	c.eapMethod(field, m)
	certificate := m.Method == MethodCertificate
	switch {
	case certificate && m.Secret != "":
		c.bad(field+".secret", "has no meaning with method = \"certificate\"")
	case m.Method == MethodPSK && m.Secret == "":
		c.bad(field+".secret", "is missing: it names the pre-shared key in the secret store")
	}
	switch {
	case !certificate && (len(m.CAs) > 0 || len(m.Certificates) > 0 || m.Key != "") && m.Method == MethodPSK:
		c.bad(field+".certificates", "has no meaning with method = \"psk\"")
	case certificate && len(m.CAs) == 0:
		c.bad(field+".cas", "is missing: the authorities that the peer's certificate must lead to")
	case certificate && len(m.Certificates) == 0:
		c.bad(field+".certificates", "is missing: the own certificate first, then intermediates")
	case certificate && m.Key == "":
		c.bad(field+".key", "is missing: the private key of the certificate")
	}
	if len(m.CAs) > 64 || len(m.Certificates) > 64 {
		c.bad(field, "more than 64 certificates")
		return
	}
	for i, n := range m.CAs {
		c.fileName(at(field+".cas", i), n)
	}
	for i, n := range m.Certificates {
		c.fileName(at(field+".certificates", i), n)
	}
	if m.Key != "" {
		c.fileName(field+".key", m.Key)
	}
	if m.Secret != "" {
		c.fileName(field+".secret", m.Secret)
	}
}

// fileName checks the name of an entry in a store.
func (c *checker) fileName(field, name string) {
	if err := CheckName(name); err != nil {
		c.bad(field, "%v", err)
	}
}

// PinnedPeers returns the peers of Downgrade.Pins, with whom communication is never unsecured.
func (p *Policy) PinnedPeers() ts.List {
	var out ts.List
	for _, pin := range p.Downgrade.Pins {
		if word, s, err := parseAddress(pin); err == nil && word == "" {
			out = append(out, s)
		}
	}
	return out
}
