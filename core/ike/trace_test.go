package ike

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/core/ike/message"
	"sallyport/core/ike/trace"
)

// traced is a world whose ends tell of their messages.
func traced(t testing.TB, o testOptions) *world {
	w := newWorld(t, o)
	w.a.e.opt.Trace, w.b.e.opt.Trace = true, true
	return w
}

// traces returns what a peer told, in order.
func (p *peer) traces() []*Trace {
	var out []*Trace
	for _, x := range p.effects {
		if t, ok := x.(*Trace); ok {
			out = append(out, t)
		}
	}
	return out
}

// line writes a trace as "> IKE_AUTH 1 SK[IDi AUTH]"; "?" marks one of no SA.
func line(t *Trace) string {
	var b strings.Builder
	b.WriteString(map[bool]string{true: ">", false: "<"}[t.Sent])
	if t.SA == nil {
		b.WriteString("?")
	}
	fmt.Fprintf(&b, " %v %d", t.Header.Exchange, t.Header.MessageID)
	if t.Header.Response() {
		b.WriteString(" response")
	}
	if t.Fragments > 0 {
		b.WriteString(" fragmented")
	}
	if t.Retransmit > 0 {
		fmt.Fprintf(&b, " again %d", t.Retransmit)
	}
	for _, p := range trace.Payloads(t.Payloads) {
		b.WriteString(" " + p.Name)
	}
	if t.Problem != "" {
		fmt.Fprintf(&b, " [%s]", t.Problem)
	}
	return b.String()
}

func lines(list []*Trace) string {
	var out []string
	for _, t := range list {
		out = append(out, line(t))
	}
	return strings.Join(out, "\n")
}

func TestTraceTellsTheStory(t *testing.T) {
	w := traced(t, testOptions{optB: Options{CookieThreshold: -1}})
	w.up()
	w.a.do(w.a.one().Close(w.now))
	w.flush()
	const n = "N(NAT_DETECTION_SOURCE_IP) N(NAT_DETECTION_DESTINATION_IP)"
	const tail = " N(IKEV2_FRAGMENTATION_SUPPORTED) N(SIGNATURE_HASH_ALGORITHMS)"
	const answers = tail + " N(CHILDLESS_IKEV2_SUPPORTED)"
	want := `> IKE_SA_INIT 0 SA KE Nonce ` + n + tail + ` V
< IKE_SA_INIT 0 response N(COOKIE)
> IKE_SA_INIT 0 N(COOKIE) SA KE Nonce ` + n + tail + ` V
< IKE_SA_INIT 0 response SA KE Nonce ` + n + answers + `
> IKE_AUTH 1 IDi IDr AUTH N(INITIAL_CONTACT) N(TICKET_REQUEST) SA TSi TSr N(ESP_TFC_PADDING_NOT_SUPPORTED)
< IKE_AUTH 1 response IDr AUTH N(TICKET_LT_OPAQUE) SA TSi TSr
> INFORMATIONAL 2 D
< INFORMATIONAL 2 response`
	if got := lines(w.a.traces()); got != want {
		t.Errorf("the initiator tells\n%s\nwant\n%s", got, want)
	}
	want = `<? IKE_SA_INIT 0 SA KE Nonce ` + n + tail + ` V [without cookie]
>? IKE_SA_INIT 0 response N(COOKIE)
<? IKE_SA_INIT 0 N(COOKIE) SA KE Nonce ` + n + tail + ` V
>? IKE_SA_INIT 0 response SA KE Nonce ` + n + answers + `
< IKE_AUTH 1 IDi IDr AUTH N(INITIAL_CONTACT) N(TICKET_REQUEST) SA TSi TSr N(ESP_TFC_PADDING_NOT_SUPPORTED)
> IKE_AUTH 1 response IDr AUTH N(TICKET_LT_OPAQUE) SA TSi TSr
< INFORMATIONAL 2 D
> INFORMATIONAL 2 response`
	if got := lines(w.b.traces()); got != want {
		t.Errorf("the responder tells\n%s\nwant\n%s", got, want)
	}
}

func TestTraceOfFailuresAndRepetitions(t *testing.T) {
	t.Run("wrong PSK", func(t *testing.T) {
		a := pskConfig("a")
		a.Local.PSK = []byte("another")
		w := traced(t, testOptions{cfgA: a})
		w.connect()
		w.flush()
		got := w.b.traces()
		if last := got[len(got)-2]; last.SA != nil || !strings.Contains(last.Problem, "AUTHENTICATION_FAILED") {
			t.Errorf("the responder tells\n%s", lines(got))
		}
		got = w.a.traces()
		if last := line(got[len(got)-1]); last != "< IKE_AUTH 1 response N(AUTHENTICATION_FAILED)" {
			t.Errorf("the initiator tells\n%s", lines(got))
		}
	})
	t.Run("retransmissions", func(t *testing.T) {
		w := traced(t, testOptions{})
		w.connect()
		w.lose()
		w.run(time.Minute, w.lose)
		got := w.a.traces()
		if len(got) != 6 || got[5].Retransmit != 5 || got[5].Payloads != nil {
			t.Errorf("a silent peer:\n%s", lines(got))
		}
	})
	t.Run("fragments", func(t *testing.T) {
		ca := newCA(t, "test CA")
		a, b := certConfigs(t, ca, "ecdsa", 60)
		w := traced(t, testOptions{cfgA: a, cfgB: b})
		w.up()
		for _, p := range []*peer{w.a, w.b} {
			for _, x := range p.traces() {
				if x.Header.Exchange == message.IKEAuth && (x.Fragments < 3 || x.Size < 1280*(x.Fragments-1)-100*x.Fragments) {
					t.Errorf("%s: %s in %d fragments of %d bytes", p.name, line(x), x.Fragments, x.Size)
				}
			}
		}
	})
	t.Run("a request that comes again", func(t *testing.T) {
		w := traced(t, testOptions{})
		a, _ := w.up()
		w.a.do(a.CheckLiveness(w.now))
		k := w.wire[0]
		w.flush()
		w.b.effects = nil
		for range 40 {
			w.hand(k)
		}
		own, strangers := 0, 0
		for _, x := range w.b.traces() {
			switch {
			case x.SA != nil && !x.Sent:
				own++
			case x.SA == nil:
				strangers++
			}
		}
		if own > maxUnproved || strangers == 0 {
			t.Errorf("%d repetitions count as the SA's own, %d not:\n%s", own, strangers, lines(w.b.traces()))
		}
	})
}

// What strangers send is told at a rate, and hardly under the name of an SA.
func TestTraceUnderFlood(t *testing.T) {
	w := traced(t, testOptions{})
	a, _ := w.up()
	w.a.effects = nil
	junk := make([]byte, 200)
	h := message.Header{InitiatorSPI: a.spiLocal, ResponderSPI: a.spiRemote, Exchange: message.Informational, MessageID: a.expectID}
	m := message.Message{Header: h, Payloads: []message.Payload{&message.Encrypted{First: message.PayloadNotify, Body: junk}}}
	named, err := m.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	m.InitiatorSPI = 42
	unknown, err := m.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20000 {
		k := packet{from: w.path().Remote, to: w.path().Local, data: named}
		if i%2 == 0 {
			k.data = unknown
		}
		w.hand(k)
	}
	own := 0
	for _, x := range w.a.traces() {
		if x.SA != nil {
			own++
		}
		if x.Problem == "" {
			t.Errorf("without a problem: %s", line(x))
		}
	}
	// One more was the answer to IKE_SA_INIT, which nothing proves either.
	if own != maxUnproved-1 || len(w.a.traces()) > maxUnproved+bucketSize {
		t.Errorf("%d of %d are the SA's", own, len(w.a.traces()))
	}
	if w.a.e.Drops()["integrity check failed"] != 10000 {
		t.Errorf("drops: %v", w.a.e.Drops())
	}
	// Without the option nothing is told.
	w = newWorld(t, testOptions{})
	w.up()
	if len(w.a.traces()) != 0 {
		t.Error("traces without having been asked for")
	}
}

// TestTraceHoldsNoSecret runs handshakes, and looks in what is told for
// everything that must not be there: keys, nonces, public values, proofs,
// cookies, in bytes and in the usual ways of writing them.
func TestTraceHoldsNoSecret(t *testing.T) {
	ca := newCA(t, "test CA")
	certA, certB := certConfigs(t, ca, "ecdsa", 0)
	rsaA, rsaB := certConfigs(t, ca, "rsa", 0)
	for name, o := range map[string]testOptions{
		"PSK":          {optB: Options{CookieThreshold: -1}},
		"ECDSA":        {cfgA: certA, cfgB: certB},
		"RSA":          {cfgA: rsaA, cfgB: rsaB},
		"mixed":        {cfgA: mixed(certA), cfgB: mixedPeer(certB)},
		"wrong secret": {cfgA: wrong()},
	} {
		t.Run(name, func(t *testing.T) {
			w := traced(t, o)
			var secrets [][]byte
			learn := func(b []byte) {
				if len(b) >= 8 {
					secrets = append(secrets, bytes.Clone(b))
				}
			}
			learn(testPSK)
			for _, p := range []*peer{w.a, w.b} {
				if k := p.cfg.Local.Key; k != nil {
					der, err := x509.MarshalPKCS8PrivateKey(k)
					if err != nil {
						t.Fatal(err)
					}
					learn(der[len(der)-32:])
				}
			}
			w.connect()
			w.flush()
			keys := func() {
				for _, p := range []*peer{w.a, w.b} {
					for _, c := range p.children {
						learn(c.KeyIn)
						learn(c.KeyOut)
					}
					for _, sa := range p.e.SAs() {
						learn(sa.keys.d)
						learn(sa.keys.pLocal)
						learn(sa.keys.pPeer)
					}
				}
			}
			keys()
			if len(w.a.e.SAs()) > 0 { // rekey everything too
				for spi := range w.a.children {
					w.a.do(w.a.e.RekeyChild(spi, w.now))
				}
				w.flush()
				w.a.do(w.a.one().Rekey(w.now))
				w.flush()
				keys()
			}
			var told bytes.Buffer
			for _, p := range []*peer{w.a, w.b} {
				for _, x := range p.traces() {
					for _, q := range x.Payloads {
						switch q := q.(type) {
						case *message.Nonce:
							learn(q.Data)
						case *message.KE:
							learn(q.Data)
						case *message.Auth:
							learn(q.Data)
						case *message.Notify:
							if q.Kind == message.NotifyCookie || q.Kind == message.NotifyNATDetectionSourceIP {
								learn(q.Data)
							}
						}
					}
					out, err := json.Marshal(trace.Payloads(x.Payloads))
					if err != nil {
						t.Fatal(err)
					}
					told.Write(out)
					told.WriteString(x.Problem)
				}
			}
			if len(secrets) < 12 || told.Len() < 2000 {
				t.Fatalf("only %d secrets and %d bytes of text", len(secrets), told.Len())
			}
			text := told.String()
			for _, s := range secrets {
				for _, piece := range [][]byte{s[:8], s[len(s)-8:]} {
					for form, v := range map[string]string{
						"as it is": string(piece), "in hex": hex.EncodeToString(piece), "in upper hex": strings.ToUpper(hex.EncodeToString(piece)),
						"in base64": base64.StdEncoding.EncodeToString(piece[:6]), "as Go prints it": strings.Trim(fmt.Sprint(piece), "[]"),
					} {
						if strings.Contains(text, v) {
							t.Errorf("%x is told %s", piece, form)
						}
					}
				}
			}
		})
	}
}

func mixed(c *Config) *Config {
	out := *c
	out.Local = pskConfig("a").Local
	return &out
}

func mixedPeer(c *Config) *Config {
	out := *c
	psk := pskConfig("a")
	out.Peer = PeerAuth{ID: psk.Local.ID, PSK: testPSK}
	return &out
}

func wrong() *Config {
	c := pskConfig("a")
	c.Local.PSK = []byte("a secret that the peer does not know")
	return c
}

// A payload of every kind is described, and hostile text stays a line.
func TestTraceDescribesCertificates(t *testing.T) {
	ca := newCA(t, "test CA")
	a, b := certConfigs(t, ca, "rsa", 3)
	w := traced(t, testOptions{cfgA: a, cfgB: b})
	w.up()
	i := slices.IndexFunc(w.a.traces(), func(x *Trace) bool { return x.Header.Exchange == message.IKEAuth && x.Sent })
	got, err := json.Marshal(trace.Payloads(w.a.traces()[i].Payloads))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"subject","value":"CN=a.test"`, `"issuer","value":"CN=test CA"`, `"method","value":"digital signature"`,
		`"scheme","value":"rsa-pss-sha256"`, `"name":"CERTREQ"`, `"authorities","value":"1"`, `"selector","value":"10.1.0.0/16"`,
		`"identity","value":"b.test"`, `AES_GCM_16_128`} {
		if !strings.Contains(string(got), want) {
			t.Errorf("%s is not told in %s", want, got)
		}
	}
}
