package policies

import (
	"slices"
	"strings"

	"sallyport/app/i18n"
	"sallyport/app/model"
	"sallyport/app/policydraft"
	"sallyport/app/ui/kit"
	"sallyport/core/api"
)

// stock returns what the stock filter lists and filter actions are called in
// the user's language; other names are their authors'.
func stock(name string) string {
	switch name {
	case "All IP Traffic":
		return i18n.T("policies.stock.allip")
	case "All ICMP Traffic":
		return i18n.T("policies.stock.allicmp")
	case "Permit":
		return i18n.T("policies.stock.permit")
	case "Block":
		return i18n.T("policies.stock.block")
	case "Respond only":
		return i18n.T("policies.stock.respond")
	case "Request security":
		return i18n.T("policies.stock.request")
	case "Require security":
		return i18n.T("policies.stock.require")
	}
	return kit.Clean(name)
}

// actionMark is how a filter action protects.
func actionMark(a policydraft.FilterAction) model.Mark {
	switch {
	case a.Action == policydraft.Permit:
		return model.Off
	case a.Action == policydraft.Block:
		return model.Blocked
	case a.Action != policydraft.Negotiate:
		return model.Fault
	case a.FallbackToUnsecured || a.AcceptUnsecured:
		return model.Partly
	}
	return model.Safe
}

// actionWord says an action in the words of Windows.
func actionWord(action string) string {
	switch action {
	case policydraft.Permit:
		return i18n.T("policies.action.permit")
	case policydraft.Block:
		return i18n.T("policies.action.block")
	case policydraft.Negotiate:
		return i18n.T("policies.action.negotiate")
	}
	return i18n.T("policies.action.none")
}

// actionMeaning says in a line what an action does to traffic.
func actionMeaning(a policydraft.FilterAction) string {
	switch {
	case a.Action == policydraft.Permit:
		return i18n.T("policies.meaning.permit")
	case a.Action == policydraft.Block:
		return i18n.T("policies.meaning.block")
	case a.Action != policydraft.Negotiate:
		return i18n.T("policies.meaning.none")
	case a.RespondOnly:
		return i18n.T("policies.meaning.respond")
	case a.FallbackToUnsecured:
		return i18n.T("policies.meaning.request")
	case a.AcceptUnsecured:
		return i18n.T("policies.meaning.accept")
	}
	return i18n.T("policies.meaning.require")
}

// protectionMark is the mark of what becomes of a flow.
func protectionMark(p api.Protection) model.Mark {
	switch p {
	case api.Protected:
		return model.Safe
	case api.Clear:
		return model.Partly
	case api.Held:
		return model.Busy
	case api.Stopped:
		return model.Blocked
	}
	return model.Off
}

func protectionWord(p api.Protection) string {
	switch p {
	case api.Protected:
		return i18n.T("policies.flow.protected")
	case api.Clear:
		return i18n.T("policies.flow.clear")
	case api.Held:
		return i18n.T("policies.flow.held")
	case api.Stopped:
		return i18n.T("policies.flow.blocked")
	}
	return i18n.T("policies.flow.unknown")
}

// verdict is what a simulation says of a flow, as a mark and a word.
func verdict(v string) (model.Mark, string) {
	switch v {
	case "protected":
		return model.Safe, i18n.T("policies.verdict.protected")
	case "clear":
		return model.Off, i18n.T("policies.verdict.clear")
	case "protected or clear":
		return model.Partly, i18n.T("policies.verdict.either")
	case "blocked":
		return model.Blocked, i18n.T("policies.verdict.blocked")
	}
	return model.Fault, kit.Clean(v)
}

// address says one end of a filter.
func address(a string) string {
	switch strings.ToLower(strings.TrimSpace(a)) {
	case "me":
		return i18n.T("policies.address.me")
	case "any":
		return i18n.T("policies.address.any")
	case "gateway":
		return i18n.T("policies.address.gateway")
	case "":
		return "–"
	}
	return kit.Clean(a)
}

// traffic says the protocol and ports of a filter.
func traffic(f policydraft.Filter) string {
	protocol := strings.ToUpper(kit.Clean(f.Protocol))
	if protocol == "" || strings.EqualFold(protocol, "any") {
		return i18n.T("policies.traffic.any")
	}
	if f.SourcePort == "" && f.DestinationPort == "" {
		return protocol
	}
	port := func(p string) string {
		if p == "" {
			return "*"
		}
		return kit.Clean(p)
	}
	if f.SourcePort == "" {
		return protocol + " " + port(f.DestinationPort)
	}
	return protocol + " " + port(f.SourcePort) + " › " + port(f.DestinationPort)
}

// filterText says a filter in a line.
func filterText(f policydraft.Filter) string {
	arrow := " › "
	if f.Mirrored {
		arrow = " – "
	}
	s := address(f.Source) + arrow + address(f.Destination)
	if f.Protocol != "" {
		s += ", " + traffic(f)
	}
	return s
}

// trafficOf says which packets a rule is for, a few of its filters at most.
func trafficOf(p *policydraft.Policy, list string) string {
	filters, ok := p.List(list)
	if !ok {
		return i18n.T("policies.list.missing")
	}
	if len(filters) == 0 {
		return i18n.T("policies.list.nothing")
	}
	const most = 3
	var parts []string
	for _, f := range filters[:min(most, len(filters))] {
		parts = append(parts, filterText(f))
	}
	s := strings.Join(parts, "; ")
	if more := len(filters) - most; more > 0 {
		s += " " + i18n.T("policies.list.more", "Count", more)
	}
	return s
}

// endpoint says what a rule's tunnel endpoint is.
func endpoint(tunnel string) string {
	if tunnel == "" {
		return i18n.T("policies.endpoint.none")
	}
	return i18n.T("policies.endpoint.tunnel", "Name", kit.Clean(tunnel))
}

func connectionType(t string) string {
	switch t {
	case "", "all":
		return i18n.T("policies.type.all")
	case "lan":
		return i18n.T("policies.type.lan")
	case "remote":
		return i18n.T("policies.type.remote")
	}
	return kit.Clean(t)
}

// authText says an authentication method in a line.
func authText(a policydraft.AuthMethod) string {
	s := ""
	switch a.Method {
	case policydraft.Certificate:
		s = i18n.T("policies.auth.certificate.of", "Names", kit.Clean(strings.Join(a.CAs, ", ")))
		if len(a.CAs) == 0 {
			s = i18n.T("policies.auth.certificate")
		}
	case policydraft.PSK:
		s = i18n.T("policies.auth.psk.of", "Name", kit.Clean(a.Secret))
	case policydraft.EAP:
		s = i18n.T("policies.auth.eap.of", "User", kit.Clean(a.User))
	default:
		s = i18n.T("policies.auth.none")
	}
	if a.RemoteID != "" {
		s += ", " + i18n.T("policies.auth.peer", "Name", kit.Clean(a.RemoteID))
	}
	return s
}

// protects reports whether ending a policy can let traffic out that it holds
// back. A text that cannot be read may say anything.
func protects(p *policydraft.Policy) bool {
	return slices.ContainsFunc(p.Rules, func(r policydraft.Rule) bool {
		a, ok := p.Action(r.FilterAction)
		return r.Enabled && (!ok || a.Action != policydraft.Permit)
	})
}

// shellAddress brackets an IPv6 address that a port follows.
func shellAddress(a string) string {
	if strings.Contains(a, ":") && !strings.HasPrefix(a, "[") {
		return "[" + a + "]"
	}
	return a
}
