package eap

import "fmt"

// gtcPeer answers the questions of a server one by one (RFC 3748, section
// 5.6): a password, a one-time code, or several of them in turn.
type gtcPeer struct {
	cfg   *PeerConfig
	asked int
	sent  bool // an answer has gone
}

// maxQuestions bounds what a server may ask of one user.
const maxQuestions = 8

func (g *gtcPeer) handle(data []byte) ([]byte, *Question, error) {
	if g.asked++; g.asked > maxQuestions {
		return nil, nil, fmt.Errorf("eap: GTC: more than %d questions: %w", maxQuestions, ErrProtocol)
	}
	if g.asked == 1 {
		if g.cfg.Password != nil {
			g.sent = true
			return append([]byte(nil), g.cfg.Password...), nil, nil
		}
		return nil, &Question{Kind: AskPassword, User: g.cfg.Identity, Text: Clean(data)}, nil
	}
	return nil, &Question{Kind: AskCode, User: g.cfg.Identity, Text: Clean(data)}, nil
}

func (g *gtcPeer) answer(secret []byte) ([]byte, *Question, error) {
	if len(secret) == 0 {
		return nil, nil, fmt.Errorf("eap: GTC: an empty answer: %w", ErrCredential)
	}
	g.sent = true
	return append([]byte(nil), secret...), nil, nil
}

func (g *gtcPeer) done() bool  { return g.asked > 0 }
func (g *gtcPeer) tried() bool { return g.sent }
func (g *gtcPeer) msk() []byte { return nil }
func (g *gtcPeer) wipe()       {}
