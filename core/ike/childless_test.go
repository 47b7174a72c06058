package ike

import (
	"testing"
	"time"

	"sallyport/core/eap"
	"sallyport/core/ike/message"
	"sallyport/core/transform"
)

// An IKE SA is made alone (RFC 6023), and every Child SA after it with a key
// exchange of its own.
func TestChildless(t *testing.T) {
	for _, method := range []string{"PSK", "road warrior", "EAP"} {
		t.Run(method, func(t *testing.T) {
			cfgA, cfgB := pskConfig("a"), pskConfig("b")
			switch method {
			case "road warrior":
				cfgA, cfgB, _ = roadwarrior()
			case "EAP":
				l := newEAPLab(t, eap.TypeTLS)
				cfgA, cfgB = l.user, l.gw
			}
			for _, c := range []*Config{cfgA, cfgB} {
				c.Children = c.Children[:1]
				c.Children[0].Proposals = mustProposals(transform.ProtoESP, "aes128gcm16-ecp256-esn")
			}
			cfgA.Childless = true
			w := newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
			w.up()
			for _, p := range []*peer{w.a, w.b} {
				if x, _ := effect[Established](p); !x.Childless {
					t.Errorf("%s: a Child SA came with the IKE SA", p.name)
				}
				if n := count[ChildFailed](p); n != 0 || len(p.children) != 1 {
					t.Errorf("%s: %d children failed, %d are there", p.name, n, len(p.children))
				}
			}
			if ke := w.a.child().suite.KE.ID; ke != transform.KEECP256 {
				t.Errorf("the first Child SA was made with key exchange %d", ke)
			}
		})
	}
}

// A peer that does not know it is asked for the first Child SA as ever.
func TestChildlessUnknown(t *testing.T) {
	cfgA, cfgB := pskConfig("a"), pskConfig("b")
	cfgA.Childless = true
	w := newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
	w.connect()
	w.deliver(0)
	m := w.parse(0)
	for i, p := range m.Payloads {
		if n, ok := p.(*message.Notify); ok && n.Kind == message.NotifyChildlessIKEv2Supported {
			m.Payloads = append(m.Payloads[:i:i], m.Payloads[i+1:]...)
			break
		}
	}
	b, err := m.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, sa := range w.b.e.sas {
		sa.hs.response = b // what AUTH covers is what arrived: this is about another peer
	}
	w.wire[0].data = b
	w.flush()
	w.agree()
	if x, _ := effect[Established](w.a); x.Childless {
		t.Error("made without a Child SA")
	}
}

// Where the Child SA cannot be had either, nothing is left.
func TestChildlessRefused(t *testing.T) {
	cfgA, cfgB := pskConfig("a"), pskConfig("b")
	cfgA.Childless = true
	cfgB.Children[0].Local = nets("192.0.2.0/24")
	w := newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
	w.connect()
	w.advance(time.Minute)
	if len(w.a.e.sas)+len(w.b.e.sas) != 0 || count[ChildFailed](w.a) == 0 {
		t.Errorf("%d and %d SAs are left", len(w.a.e.sas), len(w.b.e.sas))
	}
}

// Half a Child SA is no request.
func TestChildlessInPart(t *testing.T) {
	w := newWorld(t, testOptions{})
	w.connect()
	w.deliver(0)
	w.deliver(0)
	w.lose()
	a, b := w.sas()
	payloads, _ := (&authTask{}).request(a, w.now)
	for i, p := range payloads {
		if _, ok := p.(*message.SA); ok {
			payloads = append(payloads[:i:i], payloads[i+1:]...)
			break
		}
	}
	datagrams, err := a.seal(message.IKEAuth, 1, false, payloads)
	if err != nil {
		t.Fatal(err)
	}
	w.hand(packet{from: a.path.Local, to: a.path.Remote, natt: true, data: datagrams[0]})
	if b.state != StateClosed || len(w.b.children) != 0 {
		t.Errorf("state %v", b.state)
	}
}
