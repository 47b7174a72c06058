package api

import "context"

type callerKey struct{}

// WithCaller returns a context that tells a Backend who asks, in words:
// "alice (uid 1000)".
func WithCaller(ctx context.Context, who string) context.Context {
	return context.WithValue(ctx, callerKey{}, who)
}

// Caller returns who asks, and an empty string when nobody said: then it is
// the service itself.
func Caller(ctx context.Context) string {
	who, _ := ctx.Value(callerKey{}).(string)
	return who
}
