package engine

import (
	"context"
	"crypto/x509"
	"time"

	"sallyport/core/api"
	"sallyport/core/ike"
	"sallyport/core/pki"
)

// A staple keeps what an authority tells about a certificate of ours at hand,
// for peers that want to know it (RFC 4806). It belongs to the loop.
type staple struct {
	*pki.Staple
	asking bool
}

// bring lets a connection bring along the state of its own certificates, as far
// as they name who tells it. What an earlier configuration knew serves on.
func (e *Engine) bring(c *conn, cfg *ike.Config) {
	known := c.staples
	c.staples = nil
	own := func(chain, authorities []*x509.Certificate) func(time.Time) [][]byte {
		list := make([]*staple, len(chain))
		some := false
		for i, cert := range chain {
			s := known[string(cert.Raw)]
			if s == nil {
				issuer := pki.IssuerOf(cert, append(chain[i+1:len(chain):len(chain)], authorities...))
				if issuer == nil {
					continue
				}
				x := pki.NewStaple(cert, issuer)
				if x == nil {
					continue
				}
				s = &staple{Staple: x}
			}
			if c.staples == nil {
				c.staples = make(map[string]*staple)
			}
			c.staples[string(cert.Raw)], list[i], some = s, s, true
		}
		if !some {
			return nil
		}
		return func(now time.Time) [][]byte {
			out := make([][]byte, len(list))
			for i, s := range list {
				if s != nil {
					e.askAbout(c, s, now)
					out[i] = s.Response(now)
				}
			}
			return out
		}
	}
	cfg.Local.OCSP = own(cfg.Local.Chain, cfg.Local.Authorities)
	for i := range cfg.Local.More {
		m := &cfg.Local.More[i]
		m.OCSP = own(m.Chain, m.Authorities)
	}
}

// refreshStaples asks anew for those who listen, whom a peer may ask at any time.
func (e *Engine) refreshStaples(now time.Time) {
	for _, c := range e.conns {
		if c.listening {
			for _, s := range c.staples {
				e.askAbout(c, s, now)
			}
		}
	}
}

// nextStaple returns when refreshStaples has something to do.
func (c *conn) nextStaple() time.Time {
	var next time.Time
	if !c.listening {
		return next
	}
	for _, s := range c.staples {
		if due := s.Due(); !s.asking && (next.IsZero() || due.Before(next)) {
			next = due
		}
	}
	return next
}

// askAbout asks about a certificate of ours when it is time to.
func (e *Engine) askAbout(c *conn, s *staple, now time.Time) {
	if s.asking || now.Before(s.Due()) || e.stopping {
		return
	}
	s.asking = true
	// Our own certificate is our admin's choice, and a gateway's authority is often
	// behind it.
	private := c.responder() || c.profile.Remote.RevocationPrivate
	name, fetches := c.name, s.Fetches()
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), revocationTime)
		defer cancel()
		last := pki.ErrNobodyTells
		for _, f := range fetches {
			body, err := e.fetch(ctx, f, private)
			if err != nil {
				last = err
				continue
			}
			revoked := false
			if bad := e.call(ctx, func() { revoked, err = s.Take(body, time.Now()) }); bad != nil {
				err = bad
			}
			if last = err; err == nil {
				e.logf(api.LogDebug, "ike", name, "%s tells the state of our own certificate", plainText(f.URL))
				if revoked {
					e.logf(api.LogWarn, "ike", name, "our own certificate was revoked: peers that want to know it will refuse us")
				}
				break
			}
		}
		e.post(func() {
			s.asking = false
			if last != nil {
				s.Failed(time.Now())
				e.logf(api.LogDebug, "ike", name, "the state of our own certificate cannot be brought along: %v", last)
			}
		})
	}()
}
