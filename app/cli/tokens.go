package cli

import (
	"context"

	"github.com/spf13/cobra"

	"sallyport/core/api"
)

func (c *command) tokensCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "tokens",
		Short: "List smart cards and tokens, and the certificates on them",
		Long: `List the smart cards and tokens that the service sees, and the certificates that
can be read without a PIN. The URI of one is what "token" in the [local] section
of a profile says.`,
		Args: nothing,
		RunE: c.run(func(ctx context.Context, _ []string) error {
			list, err := c.service().Tokens(ctx)
			if err != nil {
				return err
			}
			if c.json {
				c.printJSON(list)
				return nil
			}
			c.printTokens(list)
			return nil
		}),
	}
}

// pinTexts say how a PIN stands.
var pinTexts = map[string]string{
	api.TriesLow: "a wrong one was given last", api.TriesFinal: "one more wrong one locks the token",
	api.PINLocked: "locked", api.PINUnset: "not set yet",
}

func (c *command) printTokens(list api.Tokens) {
	if list.Problem != nil {
		c.note(list.Problem.Error())
	}
	switch {
	case len(list.Modules) == 0:
		c.printf("The service has no PKCS #11 module: install OpenSC, or name one with `sallyportd run --pkcs11-module PATH`.\n")
		return
	case len(list.Tokens) == 0:
		c.printf("There is no smart card or token.\n")
		return
	}
	for _, k := range list.Tokens {
		t := &table{}
		for _, l := range [][2]string{{"Made by", k.Manufacturer}, {"Model", k.Model}, {"Serial", k.Serial}, {"Reader", k.Reader}, {"Module", k.Module}, {"PIN", pinTexts[k.PIN]}} {
			if l[1] != "" {
				t.add(l[0], l[1])
			}
		}
		c.printf("%s\n", clean(k.Label))
		c.printTable(t, "  ")
		for _, x := range k.Certificates {
			const day = "2006-01-02"
			t := &table{}
			subject := x.Certificate.Subject
			if x.Authority {
				subject += " (an authority)"
			}
			t.add("Certificate", subject)
			if x.Label != "" {
				t.add("Label", x.Label)
			}
			t.add("Issuer", x.Certificate.Issuer)
			t.add("Valid", x.Certificate.NotBefore.Format(day)+" to "+x.Certificate.NotAfter.Format(day))
			t.add("URI", x.URI)
			c.printTable(t, "    ")
		}
	}
}
