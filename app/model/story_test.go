package model

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/core/api"
)

var (
	allStates = []api.TunnelState{api.Disconnected, api.Connecting, api.Connected, api.Reconnecting, api.Disconnecting, api.Blocked,
		api.Listening, "hibernating"}
	allProfiles    = []api.Profile{api.Respond, api.Request, api.Require, ""}
	allProtections = []api.Protection{"", api.Protected, api.Clear, api.Held, api.Stopped, "bewitched"}
	allProblems    = []*api.Error{nil, {Code: api.CodeGatewaySilent, What: "x"}, {Code: api.CodeCancelled, What: "x"}, {Code: "later", What: "x"}}
	someTime       = time.Date(2026, 11, 21, 14, 5, 0, 0, time.UTC)
)

// eachCase calls f with the cross product of all that a connection can say of
// itself, also of what no service of ours would.
func eachCase(f func(name string, c api.Connection)) {
	for _, state := range allStates {
		for _, profile := range allProfiles {
			for _, protection := range allProtections {
				for _, until := range []time.Time{{}, someTime} {
					for _, problem := range allProblems {
						for _, question := range []string{"", "Let it leave in clear?"} {
							for _, role := range []string{"initiator", "responder"} {
								c := api.Connection{Name: "office", Role: role, Gateway: []string{"vpn.example.com"}, Profile: profile, State: state,
									Protection: protection, ClearUntil: until, Problem: problem, Question: question,
									Routes: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, SAs: 3, QuantumWhy: api.QuantumNotOffered}
								f(fmt.Sprintf("%s/%s/%s/until=%t/problem=%v/question=%t/%s", state, profile, protection, !until.IsZero(),
									problem != nil, question != "", role), c)
							}
						}
					}
				}
			}
		}
	}
}

// claims are the sentences that say that something is protected now.
var claims = []string{"model.story.all", "model.story.all4", "model.story.all6", "model.story.networks", "model.story.some", "model.story.served"}

// TestNeverProtectedWhenClear is promise 6: over all that a connection can say
// of itself, the mark, the word and the sentences call it protected only where
// the service says that it is, without exception.
func TestNeverProtectedWhenClear(t *testing.T) {
	n := 0
	eachCase(func(name string, c api.Connection) {
		n++
		m, word, story, verb := markOf(&c), wordOf(&c), storyOf(&c), verbOf(&c)
		safe := c.State == api.Connected && c.ClearUntil.IsZero() && c.Question == "" && c.Problem == nil &&
			(c.Protection == api.Protected || c.Protection == "" && c.Role == "responder")
		if got := m == Safe; got != safe {
			t.Errorf("%s: the mark is %s", name, m)
		}
		if got := word.Key == "model.word.connected"; got != safe {
			t.Errorf("%s: the word is %s", name, word.Key)
		}
		claimed := slices.ContainsFunc(story, func(s Text) bool { return slices.Contains(claims, s.Key) })
		if claimed != safe {
			t.Errorf("%s: the story is %v", name, story)
		}
		if (c.Protection == api.Clear || !c.ClearUntil.IsZero()) && m != Partly {
			// In clear, and yet no warning: only what is so by design, is not up, and says so itself.
			byDesign := c.Profile == api.Respond && c.ClearUntil.IsZero() &&
				slices.Contains([]api.TunnelState{api.Disconnected, api.Listening, api.Connecting, api.Disconnecting}, c.State)
			if !byDesign && c.State != "hibernating" {
				t.Errorf("%s: in clear, and the mark is %s", name, m)
			}
			if byDesign && !slices.Contains([]string{"model.story.yetClear", "model.story.asked", "model.story.listening", "model.story.failedClear",
				"model.story.disconnecting"}, story[0].Key) {
				t.Errorf("%s: in clear by design, and the story begins with %s", name, story[0].Key)
			}
		}
		if c.State == api.Blocked && c.Protection != api.Clear && c.ClearUntil.IsZero() && m != Blocked {
			t.Errorf("%s: blocked, and the mark is %s", name, m)
		}
		if c.State == "hibernating" && m != Fault {
			t.Errorf("%s: an unknown state has the mark %s", name, m)
		}
		switch {
		case c.State == api.Disconnected && verb != Connect, c.State == api.Connecting && verb != Cancel,
			c.State == api.Connected && c.Role == "initiator" && verb != Disconnect, c.State == api.Disconnecting && verb != None:
			t.Errorf("%s: the verb is %q", name, verb)
		}
		for _, s := range append(story, word) {
			if !strings.HasPrefix(s.Key, "model.") && !strings.HasPrefix(s.Key, "errors.") {
				t.Errorf("%s: says %q", name, s.Key)
			}
		}
		if failed(&c) && c.State != api.Connected && !strings.HasPrefix(story[len(story)-1].Key, "errors.") {
			t.Errorf("%s: why it is not better is not the last: %v", name, story)
		}
	})
	if n < 6000 {
		t.Errorf("only %d cases", n)
	}
}

func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func TestStory(t *testing.T) {
	up := func(change func(*api.Connection)) api.Connection {
		c := office(api.Connected)
		c.Routes, c.SAs, c.QuantumWhy = prefixes("10.0.0.0/8", "192.0.2.0/24"), 3, api.QuantumNotOffered
		change(&c)
		return c
	}
	for _, tt := range []struct {
		name string
		c    api.Connection
		want string // the keys
	}{
		{"split", up(func(*api.Connection) {}), "networks rest sas quantum.ours"},
		{"everything", up(func(c *api.Connection) { c.Routes = prefixes("0.0.0.0/0", "::/0") }), "all sas quantum.ours"},
		{"all of IPv4 in halves, and a network of IPv6", up(func(c *api.Connection) { c.Routes = prefixes("0.0.0.0/1", "128.0.0.0/1", "2001:db8::/32") }),
			"networks rest sas quantum.ours"},
		{"all of IPv4", up(func(c *api.Connection) { c.Routes = prefixes("0.0.0.0/0") }), "all4 rest sas quantum.ours"},
		{"all of IPv6", up(func(c *api.Connection) { c.Routes = prefixes("::/1", "8000::/1") }), "all6 rest sas quantum.ours"},
		{"no networks known", up(func(c *api.Connection) { c.Routes, c.SAs = nil, 0 }), "some quantum.ours"},
		{"the gateway lacks it", up(func(c *api.Connection) { c.QuantumWhy = api.QuantumNotSupported }), "networks rest sas quantum.theirs"},
		{"the gateway refuses it", up(func(c *api.Connection) { c.QuantumWhy = api.QuantumRefused }), "networks rest sas quantum.refused"},
		{"quantum-safe", up(func(c *api.Connection) { c.QuantumSafe = true }), "networks rest sas quantum.yes"},
		{"an address, by a rule", up(func(c *api.Connection) {
			c.Addresses, c.Rule = []netip.Addr{netip.MustParseAddr("10.1.2.3")}, "lab"
		}), "networks rest sas quantum.ours address rule"},
		{"fallback", up(func(c *api.Connection) {
			c.State, c.Protection, c.ClearUntil = api.Reconnecting, api.Clear, someTime
			c.Problem = &api.Error{Code: api.CodeGatewaySilent}
		}), "clearUntil errors.gateway_silent.why"},
		{"a question", up(func(c *api.Connection) {
			c.State, c.Protection, c.Question = api.Reconnecting, api.Stopped, "x"
		}), "blocked question"},
		{"require connects", up(func(c *api.Connection) { c.State, c.Protection = api.Connecting, api.Stopped }), "shut"},
		{"request connects", up(func(c *api.Connection) { c.State, c.Protection = api.Connecting, api.Held }), "held"},
		{"respond connects", up(func(c *api.Connection) { c.State, c.Protection, c.Profile = api.Connecting, api.Clear, api.Respond }), "yetClear"},
		{"at rest", office(api.Disconnected), "off"},
		{"the user gave up", up(func(c *api.Connection) {
			c.State, c.Protection, c.Problem = api.Disconnected, "", &api.Error{Code: api.CodeCancelled}
		}), "off"},
	} {
		var got []string
		for _, s := range storyOf(&tt.c) {
			got = append(got, strings.TrimPrefix(s.Key, "model.story."))
		}
		if s := strings.Join(got, " "); s != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, s, tt.want)
		}
	}
	if got := networks(prefixes("10.0.0.0/8", "10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16", "10.4.0.0/16")); got.Params["Count"] != 2 {
		t.Errorf("five networks are %+v", got)
	}
}

// TestOverall sums up machines.
func TestOverall(t *testing.T) {
	conn := func(name string, s api.TunnelState, p api.Protection, problem api.ErrorCode) api.Connection {
		c := api.Connection{Name: name, Profile: api.Request, State: s, Protection: p}
		if problem != "" {
			c.Problem = &api.Error{Code: problem}
		}
		return c
	}
	safe := conn("a", api.Connected, api.Protected, "")
	for _, tt := range []struct {
		name       string
		conns      []api.Connection
		assignment *api.Assignment
		mark       Mark
		head       string
	}{
		{"nothing", nil, nil, Off, "model.head.off"},
		{"a policy that protects nothing yet", nil, &api.Assignment{Policy: "p"}, Off, "model.head.assigned"},
		{"one up", []api.Connection{safe}, nil, Safe, "model.head.safe"},
		{"two up", []api.Connection{safe, conn("b", api.Connected, api.Protected, "")}, nil, Safe, "model.heads.safe"},
		{"one in clear", []api.Connection{safe, conn("b", api.Reconnecting, api.Clear, "")}, nil, Partly, "model.head.partly"},
		{"one failed long ago", []api.Connection{safe, conn("b", api.Disconnected, "", api.CodeResolve)}, nil, Safe, "model.head.safe"},
		{"only one, which failed", []api.Connection{conn("b", api.Disconnected, "", api.CodeResolve)}, nil, Fault, "model.head.fault"},
		{"one blocked by the policy", []api.Connection{safe, conn("b", api.Disconnected, api.Stopped, "")}, nil, Blocked, "model.head.blocked"},
	} {
		w := world{}
		w.load(api.State{Connections: tt.conns, Assignment: tt.assignment})
		s := w.snapshot()
		if s.Mark != tt.mark || s.Headline.Key != tt.head {
			t.Errorf("%s: %s, %s; want %s, %s", tt.name, s.Mark, s.Headline.Key, tt.mark, tt.head)
		}
	}
	for l := Linking; l <= Refused; l++ {
		w := world{}
		w.load(api.State{Connections: []api.Connection{safe}})
		if l == Linked {
			continue
		}
		w.part(l, &api.Error{})
		if s := w.snapshot(); l != Linking && s.Mark != Fault || s.Mark == Safe || slices.ContainsFunc(s.Connections, func(c Connection) bool { return c.Mark == Safe }) {
			t.Errorf("link %d: %+v", l, s)
		}
	}
}
