package ike

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"sallyport/core/transform"
)

var exploreDepth = flag.Int("explore.depth", 2, "steps of TestEveryCollision before the network is well again")

// What an end may begin of its own.
var beginnings = map[string]func(w *world, p *peer){
	"rekey child": func(w *world, p *peer) { p.do(p.e.RekeyChild(p.child().in, w.now)) },
	"rekey IKE":   func(w *world, p *peer) { p.do(p.one().Rekey(w.now)) },
	"close child": func(w *world, p *peer) { p.do(p.e.CloseChild(p.child().in, w.now)) },
	"close IKE":   func(w *world, p *peer) { p.do(p.one().Close(w.now)) },
	"create child": func(w *world, p *peer) {
		sa := p.one()
		sa.enqueue(&createTask{cfg: &p.cfg.Children[1]}, w.now)
		p.e.settle(sa, w.now)
		p.do(p.e.take())
	},
	"move": func(w *world, p *peer) { p.do(p.one().Move([]Path{between(addrA2, addrB)}, w.now)) },
}

// TestEveryCollision lets each end begin something at the same time, and then
// tries every order in which the messages may arrive, be lost, arrive twice, or be
// too late for a timer, to a depth. Then the network is well again, and both ends
// must come to the same.
func TestEveryCollision(t *testing.T) {
	names := []string{"rekey child", "rekey IKE", "close child", "close IKE", "create child"}
	for _, kind := range []string{"", "-ke1_ecp256"} { // with a further key exchange in each rekey
		for _, a := range append([]string{"move"}, names...) {
			if kind == "" || a != "close IKE" && a != "close child" {
				x := &exploration{kind: kind, a: a, b: "close child", reopen: true, seen: map[[32]byte]bool{}}
				t.Run(a+", close child"+kind+", reopened", x.run)
			}
		}
		for _, a := range append([]string{"move"}, names...) {
			for _, b := range names {
				if kind != "" && (a == "close IKE" || b == "close IKE" || a == "close child" && b == "close child") {
					continue // no further key exchange in it
				}
				x := &exploration{kind: kind, a: a, b: b, seen: map[[32]byte]bool{}}
				t.Run(a+", "+b+kind, x.run)
			}
		}
	}
}

// An exploration is of one collision. A world cannot be copied; but all in it is
// repeatable, so it is made anew and led to where the exploration stands.
type exploration struct {
	t          *testing.T
	kind, a, b string
	reopen     bool // what the other end deletes is asked for anew
	seen       map[[32]byte]bool
	ends       int
}

func (x *exploration) run(t *testing.T) {
	t.Parallel()
	x.t = t
	x.explore(nil)
	if x.ends == 0 {
		t.Error("nothing was tried")
	}
	t.Logf("%d states, %d ends", len(x.seen), x.ends)
}

// A decision is what happens next to the i-th message on the wire, or to time.
type decision struct {
	i    int
	what string // "deliver", "lose", "repeat", "wait"
}

func (x *exploration) explore(path []decision) {
	if x.t.Failed() {
		return
	}
	w, key := x.lead(path)
	if x.seen[key] {
		return
	}
	x.seen[key] = true
	if len(path) == *exploreDepth || len(w.wire) == 0 {
		x.ends++
		x.end(w, path)
		return
	}
	for i := range w.wire {
		for _, what := range []string{"deliver", "lose", "repeat"} {
			x.explore(append(slices.Clip(path), decision{i, what}))
		}
	}
	x.explore(append(slices.Clip(path), decision{0, "wait"}))
}

// lead makes the world that a path of decisions leads to, and a key for it: what
// each end has heard, in its order, and what is on the wire.
func (x *exploration) lead(path []decision) (*walker, [32]byte) {
	cfgA, cfgB := pskConfig("a"), pskConfig("b")
	for _, c := range []*Config{cfgA, cfgB} {
		c.MOBIKE, c.Reopen = true, x.reopen
		c.Proposals = mustProposals(transform.ProtoIKE, "aes256gcm16-prfsha256-x25519"+x.kind)
		c.Children[0].Proposals = mustProposals(transform.ProtoESP, "aes128gcm16-x25519"+x.kind+"-esn")
		c.Retransmit.Tries, c.LivenessDelay = 6, 20*time.Second
	}
	w := &walker{world: newWorld(x.t, testOptions{cfgA: cfgA, cfgB: cfgB})}
	w.up()
	for i, c := range []*Config{cfgA, cfgB} {
		second := c.Children[0]
		second.Name, second.Local, second.Remote = "second", nets(fmt.Sprintf("10.%d.0.0/16", 11+i)), nets(fmt.Sprintf("10.%d.0.0/16", 12-i))
		c.Children = append(c.Children, second)
	}
	heard := sha256.New()
	var of [2][]byte
	hear := func(p *peer, b []byte) {
		i := 0
		if p == w.b {
			i = 1
		}
		heard.Reset()
		heard.Write(of[i])
		heard.Write(b)
		of[i] = heard.Sum(nil)
	}
	beginnings[x.a](w.world, w.a)
	beginnings[x.b](w.world, w.b)
	for _, d := range path {
		switch d.what {
		case "deliver":
			hear(w.at(w.wire[d.i].to.Addr()), w.wire[d.i].data)
			w.deliver(d.i)
		case "repeat":
			hear(w.at(w.wire[d.i].to.Addr()), w.wire[d.i].data)
			w.hand(w.wire[d.i])
		case "lose":
			w.wire = slices.Delete(w.wire, d.i, d.i+1)
		case "wait":
			hear(w.a, nil)
			hear(w.b, nil)
			next := w.a.timeout()
			if n := w.b.timeout(); next.IsZero() || !n.IsZero() && n.Before(next) {
				next = n
			}
			if !next.IsZero() {
				w.run(next.Sub(w.now), func() {})
			}
		}
	}
	var wire [][]byte
	for _, k := range w.wire {
		wire = append(wire, append([]byte(k.to.String()), k.data...))
	}
	slices.SortFunc(wire, bytes.Compare)
	heard.Reset()
	fmt.Fprintf(heard, "%d %x %x %x", w.now.UnixNano(), of[0], of[1], wire)
	return w, [32]byte(heard.Sum(nil))
}

// end lets the network be well, and checks what both ends come to.
func (x *exploration) end(w *walker, path []decision) {
	w.advance(10 * time.Minute)
	w.concord()
	closes := func(what string) bool { return x.a == what || x.b == what }
	if !closes("close IKE") {
		if len(w.a.e.SAs()) != 1 || len(w.b.e.SAs()) != 1 {
			w.t.Errorf("%d and %d IKE SAs", len(w.a.e.SAs()), len(w.b.e.SAs()))
		}
		first := 0
		for _, c := range w.a.children {
			if c.Name == "net" {
				first++
			}
		}
		if want := 1; (!closes("close child") || x.reopen && x.a != "close child") && first != want {
			w.t.Errorf("%d Child SAs, want %d", first, want)
		}
		if x.a == "move" && len(w.a.e.SAs()) == 1 && len(w.b.e.SAs()) == 1 && w.a.one().path != w.b.one().path.reversed() {
			w.t.Errorf("paths %v and %v", w.a.one().path, w.b.one().path)
		}
	} else if len(w.a.e.sas)+len(w.b.e.sas) != 0 {
		w.t.Errorf("%d and %d IKE SAs", len(w.a.e.sas), len(w.b.e.sas))
	}
	if x.t.Failed() {
		x.t.Logf("%s, %s: %v\n%s%s", x.a, x.b, path, w.a.story(), w.b.story())
	}
}
