package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"sallyport/app/gather"
	"sallyport/core/api"
)

func (c *command) testCmd() *cobra.Command {
	var password bool
	cmd := &cobra.Command{
		Use:   "test FILE",
		Short: "Try the connection of a profile file, without storing it",
		Long: `Try the connection of a profile file: speak IKE with its gateway until the tunnel
is agreed, and end it again. Nothing is stored, no traffic flows, and routes, DNS
and the firewall stay as they are. It exits with 0 when the connection would work.`,
		Args: oneFile,
		RunE: c.run(func(ctx context.Context, args []string) error {
			return c.test(ctx, args[0], password)
		}),
	}
	cmd.Flags().BoolVar(&password, "password-stdin", false, "read the PSK, password or passphrase that the file lacks from the first line of standard input")
	return cmd
}

func oneFile(cmd *cobra.Command, args []string) error {
	if len(args) == 1 {
		return nil
	}
	return fmt.Errorf("`%s` takes one file, and got %d", cmd.CommandPath(), len(args))
}

func (c *command) test(ctx context.Context, path string, fromStdin bool) error {
	var password []byte
	defer func() { clear(password) }()
	if fromStdin {
		var err error
		if password, err = readPassword(c.In); err != nil {
			return err
		}
	}
	g, err := gather.Open(path)
	if err != nil {
		return err
	}
	req := api.ImportRequest{Password: password}
	res, err := g.Test(ctx, c.service(), req)
	if e := api.AsError(err); e != nil && c.mayAsk(e, password) {
		secret, perr := c.Prompt(ctx, fmt.Sprintf("Secret for %s (PSK, password or passphrase): ", clean(path)))
		if perr == nil && len(secret) > 0 {
			password = secret
			req.Password = secret
			res, err = g.Test(ctx, c.service(), req)
		}
	}
	if err != nil {
		return g.Annotate(err)
	}
	if c.json {
		res.Steps = notNil(res.Steps)
		c.printJSON(res)
		if res.Problem != nil {
			return explained{err: res.Problem, shown: true}
		}
		return nil
	}
	c.printTest(res)
	if res.Problem != nil {
		return res.Problem
	}
	return nil
}

// mayAsk reports whether a secret that somebody at the terminal knows may help.
func (c *command) mayAsk(e *api.Error, password []byte) bool {
	return e.Code == api.CodeLocalCredential && e.Params["needs"] == "password" && len(password) == 0 && c.Prompt != nil && !c.json
}

func (c *command) printTest(res api.TestResult) {
	t := &table{}
	for _, s := range res.Steps {
		if s.OK {
			t.add("ok", s.Name, s.Text)
			continue
		}
		t.add("FAILED", s.Name, s.Text)
		t.style(0, red)
	}
	c.printTable(t, "")
	if res.Connection == nil {
		return
	}
	conn := res.Connection
	c.printf("\n%q would connect.\n", clean(conn.Name))
	t = &table{}
	t.add("IKE", orDash(res.IKE))
	t.add("ESP", orDash(res.ESP))
	for _, w := range conn.Warnings {
		t.add("Warning", w)
		t.style(0, yellow)
	}
	t.addTunnel(*conn)
	c.printTable(t, "  ")
}
