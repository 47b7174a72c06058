package cli

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"sallyport/core/api"
)

// connectAsking connects as Backend.Connect does, and meanwhile puts the
// service's questions about the connection to whoever sits at the terminal, or
// answers the one for a secret with password. The clock of wait stands still
// while a question is open here.
func (c *command) connectAsking(ctx context.Context, r api.ConnectRequest, wait time.Duration, password []byte) error {
	st, err := c.service().State(ctx)
	if err != nil {
		return c.connectPlain(ctx, r, wait) // which tells what is wrong
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- c.service().Connect(ctx, r) }()
	asked, ended := make(chan api.Prompt), make(chan string)
	go c.watchPrompts(ctx, st, r.Name, asked, ended)

	d := dialog{c: c, password: password, answered: make(chan error, 1)}
	defer d.finish()
	clock := time.NewTimer(wait)
	defer clock.Stop()
	for {
		select {
		case err := <-done:
			return err
		case p := <-asked:
			d.waiting = append(d.waiting, p)
		case id := <-ended:
			d.withdraw(id)
		case err := <-d.answered:
			d.close()
			if err != nil {
				return err
			}
			clock.Reset(wait)
		case <-clock.C:
			if d.open == "" {
				stop()
				<-done
				return &api.Error{Code: api.CodeTimeout}
			}
		}
		d.next(ctx)
	}
}

// connectPlain connects without answering anything.
func (c *command) connectPlain(ctx context.Context, r api.ConnectRequest, wait time.Duration) error {
	if wait > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, wait)
		defer cancel()
	}
	return c.service().Connect(ctx, r)
}

// watchPrompts tells of the questions about a connection as they come and go,
// until ctx ends.
func (c *command) watchPrompts(ctx context.Context, st api.State, name string, asked chan<- api.Prompt, ended chan<- string) {
	ask := func(p api.Prompt) {
		if p.Connection != name {
			return
		}
		select {
		case asked <- p:
		case <-ctx.Done():
		}
	}
	for _, p := range st.Prompts {
		ask(p)
	}
	_ = c.service().Events(ctx, st.Seq, func(ev api.Event) bool {
		switch {
		case ev.Kind == api.EventPrompt && ev.Prompt != nil:
			ask(*ev.Prompt)
		case ev.Kind == api.EventAnswered:
			select {
			case ended <- ev.Name:
			case <-ctx.Done():
			}
		}
		return ctx.Err() == nil
	})
}

// A dialog answers the questions of one connect, one after the other.
type dialog struct {
	c        *command
	password []byte // answers one question for a secret
	used     bool
	waiting  []api.Prompt
	open     string // ID of the question at hand; empty: none
	cancel   context.CancelFunc
	answered chan error
	told     bool // that a question waits that cannot be answered here
}

// close notes that the question at hand is over.
func (d *dialog) close() {
	d.cancel()
	d.open, d.cancel = "", nil
}

// finish ends the question at hand, if there is one, and waits for that.
func (d *dialog) finish() {
	if d.open != "" {
		d.cancel()
		<-d.answered
		d.close()
	}
}

// withdraw ends a question that somebody else answered, or nobody in time.
func (d *dialog) withdraw(id string) {
	for i, p := range d.waiting {
		if p.ID == id {
			d.waiting = append(d.waiting[:i], d.waiting[i+1:]...)
			return
		}
	}
	if d.open == id {
		d.cancel() // answered follows
	}
}

// next turns to the next question when none is at hand.
func (d *dialog) next(ctx context.Context) {
	if d.open != "" || len(d.waiting) == 0 {
		return
	}
	p := d.waiting[0]
	d.waiting = d.waiting[1:]
	secret := secretName(p) != ""
	if !(secret && len(d.password) > 0) && (d.c.json || secret && d.c.Prompt == nil || !secret && d.c.Confirm == nil) {
		if !d.told {
			d.told = true
			d.c.note(fmt.Sprintf("%q waits for an answer: %s Answer with `sallyport answer %s`.", clean(p.Connection), promptText(p), p.ID))
		}
		return
	}
	ctx, d.cancel = context.WithCancel(ctx)
	d.open = p.ID
	given := d.password
	again := d.used
	if secret && len(given) > 0 {
		d.used = true
	}
	go func() {
		switch {
		case secret && len(given) > 0 && again:
			// The one secret of a script was wrong: no second try with it.
			d.answered <- d.c.sendAnswer(ctx, api.Answer{ID: p.ID, Cancel: true})
		case secret && len(given) > 0:
			d.answered <- d.c.sendAnswer(ctx, api.Answer{ID: p.ID, Secret: given})
		default:
			d.answered <- d.c.answerHere(ctx, p)
		}
	}()
}

// sendAnswer answers a question; that it is not open any more is no error.
func (c *command) sendAnswer(ctx context.Context, a api.Answer) error {
	err := c.service().Answer(ctx, a)
	if e := api.AsError(err); e == nil || e.Code == api.CodeNotFound || ctx.Err() != nil {
		return nil
	}
	return err
}

// answerHere puts a question to whoever sits at the terminal. An empty secret,
// or no, cancels.
func (c *command) answerHere(ctx context.Context, p api.Prompt) error {
	switch {
	case p.Kind == api.PromptPIN:
		fmt.Fprintf(c.Err, "Token: %s\n", clean(p.Text))
		if w := pinTexts[p.Tries]; w != "" {
			fmt.Fprintf(c.Err, "PIN: %s.\n", w)
		}
	case p.Text != "":
		fmt.Fprintf(c.Err, "The gateway says: %s\n", clean(p.Text))
	}
	if name := secretName(p); name != "" {
		if p.Attempt > 1 {
			fmt.Fprintln(c.Err, "The last answer was wrong.")
		}
		secret, err := c.Prompt(ctx, fmt.Sprintf("%s of %q: ", name, clean(p.Connection)))
		if ctx.Err() != nil {
			return nil // somebody else answered
		}
		defer clear(secret)
		if err != nil || len(secret) == 0 {
			return c.sendAnswer(ctx, api.Answer{ID: p.ID, Cancel: true})
		}
		return c.sendAnswer(ctx, api.Answer{ID: p.ID, Secret: secret})
	}
	if p.Kind == api.PromptCertificate {
		return c.chooseHere(ctx, p)
	}
	fmt.Fprint(c.Err, certificateText(p))
	ok, err := c.Confirm(ctx, "Do you trust this gateway from now on? [y/N] ")
	if ctx.Err() != nil {
		return nil
	}
	if err != nil || !ok {
		return c.sendAnswer(ctx, api.Answer{ID: p.ID, Cancel: true})
	}
	return c.sendAnswer(ctx, api.Answer{ID: p.ID, Trust: true})
}

// chooseHere shows all choices, and asks for one after the other.
func (c *command) chooseHere(ctx context.Context, p api.Prompt) error {
	if p.Attempt > 1 {
		fmt.Fprintln(c.Err, "The gateway refused the last one.")
	}
	fmt.Fprintf(c.Err, "Several certificates can prove to the gateway of %q who you are:\n", clean(p.Connection))
	for _, choice := range p.Choices {
		fmt.Fprintf(c.Err, "  %s  %s\n", clean(choice.ID), clean(choice.Text))
		for _, l := range choiceLines(choice) {
			fmt.Fprintf(c.Err, "     %s\n", clean(l))
		}
	}
	for _, choice := range p.Choices {
		ok, err := c.Confirm(ctx, fmt.Sprintf("Use %s, %s? [y/N] ", clean(choice.ID), clean(choice.Text)))
		if ctx.Err() != nil {
			return nil
		}
		if err != nil || !ok {
			continue
		}
		remember := false
		if p.Rememberable {
			remember, err = c.Confirm(ctx, "Use it from now on without asking? [y/N] ")
			if ctx.Err() != nil {
				return nil
			}
		}
		return c.sendAnswer(ctx, api.Answer{ID: p.ID, Choice: choice.ID, Remember: err == nil && remember})
	}
	return c.sendAnswer(ctx, api.Answer{ID: p.ID, Cancel: true})
}

// choiceLines show what a person compares of a certificate to choose.
func choiceLines(choice api.Choice) []string {
	x := choice.Certificate
	if x == nil {
		return nil
	}
	const day = "2006-01-02"
	lines := []string{x.Subject, "issued by " + x.Issuer, "valid " + x.NotBefore.Format(day) + " to " + x.NotAfter.Format(day)}
	if len(x.Uses) > 0 {
		var names []string
		for _, u := range x.Uses {
			names = append(names, cmp.Or(useNames[u], string(u)))
		}
		lines = append(lines, "for "+list(names))
	}
	return append(lines, "SHA-256 "+x.Fingerprint)
}

var useNames = map[api.CertificateUse]string{
	api.UseClient: "clients", api.UseServer: "servers", api.UseIPsec: "IPsec", api.UseSmartCard: "smart card logon",
	api.UseEmail: "e-mail", api.UseCode: "programs", api.UseAny: "everything", api.UseOther: "other uses",
}

// secretName says which secret answers a question; none: it takes another
// answer.
func secretName(p api.Prompt) string {
	switch p.Kind {
	case api.PromptServer, api.PromptCertificate:
		return ""
	case api.PromptSecret:
		return "Pre-shared key"
	case api.PromptPassphrase:
		return "Passphrase of the private key"
	case api.PromptPIN:
		return "PIN"
	case api.PromptCode:
		return "One-time code"
	}
	if p.User != "" {
		return fmt.Sprintf("Password of %s", clean(p.User))
	}
	return "Password"
}

// promptText says what a question asks.
func promptText(p api.Prompt) string {
	switch p.Kind {
	case api.PromptServer:
		return "is this gateway to be trusted?"
	case api.PromptCertificate:
		return "which certificate is to be used?"
	}
	name := secretName(p)
	return strings.ToLower(name[:1]) + name[1:] + "?"
}

// certificateText shows what a person compares of an unknown gateway.
func certificateText(p api.Prompt) string {
	var b strings.Builder
	fmt.Fprintf(&b, "The gateway of %q is not known: no authority that this system trusts vouches for it.\n", clean(p.Connection))
	x := p.Certificate
	if x == nil {
		return b.String()
	}
	const day = "2006-01-02"
	for _, l := range [][2]string{
		{"Subject", x.Subject}, {"Issuer", x.Issuer}, {"Names", list(x.Names)},
		{"Valid", x.NotBefore.Format(day) + " to " + x.NotAfter.Format(day)}, {"SHA-256", x.Fingerprint},
	} {
		if l[1] != "" {
			fmt.Fprintf(&b, "  %-7s  %s\n", l[0], clean(l[1]))
		}
	}
	b.WriteString("Compare the SHA-256 fingerprint with what the gateway's administrator says.\n")
	return b.String()
}
