package engine

import (
	"context"

	"sallyport/core/api"
)

var errNotYet = &api.Error{Code: api.CodeUnsupported, What: "The service does not offer this yet."}

func (e *Engine) Answer(context.Context, api.Answer) error { return errNotYet }
func (e *Engine) Export(context.Context, string) (api.Export, error) {
	return api.Export{}, errNotYet
}
func (e *Engine) SetProfile(context.Context, string, api.Profile) error { return errNotYet }
func (e *Engine) Test(context.Context, api.ImportRequest) (api.TestResult, error) {
	return api.TestResult{}, errNotYet
}
func (e *Engine) Traffic(context.Context) (map[string]api.Counters, error) { return nil, errNotYet }
func (e *Engine) Exchanges(context.Context, string, int) ([]api.Message, error) {
	return nil, errNotYet
}
