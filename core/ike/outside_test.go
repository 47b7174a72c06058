package ike

import (
	"errors"
	"net/netip"
	"testing"

	"sallyport/core/ike/message"
)

// widened is an answer with other traffic selectors behind the peer.
func widened(list []message.Payload, behindUs, behindPeer []string) (found bool) {
	for _, p := range list {
		x, ok := p.(*message.TS)
		switch {
		case !ok:
		case x.Responder:
			x.Selectors, found = nets(behindPeer...), true
		default:
			x.Selectors, found = nets(behindUs...), true
		}
	}
	return found
}

// TestWiderAnswerIsCut: a responder that answers with all that its policy has
// (OpenIKED 7.2) gets a Child SA of what was asked for, and of nothing beside it.
func TestWiderAnswerIsCut(t *testing.T) {
	made := 0
	for which, r := range requestsOfOurs {
		w, a, answer := askingIn(newWorld(t, testOptions{}), which)
		m, err := message.Open(answer.data, a.keys.open)
		if err != nil {
			t.Fatal(err)
		}
		if !widened(m.Payloads, []string{"10.1.0.0/16", "::/0"}, []string{"172.16.0.0/12", "0.0.0.0/0", "::/0"}) {
			continue
		}
		before := count[InstallChild](w.a)
		first, plain := encode(t, m.Payloads)
		reply(t, w, a, answer, first, plain)
		if count[InstallChild](w.a) != before+1 {
			t.Errorf("%s: no Child SA", r.name)
			continue
		}
		made++
		asked := a.cfg.Children[0]
		x, _ := effect[InstallChild](w.a)
		if x.Child.Local.String() != asked.Local.String() || x.Child.Remote.String() != asked.Remote.String() {
			t.Errorf("%s: a Child SA of %v and %v", r.name, x.Child.Local, x.Child.Remote)
		}
		answered(t, w, a)
	}
	if made < 2 {
		t.Errorf("%d Child SAs", made)
	}
}

// TestAnswerOfOtherNetworks: one that has nothing of what was asked for is told.
func TestAnswerOfOtherNetworks(t *testing.T) {
	for name, change := range map[string]func(*message.TS){
		"behind us":   func(x *message.TS) { x.Selectors = nets("10.77.0.0/16") },
		"behind them": func(x *message.TS) { x.Selectors = nets("10.78.0.0/16", "10.1.0.0/16") },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, testOptions{})
			sa := w.connect()
			w.rogue(func(_ int, in *inbox, b *SA) []message.Payload {
				list := append(b.identifies(t), grants(in)...)
				for _, p := range list {
					if x, ok := p.(*message.TS); ok && x.Responder == (name == "behind them") {
						change(x)
					}
				}
				return list
			})
			var out *OutsideAnswer
			w.mustEnd(t, sa, FailTSUnacceptable, nil)
			if f := w.a.failure(t); f.Notify != 0 || !errors.As(f, &out) {
				t.Errorf("ended with %v", f)
			}
		})
	}
}

// TestUnspecifiedAddressIsTheOneGiven: a client that offers the unspecified address
// as its own (OpenIKED 7.2: "from dynamic") means the one that it is given.
func TestUnspecifiedAddressIsTheOneGiven(t *testing.T) {
	for name, given := range map[string]bool{"given": true, "none asked for": false} {
		t.Run(name, func(t *testing.T) {
			cfgA, cfgB, _ := roadwarrior()
			cfgA.Children[0].LocalDynamic, cfgA.Children[0].Local = nil, nets("0.0.0.0/32", "::/128")
			if !given {
				cfgA.WantAddresses = nil
			}
			w := newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
			w.connect()
			w.flush()
			x, ok := effect[InstallChild](w.b)
			if ok != given {
				t.Fatalf("a Child SA: %v, want %v", ok, given)
			}
			want := hosts([]netip.Addr{netip.MustParseAddr("10.20.0.1"), netip.MustParseAddr("fd00:20::2")})
			if given && x.Child.Remote.String() != want.String() {
				t.Errorf("a Child SA of %v, want %v", x.Child.Remote, want)
			}
		})
	}
}

// TestUnspecifiedAddressInRekeys: the same in its answer to a rekey of ours.
func TestUnspecifiedAddressInRekeys(t *testing.T) {
	cfgA, cfgB, _ := roadwarrior()
	w := newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
	_, b := w.up()
	given := b.children[0].remote.String()
	w.b.do(w.b.e.RekeyChild(b.children[0].in, w.now))
	w.deliver(0)
	answer := w.wire[len(w.wire)-1]
	w.lose()
	m, err := message.Open(answer.data, b.keys.open)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range m.Payloads {
		if x, ok := p.(*message.TS); ok && x.Responder {
			x.Selectors = nets("0.0.0.0/32", "::/128")
		}
	}
	before := count[InstallChild](w.b)
	first, plain := encode(t, m.Payloads)
	reply(t, w, b, answer, first, plain)
	if x, _ := effect[InstallChild](w.b); count[InstallChild](w.b) != before+1 || x.Child.Remote.String() != given {
		t.Errorf("%d new Child SAs, the last of %v, want one of %v", count[InstallChild](w.b)-before, x.Child.Remote, given)
	}
}
