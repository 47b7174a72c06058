package engine

import (
	"context"
	"fmt"

	"sallyport/core/api"
	"sallyport/core/explain"
)

// Export implements api.Backend.
func (e *Engine) Export(ctx context.Context, name string) (api.Export, error) {
	var out api.Export
	err := e.onLoop(ctx, func() error {
		if c := e.conns[name]; c != nil && c.rule != "" {
			return &api.Error{Code: api.CodeUnsupported, What: fmt.Sprintf("%q has no profile of its own.", name),
				Why: fmt.Sprintf("The rule %q of the assigned policy made it.", c.rule), Next: "Look at the policy: sallyport policy show"}
		}
		var err error
		if out, err = e.store.Export(name); err != nil {
			return explain.Explain(err, explain.Context{Connection: name})
		}
		return nil
	})
	return out, err
}
