package message

import (
	"encoding/binary"
	"fmt"
)

// genericLen is the length of the generic payload header (RFC 7296, section 3.2).
const genericLen = 4

const criticalBit = 0x80

// A checker is a payload with counts or sizes that its length fields may not
// be able to carry.
type checker interface {
	check() error
}

// parseChain parses a chain of payloads that fills b. In the decrypted content
// of an Encrypted payload (inner) no other may be nested.
func parseChain(first PayloadType, b []byte, inner bool) ([]Payload, error) {
	var payloads []Payload
	for next := first; next != PayloadNone; {
		if len(payloads) == MaxPayloads {
			return nil, fmt.Errorf("more than %d payloads: %w", MaxPayloads, ErrLimit)
		}
		if len(b) < genericLen {
			return nil, fmt.Errorf("payload %v: %d bytes left: %w", next, len(b), ErrShort)
		}
		n := int(binary.BigEndian.Uint16(b[2:]))
		switch {
		case n < genericLen:
			return nil, fmt.Errorf("payload %v: length %d: %w", next, n, ErrMalformed)
		case n > len(b):
			return nil, fmt.Errorf("payload %v: length %d in %d bytes: %w", next, n, len(b), ErrShort)
		}
		kind, body, rest := next, b[genericLen:n:n], b[n:]
		following, critical := PayloadType(b[0]), b[1]&criticalBit != 0

		if kind == PayloadSK || kind == PayloadSKF {
			if inner {
				return nil, fmt.Errorf("payload %v inside another: %w", kind, ErrMalformed)
			}
			if len(rest) != 0 {
				return nil, fmt.Errorf("payload %v is not the last: %w", kind, ErrMalformed)
			}
			p, err := parseEncrypted(kind, following, body)
			if err != nil {
				return nil, err
			}
			return append(payloads, p), nil
		}

		p, err := parsePayload(kind, critical, body)
		if err != nil {
			return nil, err
		}
		payloads = append(payloads, p)
		next, b = following, rest
	}
	if len(b) != 0 {
		return nil, fmt.Errorf("%d bytes after the last payload: %w", len(b), ErrMalformed)
	}
	return payloads, nil
}

// parsePayload parses the body of one cleartext payload.
func parsePayload(kind PayloadType, critical bool, b []byte) (Payload, error) {
	switch kind {
	case PayloadSA:
		return pointer(ParseSA(b))
	case PayloadKE:
		return pointer(ParseKE(b))
	case PayloadIDi, PayloadIDr:
		return pointer(ParseID(kind, b))
	case PayloadCERT:
		return pointer(ParseCert(b))
	case PayloadCERTREQ:
		return pointer(ParseCertReq(b))
	case PayloadAUTH:
		return pointer(ParseAuth(b))
	case PayloadNonce:
		return pointer(ParseNonce(b))
	case PayloadNotify:
		return pointer(ParseNotify(b))
	case PayloadDelete:
		return pointer(ParseDelete(b))
	case PayloadVendorID:
		return pointer(ParseVendorID(b))
	case PayloadTSi, PayloadTSr:
		return pointer(ParseTS(kind, b))
	case PayloadCP:
		return pointer(ParseCP(b))
	case PayloadEAP:
		return pointer(ParseEAP(b))
	}
	return &Unknown{kind, critical, b}, nil
}

// pointer turns the result of a payload's parser into a Payload.
func pointer[T any, P interface {
	*T
	Payload
}](v T, err error) (Payload, error) {
	if err != nil {
		return nil, err
	}
	return P(&v), nil
}

// firstType returns what the field before the chain has to name.
func firstType(payloads []Payload) PayloadType {
	if len(payloads) == 0 {
		return PayloadNone
	}
	return payloads[0].Type()
}

// appendChain appends payloads with their generic headers to b.
func appendChain(b []byte, payloads []Payload) ([]byte, error) {
	if len(payloads) > MaxPayloads {
		return nil, fmt.Errorf("message: %d payloads: %w", len(payloads), ErrLimit)
	}
	for i, p := range payloads {
		if c, ok := p.(checker); ok {
			if err := c.check(); err != nil {
				return nil, fmt.Errorf("message: payload %v: %w", p.Type(), err)
			}
		}
		next := firstType(payloads[i+1:])
		var flags byte
		switch p := p.(type) {
		case *Unknown:
			if p.Critical {
				flags = criticalBit
			}
		case *Encrypted:
			next = p.First
		case *Fragment:
			next = p.First
		}
		start := len(b)
		b = append(b, byte(next), flags, 0, 0)
		b = p.AppendTo(b)
		n := len(b) - start
		if n > 0xffff {
			return nil, fmt.Errorf("message: payload %v of %d bytes: %w", p.Type(), n, ErrLimit)
		}
		binary.BigEndian.PutUint16(b[start+2:], uint16(n))
	}
	return b, nil
}
