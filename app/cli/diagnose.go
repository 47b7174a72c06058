package cli

import (
	"bytes"
	"context"

	"github.com/spf13/cobra"

	"sallyport/app/bundle"
)

func (c *command) diagnoseCmd() *cobra.Command {
	var plain, replace bool
	cmd := &cobra.Command{
		Use:   "diagnose [FILE]",
		Short: "Write what a helper needs to know into a zip file, without secrets",
		Long: `Write a bundle for whoever is to help: how the service stands, its security
associations, its log, the IKE messages, and facts of the system. There are no
secrets in it. Addresses, host names and identities are replaced by pseudonyms,
the same for the same value.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return oneFile(cmd, args)
		},
		RunE: c.run(func(ctx context.Context, args []string) error {
			now := c.Now()
			path := "sallyport-diagnostics-" + now.Format("20060102-150405") + ".zip"
			if len(args) == 1 {
				path = args[0]
			}
			var b bytes.Buffer
			if err := bundle.Write(ctx, &b, c.service(), bundle.Options{Plain: plain, Now: now}); err != nil {
				return err
			}
			if err := writeFile(path, b.Bytes(), replace, 0o600); err != nil {
				return err
			}
			if c.json {
				c.printJSON(struct {
					File     string `json:"file"`
					Redacted bool   `json:"redacted"`
				}{path, !plain})
				return nil
			}
			c.printf("Wrote %s. It holds no secrets", clean(path))
			if plain {
				c.printf(", but names, addresses and identities as they are: give it only to whom you trust.\n")
			} else {
				c.printf("; names, addresses and identities are replaced by pseudonyms. Look into it before you send it.\n")
			}
			return nil
		}),
	}
	cmd.Flags().BoolVar(&replace, "replace", false, "overwrite the file if it is there")
	cmd.Flags().BoolVar(&plain, "no-redact", false, "leave addresses, names and identities as they are")
	return cmd
}
