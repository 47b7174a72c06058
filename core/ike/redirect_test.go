package ike

import (
	"errors"
	"testing"
	"time"

	"sallyport/core/ike/message"
)

// redirection is a world whose responder sends its peers to addrB2.
func redirection(t *testing.T, follows bool) *world {
	cfgA, cfgB := pskConfig("a"), pskConfig("b")
	cfgA.Redirects, cfgA.RedirectedFrom = follows, message.Redirect{Addr: addrB6}
	cfgB.RedirectTo = message.Redirect{Addr: addrB2}
	return newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
}

// sentTo is where the initiator's SA was redirected to; empty: nowhere.
func (w *world) sentTo() string {
	if x, ok := effect[Closed](w.a); ok {
		var r *Redirect
		if errors.As(x.Err, &r) {
			return r.Gateway
		}
	}
	return ""
}

// TestRedirectAuth sends a peer elsewhere that has proved itself, and has seen
// the proof of the responder (RFC 5685, section 6). Nothing is left at either end.
func TestRedirectAuth(t *testing.T) {
	w := redirection(t, true)
	w.connect()
	w.flush()
	if got := w.sentTo(); got != addrB2.String() || len(w.a.e.sas)+len(w.b.e.sas) != 0 || len(w.b.children) != 0 {
		t.Errorf("sent to %q; %d and %d SAs are left", got, len(w.a.e.sas), len(w.b.e.sas))
	}
	w = redirection(t, false) // one that cannot be sent is served
	w.connect()
	w.flush()
	w.agree()
}

// TestRedirectInit follows a redirection in place of the answer to IKE_SA_INIT
// only when it repeats our nonce, and only where we follow at all (RFC 5685, section 3).
func TestRedirectInit(t *testing.T) {
	for _, tt := range []struct {
		name    string
		follows bool
		nonce   func(sa *SA) []byte
		want    string
	}{
		{"with our nonce", true, func(sa *SA) []byte { return sa.hs.nonceI }, "gw2.example.com"},
		{"without a nonce", true, func(sa *SA) []byte { return nil }, ""},
		{"with another nonce", true, func(sa *SA) []byte { return make([]byte, nonceLen) }, ""},
		{"unasked", false, func(sa *SA) []byte { return sa.hs.nonceI }, ""},
	} {
		w := redirection(t, tt.follows)
		sa := w.connect()
		asked := w.wire[0]
		r := message.Redirect{Name: "gw2.example.com", Nonce: tt.nonce(sa)}
		h := message.Header{InitiatorSPI: sa.spiLocal, Exchange: message.IKESAInit, Flags: message.FlagResponse}
		m := message.Message{Header: h, Payloads: []message.Payload{&message.Notify{Kind: message.NotifyRedirect, Data: r.AppendTo(nil)}}}
		b, err := m.AppendTo(nil)
		if err != nil {
			t.Fatal(err)
		}
		w.lose()
		w.hand(packet{from: asked.to, to: asked.from, data: b})
		if got := w.sentTo(); got != tt.want || tt.want == "" && sa.state != StateInitSent {
			t.Errorf("%s: sent to %q, state %v", tt.name, got, sa.state)
		}
	}
}

// TestRedirectUp tells of a redirection on an established SA, of the responder
// only (RFC 5685, section 5).
func TestRedirectUp(t *testing.T) {
	cfgA, cfgB := pskConfig("a"), pskConfig("b")
	cfgA.Redirects, cfgB.Redirects = true, true
	w := newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
	a, b := w.up()
	b.enqueue(&redirectTask{}, w.now)
	w.b.e.settle(b, w.now)
	w.b.do(w.b.e.take())
	w.flush()
	if x, ok := effect[Redirected](w.a); !ok || x.Gateway != addrB2.String() || a.state != StateUp {
		t.Errorf("%+v, state %v", x, a.state)
	}
	a.enqueue(&redirectTask{}, w.now)
	w.a.e.settle(a, w.now)
	w.a.do(w.a.e.take())
	w.flush()
	if count[Redirected](w.b) != 0 {
		t.Error("an initiator redirected its gateway")
	}
}

// redirectTask is a redirection of an established SA.
type redirectTask struct{ addressesTask }

func (*redirectTask) request(*SA, time.Time) ([]message.Payload, bool) {
	return []message.Payload{&message.Notify{Kind: message.NotifyRedirect, Data: message.Redirect{Addr: addrB2}.AppendTo(nil)}}, true
}
