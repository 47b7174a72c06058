package ike

import (
	"slices"
	"testing"
	"time"
)

// threeChildren are the configurations of two ends with three children, each with Child
// SAs for that many resources.
func threeChildren(resources int) (a, b *Config) {
	a, b = pskConfig("a"), pskConfig("b")
	for _, cfg := range []*Config{a, b} {
		for i, name := range []string{"net", "second", "third"} {
			if i > 0 {
				c := cfg.Children[0]
				here, there := []string{"", "10.3.0.0/16", "10.5.0.0/16"}[i], []string{"", "10.4.0.0/16", "10.6.0.0/16"}[i]
				if cfg == b {
					here, there = there, here
				}
				c.Name, c.Local, c.Remote = name, nets(here), nets(there)
				cfg.Children = append(cfg.Children, c)
			}
			cfg.Children[i].Resources = resources
		}
	}
	return a, b
}

// TestResourcesOfSeveralChildren: each child gets the Child SAs of its own resources,
// one of each, and no more requests than those take.
func TestResourcesOfSeveralChildren(t *testing.T) {
	cfgA, cfgB := threeChildren(3)
	// The responder allows more: only the initiator's own number bounds them.
	for i := range cfgB.Children {
		cfgB.Children[i].Resources = MaxResources
	}
	w := newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
	a, b := w.up()
	for name, sa := range map[string]*SA{"initiator": a, "responder": b} {
		got := map[string][]int{}
		for _, c := range sa.children {
			got[c.cfg.Name] = append(got[c.cfg.Name], c.resource)
		}
		for child, list := range got {
			slices.Sort(list)
			if !slices.Equal(list, []int{0, 1, 2, 3}) {
				t.Errorf("%s: child %s has resources %v", name, child, list)
			}
		}
	}
	if n, most := int(a.nextID), 2+2+9+1; n > most {
		t.Errorf("%d requests, want %d at most", n, most)
	}
}

// TestResourcesAskedForByBothEnds: two requests that cross bring Child SAs of two
// resources, and never more of them than are allowed.
func TestResourcesAskedForByBothEnds(t *testing.T) {
	for allowed := 1; allowed <= 3; allowed++ {
		w := resourceWorld(t, allowed, allowed)
		w.connect()
		for len(w.a.children) == 0 {
			w.deliver(0)
		}
		b := w.b.one()
		b.enqueue(&createTask{cfg: &b.cfg.Children[0], resource: 1}, w.now)
		w.b.e.settle(b, w.now)
		w.b.do(w.b.e.take())
		w.flush()
		w.advance(time.Minute)
		w.agree()
		for _, p := range []*peer{w.a, w.b} {
			got := p.resources()
			if len(slices.Compact(slices.Clone(got))) != len(got) || got[len(got)-1] > allowed {
				t.Errorf("%s, %d allowed: resources %v", p.name, allowed, got)
			}
			if allowed > 1 && len(got) < 3 {
				t.Errorf("%s, %d allowed: resources %v are too few", p.name, allowed, got)
			}
		}
	}
}

// TestResourceWithoutSetting: an end whose profile says nothing of resources takes a
// request for a further Child SA as if it did not know the notify.
func TestResourceWithoutSetting(t *testing.T) {
	w := resourceWorld(t, 0, 0)
	a, _ := w.up()
	a.children[0].grouped = true // so that it asks all the same
	a.enqueue(&createTask{cfg: &a.cfg.Children[0], resource: 1}, w.now)
	w.a.e.settle(a, w.now)
	w.a.do(w.a.e.take())
	for len(w.wire) > 0 && len(w.b.children) < 2 {
		w.deliver(0)
	}
	if got := w.b.resources(); !slices.Equal(got, []int{0, 0}) {
		t.Errorf("resources %v", got)
	}
}

// TestResourcesLeaveRoomForRekeys: however many Child SAs for resources a profile asks
// for, every one of them can be rekeyed at the same time.
func TestResourcesLeaveRoomForRekeys(t *testing.T) {
	cfgA, cfgB := threeChildren(MaxResources)
	w := newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
	a, _ := w.up()
	if n := len(a.children); n <= len(cfgA.Children) || n > maxChildren/2 {
		t.Fatalf("%d Child SAs", n)
	}
	before := map[uint32]bool{}
	for _, c := range a.children {
		before[c.in] = true
	}
	for spi := range before {
		w.a.do(w.a.e.RekeyChild(spi, w.now))
	}
	w.flush()
	w.agree()
	for _, c := range a.children {
		if before[c.in] {
			t.Errorf("child %s of resource %d was not rekeyed", c.cfg.Name, c.resource)
		}
	}
}
