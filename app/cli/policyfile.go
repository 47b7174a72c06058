package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"sallyport/app/gather"
	"sallyport/core/api"
)

// Limits of the files that are handed to the service.
const (
	maxPolicy  = 2 << 20
	maxCapture = 32 << 20
)

func (c *command) policyImportCmd() *cobra.Command {
	var name string
	var replace bool
	cmd := &cobra.Command{
		Use:   "import FILE...",
		Short: "Check and store policies",
		Long: `Check and store the policies in files. Nothing of them comes into force: that is
what "policy assign" does, also for a policy that is assigned already.`,
		Args: someFiles,
		RunE: c.run(func(ctx context.Context, args []string) error {
			if name != "" && len(args) > 1 {
				return usagef("With --name only one file can be imported at a time.")
			}
			return c.importPolicies(ctx, args, name, replace)
		}),
	}
	cmd.Flags().StringVar(&name, "name", "", "store the policy under this name, instead of the one in the file")
	cmd.Flags().BoolVar(&replace, "replace", false, "overwrite a policy of the same name")
	return cmd
}

// A storedPolicy is what became of one file: the shape of policy import --json.
type storedPolicy struct {
	File   string     `json:"file"`
	Policy api.Policy `json:"policy"`
}

func (c *command) importPolicies(ctx context.Context, paths []string, name string, replace bool) error {
	results := make([]storedPolicy, 0, len(paths))
	var failed error
	for _, path := range paths {
		p, err := c.importPolicy(ctx, path, name, replace)
		if err != nil {
			failed = err
			break
		}
		results = append(results, storedPolicy{path, p})
		if !c.json {
			c.printf("Stored the policy %q from %s (%s).\n", clean(p.Name), clean(path), rules(p.Rules))
			c.printPolicyNotes(p)
			if p.Assigned {
				c.printf("It stays in force as it was; `sallyport policy assign %s` puts the new text in force.\n", clean(shellName(p.Name)))
			}
		}
	}
	if c.json && (failed == nil || len(results) > 0) {
		// What was stored before a failure is stored; the error has its place beside it.
		out := struct {
			Results []storedPolicy `json:"results"`
			Error   *api.Error     `json:"error,omitempty"`
		}{results, api.AsError(failed)}
		c.printJSON(out)
		if failed != nil {
			return explained{err: out.Error, shown: true}
		}
	}
	return failed
}

func (c *command) importPolicy(ctx context.Context, path, name string, replace bool) (api.Policy, error) {
	text, err := gather.Named(path, maxPolicy)
	if err != nil {
		return api.Policy{}, err
	}
	p, err := c.service().StorePolicy(ctx, api.PolicyFile{Name: name, Text: text, Replace: replace})
	return p, inFile(path, err)
}

// inFile puts the user's own path into the position of a failure: the service
// never learns it.
func inFile(path string, err error) error {
	e := api.AsError(err)
	if e == nil {
		return nil
	}
	if e.Position == nil {
		return e
	}
	out, pos := *e, *e.Position
	pos.File = path
	out.Position = &pos
	return &out
}

func (c *command) policyCheckCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE...",
		Short: "Say what is wrong with policies, and store nothing",
		Long: `Say what is wrong with the policies in files, on this machine, with file, line and
field. Nothing is stored and nothing changes. The exit code is 1 when one of
them could not be assigned.`,
		Args: someFiles,
		RunE: c.run(func(ctx context.Context, args []string) error { return c.checkPolicies(ctx, args) }),
	}
}

func (c *command) checkPolicies(ctx context.Context, paths []string) error {
	results := make([]storedPolicy, 0, len(paths))
	var failed *api.Error
	for _, path := range paths {
		text, err := gather.Named(path, maxPolicy)
		if err != nil {
			return err
		}
		p, err := c.service().StorePolicy(ctx, api.PolicyFile{Text: text, Check: true})
		if err != nil {
			return inFile(path, err)
		}
		for i := range p.Findings {
			p.Findings[i].Position.File = path
		}
		if p.Problem != nil {
			p.Problem = api.AsError(inFile(path, p.Problem))
			failed = p.Problem
		}
		results = append(results, storedPolicy{path, p})
		if !c.json {
			c.printFindings(path, p)
		}
	}
	if c.json {
		c.printJSON(struct {
			Results []storedPolicy `json:"results"`
		}{results})
	}
	if failed != nil {
		return explained{err: failed, shown: true}
	}
	return nil
}

func (c *command) printFindings(path string, p api.Policy) {
	for _, f := range p.Findings {
		label, style := "Warning:", yellow
		if f.Error {
			label, style = "Error:", red
		}
		c.printf("%s %s: %s\n", c.paint(label, style), clean(position(&f.Position)), clean(f.Text))
	}
	if p.Problem == nil {
		c.printf("The policy %q in %s can be assigned (%s).\n", clean(p.Name), clean(path), rules(p.Rules))
	}
}

func (c *command) policyExportCmd() *cobra.Command {
	var replace bool
	cmd := &cobra.Command{
		Use:   "export NAME [FILE]",
		Short: "Write the text of a policy to a file, or to standard output",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 || len(args) == 2 {
				return nil
			}
			return fmt.Errorf("`%s` takes the name of a policy and a file, and got %d arguments", cmd.CommandPath(), len(args))
		},
		ValidArgsFunction: c.completePolicy(1),
		RunE: c.run(func(ctx context.Context, args []string) error {
			f, err := c.service().Policy(ctx, args[0])
			if err != nil {
				return err
			}
			if len(args) == 1 && !c.json {
				c.write(f.Text)
				return nil
			}
			out := struct {
				Name string `json:"name"`
				File string `json:"file,omitempty"`
				Text string `json:"text,omitempty"` // without a file
			}{Name: args[0], Text: string(f.Text)}
			if len(args) == 2 {
				if err := writeFile(args[1], f.Text, replace, 0o644); err != nil {
					return err
				}
				out.File, out.Text = args[1], ""
			}
			if c.json {
				c.printJSON(out)
				return nil
			}
			c.printf("Wrote the policy %q to %s.\n", clean(args[0]), clean(args[1]))
			return nil
		}),
	}
	cmd.Flags().BoolVar(&replace, "replace", false, "overwrite the file if it is there")
	return cmd
}

// writeFile writes a new file, or with replace puts one in the place of
// another: the old one is whole until the new one is.
func writeFile(path string, data []byte, replace bool, mode os.FileMode) error {
	var err error
	if replace {
		err = replaceFile(path, data, mode)
	} else {
		err = createFile(path, data, mode)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrExist):
		return &api.Error{Code: api.CodeExists, What: fmt.Sprintf("%s is there already.", path), Next: "Choose another name, or overwrite it with --replace."}
	}
	e := &api.Error{Code: api.CodeInternal, What: fmt.Sprintf("%s could not be written.", path), Why: capital(gather.Reason(err)) + "."}
	if errors.Is(err, fs.ErrPermission) {
		e.Code, e.Next = api.CodeNotAllowed, "Check who may write there."
	}
	return e
}

func createFile(path string, data []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err != nil {
		os.Remove(path)
	}
	return err
}

func replaceFile(path string, data []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".sallyport-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already when all went well
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close(), os.Chmod(f.Name(), mode)); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func rules(n int) string {
	if n == 1 {
		return "1 rule"
	}
	return fmt.Sprintf("%d rules", n)
}
