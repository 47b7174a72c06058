package engine

import (
	"cmp"
	"context"
	"errors"
	"time"

	"sallyport/core/api"
	"sallyport/core/host"
	"sallyport/core/ike"
	"sallyport/core/profile"
)

// askToken gets the key of a connection whose key is on a token, and goes on
// with the attempt. A login that has been made holds while the connection is
// wanted and the token stays where it is; nobody is asked then.
func (e *Engine) askToken(c *conn, a *attempt) {
	p, h := c.profile, c.held
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), tokenTime)
		defer cancel()
		if h != nil && h.token != nil {
			state, err := h.token.card.session.PIN(ctx)
			if err == nil && (state.Given || !state.Needed) && !h.token.key.AlwaysAsks {
				e.post(func() { e.haveKey(c, a, h, nil) })
				return
			}
			e.post(func() {
				if c.held == h {
					c.dropToken()
				}
			})
		}
		found, err := e.credentials().findCard(ctx, e.opt.Host.Tokens, &p.Local)
		var ready *held
		if err == nil && (found.state.Given || !found.state.Needed) {
			if ready, err = found.open(ctx, nil, &e.pins); err != nil {
				found.session.Close()
			} else if ready.token.key.AlwaysAsks && !found.state.Pad {
				ready = nil
			}
		}
		e.post(func() {
			switch {
			case err != nil || ready != nil:
				e.haveKey(c, a, ready, err)
			case c.attempt != a:
				found.session.Close()
			default:
				e.askPIN(c, a, found)
			}
		})
	}()
}

// askPIN gets the PIN: from the reader, from the secret store, or from the user.
// A stored one is not tried once a wrong PIN has been given, by whomever: the
// user decides.
func (e *Engine) askPIN(c *conn, a *attempt, found *card) {
	s := found.state
	name := plainText(cmp.Or(found.token.Label, found.token.Serial, found.token.Reader))
	switch {
	case s.Locked || s.Unset:
		e.openCard(c, a, found, nil, false)
	case s.Pad:
		e.logf(api.LogInfo, "service", c.name, "the PIN of the token %q is to be typed at the reader", name)
		e.openCard(c, a, found, nil, false)
	case c.profile.Local.PIN != "" && !s.Low && !s.Final:
		pin, err := e.credentials().secret(c.profile.Local.PIN)
		if err != nil {
			found.session.Close()
			e.attemptFailed(c, err)
			return
		}
		e.openCard(c, a, found, pin, true)
	default:
		q := api.Prompt{Kind: api.PromptPIN, Text: name, Attempt: c.wrong + 1, Rememberable: !s.Low && !s.Final}
		switch {
		case s.Final:
			q.Tries = api.TriesFinal
		case s.Low:
			q.Tries = api.TriesLow
		}
		a.card = found
		e.ask(c, a, q, func(ans answer, err error) {
			a.card = nil
			if err != nil {
				found.session.Close()
				e.attemptFailed(c, err)
				return
			}
			e.openCard(c, a, found, ans.secret, false)
		})
	}
}

// openCard gives a PIN to a token, once, and goes on with the key. The PIN is
// wiped.
func (e *Engine) openCard(c *conn, a *attempt, found *card, pin []byte, stored bool) {
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), padTime)
		defer cancel()
		h, err := found.open(ctx, pin, &e.pins)
		clear(pin)
		if err != nil {
			found.session.Close()
		}
		e.post(func() {
			if stored && errors.Is(err, host.ErrPINWrong) {
				e.forgetPIN(c)
			}
			e.haveKey(c, a, h, err)
		})
	}()
}

// haveKey goes on with the attempt when the key is there.
func (e *Engine) haveKey(c *conn, a *attempt, h *held, err error) {
	switch {
	case c.attempt != a: // given up meanwhile
		if h != nil && h != c.held {
			h.token.close()
		}
	case err != nil:
		if errors.Is(err, host.ErrPINWrong) {
			c.wrong++
		}
		e.attemptFailed(c, err)
	default:
		if c.held != h {
			if old := c.held; old != nil {
				c.dropToken()
				h.password, h.choice, h.remember = old.password, old.choice, old.remember
			}
			c.held = h
		}
		e.negotiate(c, a)
	}
}

// dropToken ends the use of a token, and keeps what else the user gave.
func (c *conn) dropToken() {
	if h := c.held; h.token != nil {
		h.token.close()
		h.token, h.key, h.chain = nil, nil, nil
	}
}

// forgetPIN drops a stored PIN that the token has refused: it must not go there
// with the next attempt, nor after a restart.
func (e *Engine) forgetPIN(c *conn) {
	if c.profile == nil || c.profile.Local.PIN == "" {
		return
	}
	p, text, err := e.store.ForgetPIN(c.profile, c.text)
	if err != nil {
		e.logf(api.LogError, "config", c.name, "the stored PIN is wrong and cannot be forgotten: %v", err)
		return
	}
	c.profile, c.text = p, text
	e.logf(api.LogWarn, "config", c.name, "the token refused the stored PIN, which is forgotten: the user is asked for it")
}

// sign has a signature made that an IKE SA waits for.
func (e *Engine) sign(x ike.Sign) {
	go func() {
		sig, err := x.Key.Sign(e.opt.Rand, x.Digest, x.Opts)
		e.post(func() {
			e.perform(x.SA.Signed(sig, err, time.Now()))
			e.settle()
		})
	}()
}

// credentials are the stored ones.
func (e *Engine) credentials() credentials {
	return credentials{certs: e.opt.Host.Certs, secrets: e.opt.Host.Secrets, roots: e.opt.Host.Roots}
}

// openForTest gets the key of a connection that is tested: with the PIN that
// came along, and without a question. It takes its time.
func (e *Engine) openForTest(ctx context.Context, from credentials, p *profile.Connection) (*held, error) {
	found, err := from.findCard(ctx, e.opt.Host.Tokens, &p.Local)
	if err != nil {
		return nil, err
	}
	var pin []byte
	if p.Local.PIN != "" {
		if pin, err = from.secret(p.Local.PIN); err != nil {
			found.session.Close()
			return nil, err
		}
		defer clear(pin)
	}
	s := found.state
	var h *held
	if s.Needed && !s.Given && len(pin) == 0 && !s.Pad && !s.Locked && !s.Unset {
		err = &profile.Error{Field: "local.pin", Msg: "the PIN of the token is needed for this", NeedsPassword: true}
	} else {
		h, err = found.open(ctx, pin, &e.pins)
	}
	if err != nil {
		found.session.Close()
		return nil, err
	}
	return h, nil
}
