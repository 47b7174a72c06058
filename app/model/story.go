package model

import (
	"net/netip"
	"slices"
	"strings"

	"sallyport/core/api"
)

// markOf returns the mark of a connection. Safe is only what the service says
// is protected now, without any exception: everything else has another mark,
// also combinations that no service of ours would say.
func markOf(c *api.Connection) Mark {
	clear := c.Protection == api.Clear || !c.ClearUntil.IsZero()
	// Respond lets traffic be clear by design, as long as nobody asks for more.
	byDesign := c.Profile == api.Respond && c.ClearUntil.IsZero()
	stopped := c.Protection == api.Stopped
	switch c.State {
	case api.Connected:
		switch {
		case clear:
			return Partly
		case stopped || c.Question != "":
			return Blocked
		case c.Problem != nil:
			return Fault
		case c.Protection == api.Held:
			return Busy
		case c.Protection == api.Protected, responds(c):
			return Safe
		}
		return Partly // nobody says that its traffic is protected
	case api.Connecting:
		switch {
		case clear && !byDesign:
			return Partly
		case stopped && c.Question != "":
			return Blocked
		}
		return Busy
	case api.Reconnecting:
		switch {
		case clear:
			return Partly
		case stopped && (c.Problem != nil || c.Question != ""):
			return Blocked
		}
		return Busy
	case api.Disconnecting:
		if clear && !byDesign {
			return Partly
		}
		return Busy
	case api.Blocked:
		if clear {
			return Partly
		}
		return Blocked
	case api.Disconnected, api.Listening:
		switch {
		case clear && !byDesign:
			return Partly
		case stopped:
			return Blocked
		case failed(c):
			return Fault
		case c.Protection == api.Held:
			return Busy
		}
		return Off
	}
	return Fault // a state that a later service has added
}

func responds(c *api.Connection) bool { return c.Role == "responder" && c.Protection == "" }

// failed reports whether a connection at rest came to grief: not when the user
// gave up.
func failed(c *api.Connection) bool { return c.Problem != nil && c.Problem.Code != api.CodeCancelled }

// wordOf returns the state in a word.
func wordOf(c *api.Connection) Text {
	m := markOf(c)
	switch c.State {
	case api.Connected:
		switch m {
		case Safe:
			return say("model.word.connected")
		case Busy:
			return say("model.word.waiting")
		}
	case api.Connecting:
		return say("model.word.connecting")
	case api.Reconnecting:
		if m != Blocked {
			return say("model.word.reconnecting")
		}
	case api.Disconnecting:
		return say("model.word.disconnecting")
	case api.Listening:
		if m == Off {
			return say("model.word.listening")
		}
	}
	switch m {
	case Partly:
		return say("model.word.clear")
	case Blocked:
		return say("model.word.blocked")
	case Fault:
		return say("model.word.failed")
	case Busy:
		return say("model.word.waiting")
	}
	return say("model.word.disconnected")
}

// verbOf returns what the one large button does.
func verbOf(c *api.Connection) Verb {
	switch c.State {
	case api.Disconnected:
		return Connect
	case api.Connecting:
		return Cancel
	case api.Connected, api.Reconnecting, api.Blocked:
		if c.Role == "responder" {
			return None
		}
		return Disconnect
	}
	return None
}

// storyOf says in full sentences how a connection stands.
func storyOf(c *api.Connection) []Text {
	m := markOf(c)
	story := []Text{first(c, m)}
	add := func(t Text) { story = append(story, t) }
	if m == Safe {
		if len(c.Routes) > 0 && reach(c.Routes) != everything {
			add(say("model.story.rest"))
		}
		if c.SAs > 0 {
			add(say("model.story.sas", "Count", c.SAs))
		}
		add(quantum(c))
	}
	if len(c.Addresses) > 0 && c.State == api.Connected {
		add(say("model.story.address", "Address", addresses(c.Addresses)))
	}
	if c.Rule != "" {
		add(say("model.story.rule", "Rule", c.Rule))
	}
	if c.Question != "" {
		add(say("model.story.question"))
	}
	if failed(c) && c.State != api.Connected {
		_, why, _ := ErrorText(c.Problem)
		add(why)
	}
	return story
}

// first is the sentence that must not be missed.
func first(c *api.Connection, m Mark) Text {
	switch m {
	case Safe:
		return protectedBy(c)
	case Partly:
		switch {
		case c.State == api.Connected && c.Protection == "":
			return say("model.story.unsaid")
		case c.ClearUntil.IsZero():
			return say("model.story.clear", "Networks", networks(c.Routes))
		}
		return say("model.story.clearUntil", "Networks", networks(c.Routes), "Time", c.ClearUntil)
	case Blocked:
		return say("model.story.blocked", "Networks", networks(c.Routes))
	case Fault:
		if c.Protection == api.Clear {
			return say("model.story.failedClear")
		}
		return say("model.story.failed")
	case Busy:
		return busy(c)
	}
	switch {
	case c.State == api.Listening:
		return say("model.story.listening")
	case c.Protection == api.Clear:
		return say("model.story.asked") // respond only: clear by design
	}
	return say("model.story.off")
}

// busy says what becomes of the traffic meanwhile.
func busy(c *api.Connection) Text {
	if c.State == api.Disconnecting {
		return say("model.story.disconnecting")
	}
	switch c.Protection {
	case api.Held:
		return say("model.story.held", "Gateway", gateway(c))
	case api.Stopped:
		return say("model.story.shut", "Gateway", gateway(c))
	case api.Clear:
		return say("model.story.yetClear", "Gateway", gateway(c))
	}
	return say("model.story.busy", "Gateway", gateway(c))
}

// protectedBy says what is protected and through whom.
func protectedBy(c *api.Connection) Text {
	gw := gateway(c)
	if c.Role == "responder" {
		return say("model.story.served")
	}
	switch reach(c.Routes) {
	case everything:
		return say("model.story.all", "Gateway", gw)
	case all4:
		return say("model.story.all4", "Gateway", gw)
	case all6:
		return say("model.story.all6", "Gateway", gw)
	case nothing:
		return say("model.story.some", "Gateway", gw)
	}
	return say("model.story.networks", "Networks", networks(c.Routes), "Gateway", gw)
}

// quantum says whether who records the traffic today can read it once there
// are quantum computers.
func quantum(c *api.Connection) Text {
	switch {
	case c.QuantumSafe:
		return say("model.story.quantum.yes")
	case c.QuantumWhy == api.QuantumNotOffered:
		return say("model.story.quantum.ours")
	case c.QuantumWhy == api.QuantumRefused:
		return say("model.story.quantum.refused")
	case c.QuantumWhy == api.QuantumNotSupported:
		return say("model.story.quantum.theirs")
	}
	return say("model.story.quantum.no")
}

// gateway names the other end.
func gateway(c *api.Connection) any {
	switch {
	case len(c.Gateway) > 0:
		return c.Gateway[0]
	case c.PeerID != "":
		return c.PeerID
	}
	return say("model.gateway")
}

// The reaches of a tunnel.
const (
	nothing = iota // it is not said
	parts
	all4
	all6
	everything
)

// reach tells how much of the Internet a list of networks covers: also when a
// half of it each is named, as some gateways do to spare the default route.
func reach(routes []netip.Prefix) int {
	var v4, v6 bool
	for _, half := range []bool{false, true} {
		v4 = v4 || covers(routes, netip.IPv4Unspecified(), half)
		v6 = v6 || covers(routes, netip.IPv6Unspecified(), half)
	}
	others := slices.ContainsFunc(routes, func(p netip.Prefix) bool { return p.Bits() > 1 && (p.Addr().Is4() && !v4 || p.Addr().Is6() && !v6) })
	switch {
	case len(routes) == 0:
		return nothing
	case v4 && v6:
		return everything
	case others:
		return parts
	case v4:
		return all4
	case v6:
		return all6
	}
	return parts
}

// covers reports whether routes hold all addresses of zero's family, as one
// network or as two halves.
func covers(routes []netip.Prefix, zero netip.Addr, halves bool) bool {
	if !halves {
		return slices.Contains(routes, netip.PrefixFrom(zero, 0))
	}
	upper := zero.AsSlice()
	upper[0] = 0x80
	high, _ := netip.AddrFromSlice(upper)
	return slices.Contains(routes, netip.PrefixFrom(zero, 1)) && slices.Contains(routes, netip.PrefixFrom(high, 1))
}

// networks names up to three networks.
func networks(routes []netip.Prefix) Text {
	const most = 3
	switch reach(routes) {
	case nothing:
		return say("model.networks.none")
	case everything:
		return say("model.networks.all")
	}
	var names []string
	for _, p := range routes[:min(most, len(routes))] {
		names = append(names, p.String())
	}
	list := strings.Join(names, ", ")
	if more := len(routes) - most; more > 0 {
		return say("model.networks.more", "List", list, "Count", more)
	}
	return say("model.networks.list", "List", list)
}

func addresses(list []netip.Addr) string {
	names := make([]string, len(list))
	for i, a := range list {
		names[i] = a.String()
	}
	return strings.Join(names, ", ")
}
