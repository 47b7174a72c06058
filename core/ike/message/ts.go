package message

import (
	"fmt"

	"sallyport/core/ts"
)

// A TS payload carries the traffic selectors of one end (RFC 7296, section 3.13).
type TS struct {
	Responder bool // TSr rather than TSi
	Selectors ts.List
}

// Type returns PayloadTSi or PayloadTSr.
func (t *TS) Type() PayloadType {
	if t.Responder {
		return PayloadTSr
	}
	return PayloadTSi
}

func (t *TS) check() error {
	if len(t.Selectors) > ts.MaxSelectors {
		return fmt.Errorf("%d traffic selectors: %w", len(t.Selectors), ErrLimit)
	}
	return nil
}

// AppendTo appends the payload body to b.
func (t *TS) AppendTo(b []byte) []byte { return t.Selectors.AppendTo(b) }

// ParseTS parses the body of a payload of type kind. Selectors of types other
// than the two address ranges are left out, see ts.ParsePayload. The result
// does not alias b.
func ParseTS(kind PayloadType, b []byte) (TS, error) {
	list, err := ts.ParsePayload(b)
	if err != nil {
		return TS{}, fmt.Errorf("%w: %w", err, ErrMalformed)
	}
	return TS{kind == PayloadTSr, list}, nil
}
