package explain

import "fmt"

// The conditions below are met where packages meet, in the engine, and wrapped
// in these types so that Explain knows them.

// A CredentialError says that our own certificate, key or secret for a
// connection is missing or unfit.
type CredentialError struct {
	Field string // of the profile
	Err   error
}

// Error implements error.
func (e *CredentialError) Error() string { return e.Field + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *CredentialError) Unwrap() error { return e.Err }

// A ResolveError says that no name of the gateway has an address.
type ResolveError struct{ Err error }

// Error implements error.
func (e *ResolveError) Error() string { return "resolve: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *ResolveError) Unwrap() error { return e.Err }

// A RouteError says that the machine has no way to the gateway.
type RouteError struct {
	Remote string // the gateway's address
	Err    error
}

// Error implements error.
func (e *RouteError) Error() string { return fmt.Sprintf("no route to %s: %v", e.Remote, e.Err) }

// Unwrap returns the cause.
func (e *RouteError) Unwrap() error { return e.Err }

// A TransportError says that no transport reached the gateway.
type TransportError struct {
	UDP bool  // nobody answered on UDP either
	Err error // why there was no TCP connection
}

// Error implements error.
func (e *TransportError) Error() string {
	if !e.UDP {
		return e.Err.Error()
	}
	return "no answer on UDP; TCP: " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *TransportError) Unwrap() error { return e.Err }

// A HostError says that the machine refused addresses, routes or DNS.
type HostError struct{ Err error }

// Error implements error.
func (e *HostError) Error() string { return "set addresses, routes and DNS: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *HostError) Unwrap() error { return e.Err }

// A FirewallError says that the packet filter could not be set.
type FirewallError struct{ Err error }

// Error implements error.
func (e *FirewallError) Error() string { return "set the firewall: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *FirewallError) Unwrap() error { return e.Err }
