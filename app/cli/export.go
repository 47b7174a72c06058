package cli

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/skip2/go-qrcode"
	"github.com/spf13/cobra"

	"sallyport/core/api"
)

func (c *command) exportCmd() *cobra.Command {
	var output string
	var qr, replace bool
	cmd := &cobra.Command{
		Use:   "export NAME",
		Short: "Write a connection as a file that import takes, without its secrets",
		Long: `Write a connection as a profile that import takes: its certificates are in it, its
secrets and private keys never are, and what is left out is told on standard error.
Import with --replace keeps the secrets that are stored.`,
		Args:              oneName,
		ValidArgsFunction: c.completeName,
		RunE: c.run(func(ctx context.Context, args []string) error {
			return c.export(ctx, args[0], output, qr, replace)
		}),
	}
	cmd.Flags().StringVar(&output, "output", "", "write to this file rather than to standard output")
	cmd.Flags().BoolVar(&replace, "replace", false, "overwrite the file if it is there")
	cmd.Flags().BoolVar(&qr, "qr", false, "show it as a QR code in the terminal; for connections without certificates")
	return cmd
}

func (c *command) export(ctx context.Context, name, output string, qr, replace bool) error {
	if qr && (output != "" || c.json) {
		return usagef("--qr shows a picture, and goes neither with --output nor with --json.")
	}
	x, err := c.service().Export(ctx, name)
	if err != nil {
		return err
	}
	switch {
	case qr:
		picture, err := qrText(x.Text)
		if err != nil {
			return err
		}
		c.printf("%s", picture)
	case output != "":
		if err := writeFile(output, x.Text, replace, 0o600); err != nil {
			return err
		}
		if c.json {
			c.printJSON(struct {
				File    string   `json:"file"`
				Missing []string `json:"missing"`
			}{output, notNil(x.Missing)})
			return nil
		}
		c.printf("Wrote %q to %s.\n", clean(name), clean(output))
	case c.json:
		c.printJSON(struct {
			Name    string   `json:"name"`
			Text    string   `json:"text"`
			Missing []string `json:"missing"`
		}{x.Name, string(x.Text), notNil(x.Missing)})
		return nil
	default:
		c.write(x.Text)
	}
	for _, m := range x.Missing {
		fmt.Fprintf(c.Err, "Left out: %s.\n", clean(m))
	}
	return nil
}

// maxQR bounds what goes into a QR code: more makes a picture that no camera
// tells from noise on a terminal.
const maxQR = 1200

// qrText draws a profile as a QR code, without its comments.
func qrText(text []byte) (string, error) {
	var short bytes.Buffer
	for line := range bytes.Lines(text) {
		if t := bytes.TrimSpace(line); len(t) > 0 && t[0] != '#' {
			short.Write(t)
			short.WriteByte('\n')
		}
	}
	if bytes.Contains(text, []byte("-----BEGIN ")) || short.Len() > maxQR {
		return "", &api.Error{Code: api.CodeUnsupported, What: "This connection is too large for a QR code.",
			Why:  fmt.Sprintf("It takes %d bytes, and a code that can be read from a screen holds %d.", short.Len(), maxQR),
			Next: "Write it to a file: sallyport export NAME --output FILE"}
	}
	code, err := qrcode.New(short.String(), qrcode.Low)
	if err != nil {
		return "", &api.Error{Code: api.CodeInternal, What: "The QR code could not be made.", Why: err.Error()}
	}
	return strings.TrimRight(code.ToSmallString(false), "\n") + "\n", nil
}
