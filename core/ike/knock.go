package ike

import (
	"time"

	"sallyport/core/ike/message"
)

// Knock finds out whether the peer of cfg answers on a path, without saying who we
// are: it sends IKE_SA_INIT and goes no further. Answered tells that an answer
// came, of whatever kind; nothing proves whose. Closed follows in any case.
func (e *Endpoint) Knock(cfg *Config, path Path, now time.Time) (*SA, []Effect) {
	sa := e.newSA(&Config{Name: cfg.Name, Proposals: cfg.Proposals, Retransmit: Retransmit{Timeout: time.Second, Tries: 1}}, path, true, now)
	sa.hs.knock = true
	sa.startInit(now)
	e.settle(sa, now)
	return sa, e.take()
}

// knocked takes the answer to a Knock, and reports whether it is one.
func (sa *SA) knocked(h message.Header, now time.Time) bool {
	if sa.hs == nil || !sa.hs.knock {
		return false
	}
	if sa.state == StateInitSent && h.MessageID == 0 {
		sa.e.emit(Answered{SA: sa})
		sa.close(nil, now)
	}
	return true
}
