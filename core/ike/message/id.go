package message

import "fmt"

// An ID payload names one end (RFC 7296, section 3.5).
type ID struct {
	Responder bool // IDr rather than IDi
	Kind      IDType
	// Reserved is zero when sent. It is kept because AUTH covers it as received
	// (RFC 7296, section 2.15): AppendTo gives the octets to sign.
	Reserved [3]byte
	Data     []byte
}

// Type returns PayloadIDi or PayloadIDr.
func (id *ID) Type() PayloadType {
	if id.Responder {
		return PayloadIDr
	}
	return PayloadIDi
}

// AppendTo appends the payload body to b.
func (id *ID) AppendTo(b []byte) []byte {
	b = append(b, byte(id.Kind))
	b = append(b, id.Reserved[:]...)
	return append(b, id.Data...)
}

// ParseID parses the body of a payload of type kind. The result aliases b.
func ParseID(kind PayloadType, b []byte) (ID, error) {
	if len(b) < 4 {
		return ID{}, fmt.Errorf("identification: %d bytes: %w", len(b), ErrShort)
	}
	return ID{kind == PayloadIDr, IDType(b[0]), [3]byte(b[1:4]), b[4:]}, nil
}
