package engine

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/core/api"
	"sallyport/core/host"
	"sallyport/core/internal/hosttest"
)

const cardPIN = "canary-4711"

// newCardWorld is a client whose key is on a card, and a gateway that trusts its
// certificate.
func newCardWorld(t *testing.T, extra string) (*world, *hosttest.Card) {
	t.Helper()
	ca := newIssuer(t, "own")
	cert, key := ca.issue(t, "alice.vpn.test")
	client := strings.Replace(clientProfile, "method = \"psk\"\nid = \"alice@vpn.test\"\nsecret = \"office+psk\"",
		"method = \"certificate\"\nid = \"alice.vpn.test\"\ntoken = \"pkcs11:token=Alice;id=%01\""+extra, 1)
	client = strings.Replace(client, "id = \"gw.vpn.test\"", "id = \"gw.vpn.test\"\nsecret = \"office+psk\"", 1)
	gateway := strings.Replace(gatewayProfile, "[remote]\nmethod = \"psk\"", "[remote]\nmethod = \"certificate\"\ncas = [\"ca.pem\"]", 1)
	w := newWorld(t, client, "")
	card := &hosttest.Card{Label: "Alice", Secret: cardPIN, ID: 1, Certificate: cert.Raw, Key: key, Kind: host.TokenEC, Tries: 3}
	w.cm.Card = card
	w.cm.Secrets.Write("office+pin", []byte("canary-0000"))
	w.gm.Certs.Write("ca.pem", pemOf("CERTIFICATE", ca.cert.Raw))
	w.gm.Secrets.Write("workers+psk", []byte(rightSecret))
	w.gm.Profiles.Write("workers.toml", []byte(gateway))
	if err := w.gateway.Connect(t.Context(), api.ConnectRequest{Name: "workers"}); err != nil {
		t.Fatal(err)
	}
	return w, card
}

// TestTokenKey connects with keys of every temper.
func TestTokenKey(t *testing.T) {
	for name, tt := range map[string]struct {
		card         func(*hosttest.Card)
		asks         bool
		logins, pins int
	}{
		"PIN":          {card: func(*hosttest.Card) {}, asks: true, logins: 1},
		"slow":         {card: func(c *hosttest.Card) { c.Takes = 8 * time.Second }, asks: true, logins: 1},
		"no PIN":       {card: func(c *hosttest.Card) { c.Open = true }},
		"at a reader":  {card: func(c *hosttest.Card) { c.Pad = true }, logins: 1},
		"each time":    {card: func(c *hosttest.Card) { c.AlwaysAsks = true }, asks: true, logins: 1, pins: 1},
		"each, no PIN": {card: func(c *hosttest.Card) { c.AlwaysAsks, c.Open = true, true }, asks: true, pins: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, card := newCardWorld(t, "")
				defer w.stop()
				tt.card(card)
				for range 2 { // a disconnect forgets the PIN
					end := begin(t, w.client)
					if tt.asks {
						q := question(t, w.client, api.PromptPIN)
						if q.Text != "Alice" || q.Tries != "" || !q.Rememberable {
							t.Errorf("asked as %+v", q)
						}
						answerWith(t, w.client, api.Answer{ID: q.ID, Secret: []byte(cardPIN)})
					}
					if err := <-end; err != nil {
						t.Fatal(err)
					}
					w.carries(t, "10.20.0.1")
					inside(t, w.client, func(c *conn) {
						if c.held.token.pin != nil {
							t.Error("the PIN is kept")
						}
					})
					if err := w.client.Disconnect(t.Context(), "office"); err != nil {
						t.Fatal(err)
					}
				}
				logins, pins, open := card.Counts()
				if logins != 2*tt.logins || pins != 2*tt.pins || open != 0 {
					t.Errorf("%d logins, %d PINs, %d sessions left", logins, pins, open)
				}
			})
		})
	}
}

// TestTokenStaysOpen: who is asked once is not asked again while the connection
// is wanted.
func TestTokenStaysOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, card := newCardWorld(t, "")
		defer w.stop()
		end := begin(t, w.client)
		q := question(t, w.client, api.PromptPIN)
		answerWith(t, w.client, api.Answer{ID: q.ID, Secret: []byte(cardPIN)})
		if err := <-end; err != nil {
			t.Fatal(err)
		}
		call := func(f func(c *conn)) {
			if err := w.client.call(t.Context(), func() { f(w.client.conns["office"]) }); err != nil {
				t.Fatal(err)
			}
		}
		var first *session
		call(func(c *conn) {
			first = c.current
			w.client.startAttempt(c, true)
		})
		time.Sleep(10 * time.Second)
		st, err := w.client.State(t.Context())
		if err != nil || len(st.Prompts) > 0 {
			t.Errorf("asked again: %+v, %v", st.Prompts, err)
		}
		call(func(c *conn) {
			if c.current == nil || c.current == first {
				t.Error("it was not authenticated anew")
			}
		})
		card.Pull()
		call(func(c *conn) { w.client.startAttempt(c, true) })
		time.Sleep(10 * time.Second)
		call(func(c *conn) {
			if c.problem == nil || c.problem.Code != api.CodeTokenMissing {
				t.Errorf("pulled: %+v", c.problem)
			}
		})
	})
}

// TestWrongPINIsGivenOnce counts what reaches the card.
func TestWrongPINIsGivenOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, card := newCardWorld(t, "")
		defer w.stop()
		try := func(pin string, code api.ErrorCode, tries, want string, wantLogins int) {
			t.Helper()
			end := begin(t, w.client)
			q := question(t, w.client, api.PromptPIN)
			if q.Tries != tries {
				t.Errorf("%s: asked with %q, want %q", pin, q.Tries, tries)
			}
			answerWith(t, w.client, api.Answer{ID: q.ID, Secret: []byte(pin)})
			if e := wantCode(t, <-end, code); !strings.Contains(e.Error(), want) {
				t.Errorf("%s: explained as %v", pin, e)
			}
			time.Sleep(time.Minute) // nothing tries again by itself
			if logins, _, open := card.Counts(); logins != wantLogins || open != 0 {
				t.Errorf("%s: %d PINs came, want %d; %d sessions left", pin, logins, wantLogins, open)
			}
		}
		try("canary-0001", api.CodePINWrong, "", "given to it once", 1)
		try("canary-0001", api.CodePINWrong, api.TriesLow, "refused this PIN before", 1)
		try("canary-0002", api.CodePINWrong, api.TriesLow, "One more wrong PIN locks", 2)
		try("canary-0002", api.CodePINWrong, api.TriesFinal, "refused this PIN before", 2)
		try("canary-0003", api.CodePINLocked, api.TriesFinal, "no PIN any more", 3)
		wantCode(t, <-begin(t, w.client), api.CodePINLocked)
		if logins, _, _ := card.Counts(); logins != 3 {
			t.Errorf("%d PINs came to a locked card", logins-3)
		}
	})
}

// TestStoredPINIsForgotten: a stored PIN that is wrong goes to the card once, not
// with the next attempt, and not after a restart.
func TestStoredPINIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, card := newCardWorld(t, "\npin = \"office+pin\"")
		defer w.stop()
		wantCode(t, <-begin(t, w.client), api.CodePINWrong)
		if b, err := w.cm.Secrets.Read("office+pin"); err == nil {
			t.Errorf("the wrong PIN is still stored: %s", b)
		}
		end := begin(t, w.client)
		q := question(t, w.client, api.PromptPIN)
		if q.Tries != api.TriesLow || q.Rememberable {
			t.Errorf("asked as %+v", q)
		}
		answerWith(t, w.client, api.Answer{ID: q.ID, Secret: []byte(cardPIN)})
		if err := <-end; err != nil {
			t.Fatal(err)
		}
		if logins, _, _ := card.Counts(); logins != 2 {
			t.Errorf("%d PINs came", logins)
		}
	})
}

// TestTokenFails explains what goes wrong with a card.
func TestTokenFails(t *testing.T) {
	for name, tt := range map[string]struct {
		card func(*world, *hosttest.Card)
		code api.ErrorCode
		asks bool
	}{
		"not there":     {card: func(_ *world, c *hosttest.Card) { c.Pull() }, code: api.CodeTokenMissing},
		"another":       {card: func(_ *world, c *hosttest.Card) { c.Label = "Bob" }, code: api.CodeTokenMissing},
		"without it":    {card: func(_ *world, c *hosttest.Card) { c.ID = 2 }, code: api.CodeTokenObject},
		"no module":     {card: func(w *world, c *hosttest.Card) { w.cm.Card = nil }, code: api.CodeTokenModule},
		"a faulty card": {card: func(_ *world, c *hosttest.Card) { c.Lie() }, code: api.CodeLocalCredential, asks: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, card := newCardWorld(t, "")
				defer w.stop()
				tt.card(w, card)
				end := begin(t, w.client)
				if tt.asks {
					q := question(t, w.client, api.PromptPIN)
					answerWith(t, w.client, api.Answer{ID: q.ID, Secret: []byte(cardPIN)})
				}
				wantCode(t, <-end, tt.code)
				time.Sleep(time.Second)
				if _, _, open := card.Counts(); open != 0 {
					t.Errorf("%d sessions are left", open)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) { // pulled while it signs
		w, card := newCardWorld(t, "")
		defer w.stop()
		card.Takes = 3 * time.Second
		end := begin(t, w.client)
		q := question(t, w.client, api.PromptPIN)
		answerWith(t, w.client, api.Answer{ID: q.ID, Secret: []byte(cardPIN)})
		time.Sleep(time.Second)
		card.Pull()
		wantCode(t, <-end, api.CodeTokenRemoved)
	})
}
