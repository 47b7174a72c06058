package engine

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"

	"sallyport/core/api"
)

// The bounds on what is asked.
const (
	promptTime   = 2 * time.Minute
	maxPrompts   = 4  // of a connection at a time
	maxQuestions = 12 // of an attempt
	maxSecret    = 4096
	maxText      = 1024 // of a stranger, in characters
	maxChoices   = 32
)

// A prompt is a question that waits for its answer.
type prompt struct {
	api.Prompt
	conn    *conn
	attempt *attempt
	then    func(answer, error)
}

// An answer is what a person gave. The secret belongs to who gets it, who wipes
// it after use.
type answer struct {
	secret   []byte
	choice   string
	trust    bool
	remember bool
	by       string // who gave it
}

// ask puts a question of an attempt to whoever is in front of the machine. Kind
// and what belongs to it are q's; the rest is filled in, and what comes from
// the other side is cleaned and cut. then is called on the loop, once: with the
// answer, or with why there is none (an *api.Error: it was cancelled, nobody
// answered in time, or the other side asks too much). When the attempt ends
// first the question is withdrawn, and then is not called.
func (e *Engine) ask(c *conn, a *attempt, q api.Prompt, then func(answer, error)) {
	pending := 0
	for _, p := range e.prompts {
		if p.conn == c {
			pending++
		}
	}
	if a.asked++; a.asked > maxQuestions || pending >= maxPrompts || len(q.Choices) > maxChoices {
		then(answer{}, &api.Error{Code: api.CodePeerAuth, What: fmt.Sprintf("Connecting to %q was given up.", c.name),
			Why: "The gateway asks too many questions.", Next: "Ask the gateway's administrator why it is not content with the answers."})
		return
	}
	var id [16]byte
	if _, err := io.ReadFull(e.opt.Rand, id[:]); err != nil {
		then(answer{}, fmt.Errorf("read random numbers: %w", err))
		return
	}
	now := time.Now()
	q.ID, q.Connection, q.Asked, q.Until = hex.EncodeToString(id[:]), c.name, now, now.Add(promptTime)
	q.User, q.Text = plainText(q.User), plainText(q.Text)
	q.Attempt = max(1, q.Attempt)
	q.Choices = slices.Clone(q.Choices)
	for i := range q.Choices {
		q.Choices[i].Text = plainText(q.Choices[i].Text)
	}
	p := &prompt{Prompt: q, conn: c, attempt: a, then: then}
	e.prompts = append(e.prompts, p)
	shown := p.Prompt
	e.journal.add(api.Event{Kind: api.EventPrompt, Name: c.name, Prompt: &shown})
	e.logf(api.LogInfo, "service", c.name, "asking the user: %s", q.Kind)
}

// Answer implements api.Backend.
func (e *Engine) Answer(ctx context.Context, a api.Answer) error {
	var err error
	if callErr := e.call(ctx, func() { err = e.takeAnswer(a, api.Caller(ctx)) }); callErr != nil {
		return callErr
	}
	return err
}

func (e *Engine) takeAnswer(a api.Answer, by string) error {
	i := slices.IndexFunc(e.prompts, func(p *prompt) bool { return p.ID == a.ID })
	if i < 0 {
		return &api.Error{Code: api.CodeNotFound, What: "Nobody waits for that answer any more.",
			Why: "It was answered already, its time was over, or the attempt to connect has ended."}
	}
	p := e.prompts[i]
	if a.Cancel {
		e.endPrompt(p)
		p.then(answer{}, &api.Error{Code: api.CodeCancelled, What: fmt.Sprintf("Connecting to %q was given up.", p.Connection),
			Why: "The question for it was not answered.", Next: "Connect again when you like."})
		return nil
	}
	if err := p.fits(a); err != nil {
		return err
	}
	e.endPrompt(p)
	p.then(answer{secret: bytes.Clone(a.Secret), choice: a.Choice, trust: a.Trust, remember: a.Remember, by: by}, nil)
	return nil
}

// fits checks that an answer is one to the question, which otherwise stands.
func (p *prompt) fits(a api.Answer) error {
	usage := func(what string) error { return &api.Error{Code: api.CodeUsage, What: what} }
	if a.Remember && p.Kind != api.PromptCertificate {
		return usage("The service remembers no answer but the choice of a certificate.")
	}
	switch p.Kind {
	case api.PromptServer:
		if len(a.Secret) > 0 || a.Choice != "" {
			return usage("Whether a gateway is trusted is answered with yes or no.")
		}
	case api.PromptCertificate:
		if len(a.Secret) > 0 || a.Trust || !slices.ContainsFunc(p.Choices, func(c api.Choice) bool { return c.ID == a.Choice }) {
			return usage("That is none of the choices.")
		}
	default:
		switch {
		case len(a.Secret) == 0 || a.Choice != "" || a.Trust:
			return usage("The answer is empty.")
		case len(a.Secret) > maxSecret:
			return usage(fmt.Sprintf("The answer is longer than %d bytes.", maxSecret))
		}
	}
	return nil
}

// endPrompt takes a question away from the front ends.
func (e *Engine) endPrompt(p *prompt) {
	n := len(e.prompts)
	e.prompts = slices.DeleteFunc(e.prompts, func(o *prompt) bool { return o == p })
	if len(e.prompts) < n {
		e.journal.add(api.Event{Kind: api.EventAnswered, Name: p.ID})
	}
}

// withdraw takes the questions of an attempt back.
func (e *Engine) withdraw(a *attempt) {
	for _, p := range slices.Clone(e.prompts) {
		if p.attempt == a {
			e.endPrompt(p)
		}
	}
}

// expirePrompts ends the questions that nobody answered in time.
func (e *Engine) expirePrompts(now time.Time) {
	for _, p := range slices.Clone(e.prompts) {
		if now.Before(p.Until) || !slices.Contains(e.prompts, p) {
			continue
		}
		e.endPrompt(p)
		p.then(answer{}, &api.Error{Code: api.CodeTimeout, What: fmt.Sprintf("Connecting to %q was given up.", p.Connection),
			Why: fmt.Sprintf("Nobody answered the question for it within %v.", promptTime), Next: "Connect again when somebody is there to answer."})
	}
}

// prompted lists the questions for front ends, oldest first.
func (e *Engine) prompted() []api.Prompt {
	var out []api.Prompt
	for _, p := range e.prompts {
		out = append(out, p.Prompt)
	}
	return out
}

// plainText makes text of the other side harmless: one line without control or
// formatting characters, of bounded length.
func plainText(s string) string {
	n := 0
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if n++; n > maxText {
			return -1
		}
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsGraphic(r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd")))
}
