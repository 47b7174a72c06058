package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"sallyport/app/gather"
	"sallyport/core/api"
)

// maxPassword bounds the line that --password-stdin reads.
const maxPassword = 4096

type importFlags struct {
	name     string
	password bool
	replace  bool
	dryRun   bool
}

func (c *command) importCmd() *cobra.Command {
	var f importFlags
	cmd := &cobra.Command{
		Use:   "import FILE...",
		Short: "Store the connections of profile files of any known format",
		Long: `Store the connections of profile files; the format is recognised by the content.
Files that a profile refers to (includes, certificates, keys) are read with your
rights, not with those of the service, and are named in the answer.`,
		Args: someFiles,
		RunE: c.run(func(ctx context.Context, args []string) error {
			return c.importFiles(ctx, args, f)
		}),
	}
	cmd.Flags().StringVar(&f.name, "name", "", "store the connection under this name; for a file with one connection")
	cmd.Flags().BoolVar(&f.password, "password-stdin", false, "read the PSK, password or passphrase that the file lacks from the first line of standard input")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "store nothing, and show what each setting would become")
	cmd.Flags().BoolVar(&f.replace, "replace", false, "overwrite connections of the same name")
	return cmd
}

// An imported is what became of one file: the shape of import --json.
type imported struct {
	File string `json:"file"`
	api.ImportResult
	Read       []string `json:"read,omitempty"`       // files beside File that were read
	Unreadable []string `json:"unreadable,omitempty"` // files that were wanted, and why they were not read
}

func (c *command) importFiles(ctx context.Context, paths []string, f importFlags) error {
	if f.name != "" && len(paths) > 1 {
		return usagef("With --name only one file can be imported at a time.")
	}
	var password []byte
	defer func() { clear(password) }()
	if f.password {
		var err error
		if password, err = readPassword(c.In); err != nil {
			return err
		}
	}
	results := make([]imported, 0, len(paths))
	var failed error
	for _, path := range paths {
		res, err := c.importFile(ctx, path, f, &password)
		if err != nil {
			failed = err
			break
		}
		results = append(results, res)
		switch {
		case c.json:
		case f.dryRun:
			c.printPlan(res)
		default:
			c.printImported(res)
		}
	}
	if c.json && (failed == nil || len(results) > 0) {
		// What was stored before a failure is stored; the error has its place beside it.
		out := struct {
			Results []imported `json:"results"`
			Error   *api.Error `json:"error,omitempty"`
		}{results, api.AsError(failed)}
		c.printJSON(out)
		if failed != nil {
			return explained{err: out.Error, shown: true}
		}
	}
	return failed
}

// importFile imports one file. A missing secret is asked for at the terminal,
// and kept in password for the files that follow.
func (c *command) importFile(ctx context.Context, path string, f importFlags, password *[]byte) (imported, error) {
	g, err := gather.Open(path)
	if err != nil {
		return imported{}, err
	}
	req := api.ImportRequest{Name: f.name, Replace: f.replace, DryRun: f.dryRun, Password: *password}
	res, err := g.Import(ctx, c.service(), req)
	if e := api.AsError(err); e != nil && c.mayAsk(e, *password) {
		secret, perr := c.Prompt(ctx, fmt.Sprintf("Secret for %s (PSK, password or passphrase): ", clean(path)))
		if perr == nil && len(secret) > 0 {
			*password = secret
			req.Password = secret
			res, err = g.Import(ctx, c.service(), req)
		}
	}
	if err != nil {
		return imported{}, g.Annotate(err)
	}
	if len(res.Imported) == 0 {
		e := &api.Error{Code: api.CodeProfileInvalid, What: fmt.Sprintf("No connection was imported from %s.", path),
			Why: strings.Join(res.Refused, "\n"), Position: &api.Position{File: path}}
		if e.Why == "" {
			e.Why = "The file has none."
		}
		return imported{}, g.Annotate(e)
	}
	return imported{File: path, ImportResult: res, Read: g.Beside(), Unreadable: g.Unreadable()}, nil
}

func (c *command) printImported(res imported) {
	for _, conn := range res.Imported {
		c.printf("Imported %q from %s (%s).\n", clean(conn.Name), clean(res.File), clean(orDash(res.Format)))
		t := &table{}
		if len(conn.Gateway) > 0 {
			t.add("Gateway", list(conn.Gateway))
		}
		t.add("Authentication", orDash(conn.Auth))
		for _, kind := range conn.Asks {
			t.add("Asked for at connect", secretName(api.Prompt{Kind: kind}))
		}
		for _, w := range conn.Warnings {
			t.add("Warning", w)
			t.style(0, yellow)
		}
		for _, line := range conn.Ignored {
			t.add("Not honoured", line)
		}
		c.printTable(t, "  ")
	}
	c.printBeside(res)
	if len(res.Imported) == 1 {
		c.printf("Connect with `sallyport connect %s`.\n", clean(shellName(res.Imported[0].Name)))
	}
}

// printBeside tells what else there was about a file.
func (c *command) printBeside(res imported) {
	for _, line := range res.Refused {
		c.printf("Not imported: %s\n", clean(line))
	}
	if len(res.Read) > 0 {
		c.printf("Also read: %s\n", clean(list(res.Read)))
	}
	for _, line := range res.Unreadable {
		c.printf("Could not read: %s\n", clean(line))
	}
}

// printPlan shows what would become of a file: setting by setting what it asks
// for, and what it would be here.
func (c *command) printPlan(res imported) {
	for _, conn := range res.Imported {
		c.printf("%q of %s (%s) would be imported; nothing is stored yet.\n", clean(conn.Name), clean(res.File), clean(orDash(res.Format)))
		t := &table{}
		t.add("SETTING", "WANTED", "BECOMES", "")
		for _, l := range conn.Plan {
			becomes, note := l.Becomes, l.Note
			if becomes == "" {
				becomes = "not honoured"
			}
			if l.Weak {
				note = strings.TrimSuffix("WEAK: "+note, ": ")
			}
			t.add(l.Setting, orDash(l.Wanted), becomes, note)
			switch {
			case l.Weak:
				t.style(3, red)
			case l.Becomes == "":
				t.style(2, yellow)
			}
		}
		c.printTable(t, "  ")
		for _, w := range conn.Warnings {
			c.printf("  %s %s\n", c.paint("Warning:", yellow), clean(w))
		}
	}
	c.printBeside(res)
}

// readPassword reads one line; what follows it does not matter.
func readPassword(in io.Reader) ([]byte, error) {
	line := make([]byte, 0, maxPassword+1)
	r := bufio.NewReader(io.LimitReader(in, maxPassword+2))
	for {
		b, err := r.ReadByte()
		switch {
		case errors.Is(err, io.EOF) && len(line) > 0, err == nil && b == '\n':
			if line = trimCR(line); len(line) == 0 {
				return nil, usagef("The first line of standard input is empty, so there is no password.")
			}
			return line, nil
		case errors.Is(err, io.EOF):
			return nil, usagef("Standard input is empty, so there is no password.")
		case err != nil:
			return nil, &api.Error{Code: api.CodeInternal, What: "Standard input could not be read.", Why: err.Error()}
		case len(line) == maxPassword:
			clear(line)
			return nil, usagef("The password on standard input is longer than %d bytes.", maxPassword)
		}
		line = append(line, b)
	}
}

func trimCR(b []byte) []byte {
	if n := len(b); n > 0 && b[n-1] == '\r' {
		return b[:n-1]
	}
	return b
}
