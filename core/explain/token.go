package explain

import (
	"errors"

	"sallyport/core/api"
	"sallyport/core/host"
)

// A PINError says that a PIN is wrong, and what is left.
type PINError struct {
	Final bool // the next wrong one locks the token
	Again bool // it was refused before, and did not go to the token a second time
	Err   error
}

// Error implements error.
func (e *PINError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *PINError) Unwrap() error { return e.Err }

// tokenCodes are the codes for the ways in which a token fails us.
var tokenCodes = []struct {
	err  error
	code api.ErrorCode
}{
	{host.ErrPINWrong, api.CodePINWrong}, {host.ErrPINLength, api.CodePINWrong}, {host.ErrPINLocked, api.CodePINLocked},
	{host.ErrPINCancelled, api.CodeCancelled}, {host.ErrNoToken, api.CodeTokenMissing}, {host.ErrTokenGone, api.CodeTokenRemoved},
	{host.ErrTokenKey, api.CodeTokenObject}, {host.ErrTokenAmbiguous, api.CodeTokenObject},
	{host.ErrTokenModule, api.CodeTokenModule}, {host.ErrTokenRefused, api.CodeLocalCredential},
}

// byToken explains why a smart card or token does not serve.
func byToken(err error, e *api.Error) bool {
	for _, c := range tokenCodes {
		if errors.Is(err, c.err) {
			e.Code = c.code
			break
		}
	}
	if e.Code == "" {
		return false
	}
	e.Params[ParamField] = "local.token"
	e.Params[ParamDetail] = text(err)
	var pin *PINError
	switch {
	case errors.Is(err, host.ErrPINLength):
		e.Why = "The PIN is shorter or longer than any that this token has. It was not given to the token, and costs no try."
	case errors.As(err, &pin) && pin.Again:
		e.Why = "The token refused this PIN before. It was not given to it again, since a few wrong ones lock it."
	case errors.Is(err, host.ErrTokenAmbiguous):
		e.Why = sentence(text(err))
		e.Next = "Name the token and the certificate in local.token, as \"sallyport tokens\" shows them."
	case errors.Is(err, host.ErrPINCancelled):
		e.Why = "The PIN was not typed at the reader."
	}
	if errors.As(err, &pin) {
		e.Params[ParamTries] = api.TriesLow
		if pin.Final {
			e.Params[ParamTries] = api.TriesFinal
			e.Next = "One more wrong PIN locks the token. Be sure of it, or ask who gave you the token, before you connect again."
		}
	}
	return true
}
