package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"sallyport/core/api"
)

func (c *command) promptsCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "prompts",
		Short: "List what the service asks and nobody has answered yet",
		Long: `List what the service asks and nobody has answered yet: a secret that is not
stored, whether an unknown gateway is to be trusted. "sallyport connect" asks at
the terminal; this is for questions that came up otherwise.`,
		Args: nothing,
		RunE: c.run(func(ctx context.Context, _ []string) error {
			st, err := c.service().State(ctx)
			if err != nil {
				return err
			}
			if c.json {
				c.printJSON(struct {
					Prompts []api.Prompt `json:"prompts"`
				}{notNil(st.Prompts)})
				return nil
			}
			if len(st.Prompts) == 0 {
				c.printf("Nothing is asked.\n")
				return nil
			}
			for _, p := range st.Prompts {
				t := &table{}
				t.add("Question", promptText(p))
				switch {
				case p.Kind == api.PromptPIN:
					t.add("Token", p.Text)
					if w := pinTexts[p.Tries]; w != "" {
						t.add("PIN", w)
					}
				case p.Text != "":
					t.add("Gateway says", p.Text)
				}
				if x := p.Certificate; x != nil {
					t.add("Subject", x.Subject)
					t.add("Issuer", x.Issuer)
					t.add("SHA-256", x.Fingerprint)
				}
				for _, choice := range p.Choices {
					t.add("Choice", choice.ID+"  "+choice.Text)
					for _, l := range choiceLines(choice) {
						t.add("", "   "+l)
					}
				}
				t.add("Until", c.clock(p.Until)[:19])
				c.printf("%s  %s\n", clean(p.ID), clean(p.Connection))
				c.printTable(t, "  ")
			}
			return nil
		}),
	}
}

type answerFlags struct {
	secret, trust, cancel bool
	choice                string
	remember              bool
}

func (c *command) answerCmd() *cobra.Command {
	var f answerFlags
	cmd := &cobra.Command{
		Use:   "answer ID",
		Short: "Answer one of the prompts",
		Long: `Answer the prompt ID of "sallyport prompts". Without a flag the answer is asked
for at the terminal.`,
		Args:              onePrompt,
		ValidArgsFunction: c.completePrompt,
		RunE: c.run(func(ctx context.Context, args []string) error {
			return c.answer(ctx, args[0], f)
		}),
	}
	cmd.Flags().BoolVar(&f.secret, "secret-stdin", false, "answer with the first line of standard input")
	cmd.Flags().StringVar(&f.choice, "choice", "", "answer with one of the choices, by its ID")
	cmd.Flags().BoolVar(&f.remember, "remember", false, "with --choice: make it the connection's from now on")
	cmd.Flags().BoolVar(&f.trust, "trust", false, "trust the gateway from now on")
	cmd.Flags().BoolVar(&f.cancel, "cancel", false, "give up the attempt that asks")
	cmd.MarkFlagsMutuallyExclusive("secret-stdin", "choice", "trust", "cancel")
	for _, other := range []string{"secret-stdin", "trust", "cancel"} {
		cmd.MarkFlagsMutuallyExclusive("remember", other)
	}
	return cmd
}

func onePrompt(cmd *cobra.Command, args []string) error {
	if len(args) == 1 {
		return nil
	}
	return fmt.Errorf("`%s` takes the ID of one prompt, and got %d", cmd.CommandPath(), len(args))
}

func (c *command) answer(ctx context.Context, id string, f answerFlags) error {
	a := api.Answer{ID: id, Choice: f.choice, Remember: f.remember, Trust: f.trust, Cancel: f.cancel}
	switch {
	case f.remember && f.choice == "":
		return usagef("--remember goes with --choice: what is to be remembered.")
	case f.secret:
		secret, err := readPassword(c.In)
		if err != nil {
			return err
		}
		defer clear(secret)
		a.Secret = secret
	case f.choice == "" && !f.trust && !f.cancel:
		return c.answerAsked(ctx, id)
	}
	if err := c.service().Answer(ctx, a); err != nil {
		return err
	}
	c.printAnswered(id)
	return nil
}

// answerAsked asks at the terminal for the answer.
func (c *command) answerAsked(ctx context.Context, id string) error {
	if c.json || c.Prompt == nil || c.Confirm == nil {
		return &api.Error{Code: api.CodeUsage, What: "An answer is needed, and there is no terminal to ask at.",
			Next: "Give it with --secret-stdin, --choice, --trust or --cancel."}
	}
	st, err := c.service().State(ctx)
	if err != nil {
		return err
	}
	for _, p := range st.Prompts {
		if p.ID != id {
			continue
		}
		if err := c.answerHere(ctx, p); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return &api.Error{Code: api.CodeCancelled, What: "The question is not answered."}
		}
		c.printAnswered(id)
		return nil
	}
	return &api.Error{Code: api.CodeNotFound, What: fmt.Sprintf("There is no prompt %q.", id), Next: "`sallyport prompts` lists them."}
}

func (c *command) printAnswered(id string) {
	if c.json {
		c.printJSON(struct {
			Answered string `json:"answered"`
		}{id})
		return
	}
	c.printf("Answered.\n")
}

// completePrompt lists the prompts for the shell.
func (c *command) completePrompt(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	st, err := c.service().State(cmd.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var ids []string
	for _, p := range st.Prompts {
		ids = append(ids, p.ID+"\t"+clean(p.Connection))
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}

func (c *command) profileCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "profile NAME respond|request|require",
		Short: "Store another profile for a connection, which holds at once",
		Long: `Store another profile for the connection NAME. On a tunnel in use it holds at
once, and never with a moment of clear text in between:

  respond  secure when asked: nothing is enforced
  request  secure when possible: it falls back to clear text, and says so
  require  secure or nothing`,
		Args: nameAndProfile,
		ValidArgsFunction: func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 1 {
				return []string{"respond\tsecure when asked", "request\tsecure when possible", "require\tsecure or nothing"}, cobra.ShellCompDirectiveNoFileComp
			}
			return c.completeName(cmd, args, toComplete)
		},
		RunE: c.run(func(ctx context.Context, args []string) error {
			p := api.Profile(args[1])
			switch p {
			case api.Respond, api.Request, api.Require:
			default:
				return usagef("There is no profile %q; the profiles are respond, request and require.", args[1])
			}
			if err := c.service().SetProfile(ctx, args[0], p); err != nil {
				return err
			}
			conn, err := c.find(ctx, args[0])
			if err != nil {
				return err
			}
			if c.json {
				c.printJSON(conn)
				return nil
			}
			c.printf("The profile of %q is %s; it is %s.\n", clean(args[0]), p, clean(c.stateText(conn)))
			return nil
		}),
	}
}

func nameAndProfile(cmd *cobra.Command, args []string) error {
	if len(args) == 2 {
		return nil
	}
	return fmt.Errorf("`%s` takes the name of a connection and a profile, and got %d arguments", cmd.CommandPath(), len(args))
}
