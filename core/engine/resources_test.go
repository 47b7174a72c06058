package engine

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/core/api"
	"sallyport/core/host"
	"sallyport/core/internal/simnet"
)

// withResources gives the child of a profile that many Child SAs for resources.
func withResources(profile string, n int) string {
	return strings.Replace(profile, "name = \"net\"\n", fmt.Sprintf("name = \"net\"\nper_resource_sas = %d\n", n), 1)
}

// installed returns the Child SAs that an end sends on.
func installed(t *testing.T, e *Engine) (list []api.ChildSA) {
	t.Helper()
	d, err := e.Dynamic(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range d.ChildSAs {
		if c.State == "installed" {
			list = append(list, c)
		}
	}
	return list
}

// flows sends a packet each millisecond until a time, of many flows in turn, from
// one end to the other, and reports which of each flow arrived in which order.
func (w *world) flows(t *testing.T, up bool, flows int, until time.Time) {
	from, to, src, dst := w.cm, w.gm, "10.20.0.1", "10.10.0.10"
	if !up {
		from, to, src, dst = w.gm, w.cm, dst, src
	}
	next := make([]int, flows)
	stop := receive(to, func(pkt []byte) {
		var flow, n int
		if _, err := fmt.Sscanf(string(pkt[host.VNetLen+28:]), "flow %d number %d", &flow, &n); err != nil {
			t.Errorf("%v: %q", err, pkt[host.VNetLen:])
			return
		}
		if n != next[flow] {
			t.Errorf("flow %d: number %d after %d", flow, n, next[flow]-1)
		}
		next[flow] = n + 1
	})
	sent := make([]int, flows)
	for i := 0; time.Now().Before(until); i++ {
		f := i % flows
		pkt := udp4(src, dst, fmt.Sprintf("flow %d number %d", f, sent[f]))
		pkt[21] = byte(f) // the source port
		from.TUN().InjectPacket(pkt)
		sent[f]++
		time.Sleep(time.Millisecond)
	}
	time.Sleep(time.Second)
	stop()
	for f := range sent {
		if next[f] != sent[f] {
			t.Errorf("flow %d: %d of %d packets arrived", f, next[f], sent[f])
		}
	}
}

// flowsBothWays is flows in both directions at once.
func (w *world) flowsBothWays(t *testing.T, flows int, until time.Time) {
	ready := make(chan struct{})
	go func() {
		w.flows(t, false, flows, until)
		close(ready)
	}()
	w.flows(t, true, flows, until)
	<-ready
}

// TestFlowsOverResources spreads flows over the Child SAs of several resources in
// both directions, lets the SAs be made anew amid that in every way that there is,
// and loses and reorders nothing.
func TestFlowsOverResources(t *testing.T) {
	for name, more := range map[string]string{
		"":                     "",
		"rekeying":             "[ike]\nrekey_time = \"31s\"\n",
		"authenticating anew":  "[ike]\nreauth_time = \"15s\"\n",
		"the other end rekeys": "other",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, gateway := withResources(clientProfile, 3), withResources(gatewayProfile, 3)
				switch {
				case more == "other":
					gateway = strings.Replace(gateway, "per_resource", "rekey_time = \"7s\"\nper_resource", 1)
				case more != "":
					client = strings.Replace(client, "[[children]]", more+"[[children]]", 1)
					client = strings.Replace(client, "per_resource", "rekey_time = \"11s\"\nper_resource", 1)
				}
				w := newWorld(t, client, gateway)
				defer w.stop()
				if err := connect(t, w.client, time.Minute); err != nil {
					t.Fatal(err)
				}
				w.flowsBothWays(t, 32, time.Now().Add(40*time.Second))
				time.Sleep(10 * time.Second)
				for end, e := range map[string]*Engine{"client": w.client, "gateway": w.gateway} {
					seen := map[int]bool{}
					for _, c := range installed(t, e) {
						seen[c.Resource] = true
						busy := c.Counters.OutPackets > 100
						if name == "" && busy != (c.Resource != 0) {
							t.Errorf("%s: resource %d carries %+v", end, c.Resource, c.Counters)
						}
					}
					if len(seen) != 4 {
						t.Errorf("%s: resources %v", end, seen)
					}
				}
			})
		})
	}
}

// TestResourcesComeAfter: the connection is up with the first Child SA; what a
// gateway that knows no others does not give is not missed.
func TestResourcesComeAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, withResources(clientProfile, 4), gatewayProfile)
		defer w.stop()
		if err := connect(t, w.client, time.Minute); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		w.carries(t, "10.20.0.1")
		if l := installed(t, w.client); len(l) != 1 {
			t.Errorf("%+v", l)
		}
		if c := connection(t, w.client); c.State != api.Connected {
			t.Errorf("%s", c.State)
		}
	})
}

// TestLaterSessionTakesEveryFlow: once an end sends on a Child SA of a new IKE SA, it
// sends no more on those of resources of the one before, whose path may be dead.
func TestLaterSessionTakesEveryFlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := strings.Replace(clientProfile, "[[children]]", "[ike]\nreauth_time = \"15s\"\n[[children]]", 1)
		w := newWorld(t, withResources(client, 3), withResources(gatewayProfile, 3))
		defer w.stop()
		if err := connect(t, w.client, time.Minute); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		old := map[uint32]bool{} // SPIs of the first IKE SA
		took := map[netip.Addr]bool{}
		late := map[netip.Addr]int{}
		fill := time.Now().Add(5 * time.Second)
		w.net.SetTap(func(p simnet.Packet) bool {
			mu.Lock()
			defer mu.Unlock()
			if len(p.Data) < 8 || p.To.Port() == 500 || binary.BigEndian.Uint32(p.Data) == 0 {
				return true
			}
			spi, from := binary.BigEndian.Uint32(p.Data), p.From.Addr()
			switch {
			case time.Now().Before(fill):
				old[spi] = true
			case !old[spi]:
				took[from] = true
			case took[from]:
				late[from]++
			}
			return true
		})
		w.flowsBothWays(t, 32, time.Now().Add(20*time.Second))
		mu.Lock()
		defer mu.Unlock()
		if len(old) < 6 || len(took) != 2 {
			t.Fatalf("%d SPIs before, %d ends on others later", len(old), len(took))
		}
		for from, n := range late {
			t.Errorf("%v sent %d packets more on the Child SAs before", from, n)
		}
	})
}

// TestDeadResourceLosesNoFlow: whichever Child SA ends, and whoever ends it, its flows
// go on over those that are left, and nothing of them in clear.
func TestDeadResourceLosesNoFlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := withResources(requireProfile, 3)
		w := newWorld(t, client, withResources(gatewayProfile, 3))
		defer w.stop()
		if err := connect(t, w.client, time.Minute); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		w.net.SetTap(func(p simnet.Packet) bool {
			if bytes.Contains(p.Data, []byte("number")) {
				t.Errorf("in clear from %v to %v", p.From, p.To)
			}
			return true
		})
		for n, end := range []*Engine{w.client, w.gateway, w.client} {
			var victim uint32
			want := []int{2, 0, 3}[n] // the fallback is among them
			for spi, k := range kidsOf(t, end) {
				if k == want {
					victim = spi
				}
			}
			if victim == 0 {
				t.Fatalf("no Child SA of resource %d", want)
			}
			go func() {
				time.Sleep(time.Second)
				if err := end.call(t.Context(), func() { end.perform(end.ep.CloseChild(victim, time.Now())) }); err != nil {
					t.Error(err)
				}
			}()
			w.flows(t, end == w.client, 32, time.Now().Add(3*time.Second))
			// What the gateway has ended, and is for no resource, is asked for anew.
			for _, e := range []*Engine{w.client, w.gateway} {
				if l := installed(t, e); len(l) != []int{3, 3, 2}[n] {
					t.Errorf("%d Child SAs after %d have ended", len(l), n+1)
				}
			}
		}
	})
}

// kidsOf returns the resources of an end's Child SAs by inbound SPI.
func kidsOf(t *testing.T, e *Engine) map[uint32]int {
	all := map[uint32]int{}
	if err := e.call(t.Context(), func() {
		for spi, k := range e.kids.bySPI {
			if !k.retired {
				all[spi] = k.sa.Resource
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	return all
}
