package ike

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"sallyport/core/ike/message"
	"sallyport/core/transform"
)

// resourceWorld connects two ends of which each wants, or allows, that many Child
// SAs for resources.
func resourceWorld(t testing.TB, a, b int) *world {
	cfgA, cfgB := pskConfig("a"), pskConfig("b")
	cfgA.Children[0].Resources, cfgB.Children[0].Resources = a, b
	return newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
}

// resources are the numbers of the resources that a peer's Child SAs are for.
func (p *peer) resources() []int {
	var list []int
	for _, c := range p.one().children {
		list = append(list, c.resource)
	}
	slices.Sort(list)
	return list
}

// of returns the Child SA of a resource.
func (p *peer) of(resource int) *child {
	p.w.t.Helper()
	for _, c := range p.one().children {
		if c.resource == resource {
			return c
		}
	}
	p.w.t.Fatalf("%s: no Child SA of resource %d", p.name, resource)
	return nil
}

// TestResources: as many Child SAs for resources come up as both ends want, beside
// the one for the rest.
func TestResources(t *testing.T) {
	for _, tt := range []struct {
		name     string
		a, b     int
		want     []int
		requests int // CREATE_CHILD_SA
	}{
		{"both the same", 3, 3, []int{0, 1, 2, 3}, 3},
		{"the responder allows more", 1, 8, []int{0, 1}, 1},
		{"the responder allows fewer", 4, 2, []int{0, 1, 2}, 3},
		{"the responder knows none", 4, 0, []int{0}, 0},
		{"the initiator wants none", 0, 4, []int{0}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := resourceWorld(t, tt.a, tt.b)
			a, b := w.up()
			if got := w.a.resources(); !slices.Equal(got, tt.want) {
				t.Errorf("initiator: %v, want %v", got, tt.want)
			}
			if got := w.b.resources(); !slices.Equal(got, tt.want) {
				t.Errorf("responder: %v, want %v", got, tt.want)
			}
			for _, c := range append(a.children, b.children...) {
				if !c.active {
					t.Errorf("child of resource %d carries nothing", c.resource)
				}
			}
			if n := count[ChildFailed](w.a) + count[ChildFailed](w.b); n != 0 {
				t.Errorf("%d Child SAs failed", n)
			}
			// What the end did not get it does not ask for again.
			sent := a.nextID
			w.advance(2 * time.Minute)
			if w.a.one() != a || len(a.children) != len(tt.want) {
				t.Error("the Child SAs did not stay")
			}
			if n := int(sent) - 2; n < tt.requests || n > tt.requests+1 { // and a liveness check
				t.Errorf("%d requests, want %d", n, tt.requests)
			}
		})
	}
}

// TestResourceNotBeforeAnswer: a responder does not send on a Child SA that the
// peer may not have yet, since another carries the traffic.
func TestResourceNotBeforeAnswer(t *testing.T) {
	for _, way := range []string{"traffic", "request"} {
		t.Run(way, func(t *testing.T) {
			w := resourceWorld(t, 1, 1)
			w.connect()
			for len(w.b.children) < 2 {
				w.deliver(0)
			}
			c := w.b.of(1)
			if w.b.children[c.in].active {
				t.Fatal("the responder sends on what the peer has not heard of")
			}
			if way == "traffic" {
				w.b.do(w.b.e.NoteInbound(c.in, w.now))
			} else {
				w.flush()
			}
			if !w.b.children[c.in].active {
				t.Error("the responder does not send on it")
			}
			w.flush()
			w.agree()
		})
	}
}

// TestResourceRekey: the Child SA of a resource stays that of it, whoever rekeys it,
// and the IKE SA; so does the one for the rest.
func TestResourceRekey(t *testing.T) {
	w := resourceWorld(t, 2, 2)
	w.up()
	for _, p := range []*peer{w.a, w.b} {
		for resource := range 3 {
			old := p.of(resource).in
			p.do(p.e.RekeyChild(old, w.now))
			w.flush()
			w.agree()
			if p.of(resource).in == old {
				t.Errorf("%s: resource %d was not rekeyed", p.name, resource)
			}
		}
		p.do(p.one().Rekey(w.now))
		w.flush()
		w.agree()
		for _, q := range []*peer{w.a, w.b} {
			if got := q.resources(); !slices.Equal(got, []int{0, 1, 2}) {
				t.Errorf("%s: %v", q.name, got)
			}
		}
	}
}

// TestResourceDelete: one that ends leaves the others, and no other is opened.
func TestResourceDelete(t *testing.T) {
	for resource := range 3 {
		w := resourceWorld(t, 2, 2)
		w.up()
		w.b.do(w.b.e.CloseChild(w.b.of(resource).in, w.now))
		w.flush()
		w.advance(time.Minute)
		w.agree()
		want := slices.DeleteFunc([]int{0, 1, 2}, func(n int) bool { return n == resource })
		for _, p := range []*peer{w.a, w.b} {
			if got := p.resources(); !slices.Equal(got, want) {
				t.Errorf("%s: %v, want %v", p.name, got, want)
			}
		}
	}
}

// TestResourceForgotten: a rekey of one that the peer has lost brings it back.
func TestResourceForgotten(t *testing.T) {
	w := resourceWorld(t, 2, 2)
	w.up()
	lost := w.b.of(2)
	w.b.one().dropChild(lost, 0, nil)
	w.b.do(w.b.e.NoteInbound(w.b.of(0).in, w.now)) // performs the removal
	w.a.do(w.a.e.RekeyChild(lost.out, w.now))
	w.flush()
	w.agree()
	if got := w.a.resources(); !slices.Equal(got, []int{0, 1, 2}) {
		t.Errorf("%v", got)
	}
}

// TestResourceUnknownToPeer: a peer that takes the request for one of a plain Child
// SA, as those do that do not know RFC 9611, is asked once, and its Child SA deleted
// without loss of what it sends there.
func TestResourceUnknownToPeer(t *testing.T) {
	w := resourceWorld(t, 2, 2)
	w.connect()
	for len(w.a.children) == 0 {
		w.deliver(0)
	}
	// From now on the peer knows no resources.
	w.b.cfg.Children[0].Resources = 0
	w.b.one().children[0].resource = 9 // so that it looks for no other
	w.deliver(0)
	if w.b.one().children[1].grouped {
		t.Fatal("the peer knows resources")
	}
	w.deliver(0)
	if len(w.a.children) != 2 {
		t.Fatal("what the peer sends on its Child SA is not received")
	}
	for _, c := range w.a.children {
		if c.active != (c.Resource == 0) {
			t.Errorf("resource %d: active %v", c.Resource, c.active)
		}
	}
	w.advance(time.Minute)
	if len(w.a.children) != 1 || len(w.b.children) != 1 || count[ChildFailed](w.a) != 0 {
		t.Errorf("%d and %d Child SAs", len(w.a.children), len(w.b.children))
	}
	if r, ok := effect[RemoveChild](w.a); !ok || r.Grace != keepOldChild || r.Err != nil {
		t.Errorf("removed with %+v", r)
	}
}

// TestResourceRefused: whatever error a peer answers with, the tunnel goes on.
func TestResourceRefused(t *testing.T) {
	for _, kind := range []message.NotifyType{message.NotifyTSMaxQueue, message.NotifyNoAdditionalSAs,
		message.NotifyTSUnacceptable, message.NotifyNoProposalChosen, 12345} {
		w := resourceWorld(t, 2, 2)
		w.connect()
		for len(w.a.children) == 0 {
			w.deliver(0)
		}
		request := w.wire[0]
		w.lose()
		h, err := message.ParseHeader(request.data)
		if err != nil {
			t.Fatal(err)
		}
		b := w.b.one()
		b.respond(h, []message.Payload{status(kind)}, w.now)
		w.b.do(w.b.e.HandleTimeout(w.now))
		w.advance(time.Minute)
		if len(w.a.children) != 1 || count[ChildFailed](w.a) != 0 || !w.a.of(0).full {
			t.Errorf("%v: %d Child SAs, %d failed", kind, len(w.a.children), count[ChildFailed](w.a))
		}
	}
}

// TestResourceHostile: what a peer says in the notify harms nothing, and it gets no
// more Child SAs than are allowed.
func TestResourceHostile(t *testing.T) {
	info := func(data []byte) message.Payload {
		return &message.Notify{Kind: message.NotifySAResourceInfo, Protocol: transform.ProtoESP, SPI: []byte{1, 2, 3, 4}, Data: data}
	}
	for _, tt := range []struct {
		name string
		more []message.Payload
	}{
		{"empty", []message.Payload{info(nil)}},
		{"over-long", []message.Payload{info(bytes.Repeat([]byte{0xff}, 4000))}},
		{"twice", []message.Payload{info([]byte{0, 0, 0, 1}), info([]byte{0, 0, 0, 9})}},
		{"a number that is too large", []message.Payload{info([]byte{0xff, 0xff, 0xff, 0xff})}},
		{"a number in use", []message.Payload{info([]byte{0, 0, 0, 1})}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := resourceWorld(t, 0, 2)
			a, b := w.up()
			// The peer announces nothing, and asks all the same.
			b.children[0].grouped = true
			for n := range 6 {
				o, err := a.newExchange(&a.cfg.Children[0], 0)
				if err != nil {
					t.Fatal(err)
				}
				o.free(a)
				datagrams, err := a.seal(message.CreateChildSA, a.nextID, false, append(o.payloads(), tt.more...))
				if err != nil {
					t.Fatal(err)
				}
				a.nextID++
				for _, d := range datagrams {
					w.hand(packet{from: w.path().Local, to: w.path().Remote, data: d})
				}
				w.lose()
				if want := min(2+n, 3); len(w.b.children) != want {
					t.Fatalf("%d Child SAs after %d requests, want %d", len(w.b.children), n+1, want)
				}
			}
			if got := w.b.resources(); !slices.Equal(got, []int{0, 1, 2}) {
				t.Errorf("resources %v", got)
			}
		})
	}
}
