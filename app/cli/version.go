package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"sallyport/core/api"
)

func (c *command) versionCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Show the versions of this program and of the service",
		Args:  nothing,
		RunE: c.run(func(ctx context.Context, _ []string) error {
			ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
			defer cancel()
			type version struct {
				Version    string `json:"version"`
				APIVersion int    `json:"api_version"`
			}
			out := struct {
				Program version    `json:"program"`
				Service *version   `json:"service"`         // null when it does not answer
				Error   *api.Error `json:"error,omitempty"` // why it does not
			}{Program: version{api.Version, api.APIVersion}}
			st, err := c.service().State(ctx)
			if err == nil {
				out.Service = &version{st.Service.Version, st.Service.APIVersion}
			} else {
				out.Error = api.AsError(err)
			}
			if c.json {
				c.printJSON(out)
				return nil
			}
			c.printf("sallyport   %s\n", out.Program.Version)
			if out.Service != nil {
				c.printf("sallyportd  %s\n", clean(orDash(out.Service.Version)))
			} else {
				c.printf("sallyportd  not known: %s\n", clean(out.Error.What))
			}
			return nil
		}),
	}
}
