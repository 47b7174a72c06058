package monitor

import (
	"context"
	"time"

	"sallyport/core/api"
)

// Polling asks once a second, and less often when the answers take long: at
// most a twentieth of the time is spent on them.
const (
	pollEvery = time.Second
	pollShare = 20
	pollLimit = 10 * time.Second // for one answer
)

// An answer is what the service said at one time.
type answer struct {
	dynamic  api.Dynamic
	security api.Security
	err      *api.Error
	took     time.Duration
}

// pause is how long to wait before the next question.
func (a *answer) pause() time.Duration { return max(pollEvery-a.took, a.took*(pollShare-1)) }

func ask(ctx context.Context, b api.Backend) answer {
	ctx, cancel := context.WithTimeout(ctx, pollLimit)
	defer cancel()
	began := time.Now()
	var a answer
	var err error
	if a.dynamic, err = b.Dynamic(ctx); err == nil {
		a.security, err = b.Security(ctx)
	}
	a.err, a.took = api.AsError(err), time.Since(began)
	return a
}
