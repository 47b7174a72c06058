package message

import (
	"encoding/binary"
	"fmt"
)

// HeaderLen is the length of the IKE header.
const HeaderLen = 28

// Flags are the flag bits of the header.
type Flags uint8

// The flags.
const (
	FlagInitiator Flags = 0x08 // sent by the original initiator of the IKE SA
	FlagVersion   Flags = 0x10 // the sender speaks a higher major version
	FlagResponse  Flags = 0x20
)

// A Header is the IKE header without what follows from the payloads: their
// first type and the length (RFC 7296, section 3.1). The major version is 2.
type Header struct {
	InitiatorSPI uint64
	ResponderSPI uint64 // zero in the first request
	Minor        uint8  // minor version, 0 to 15; ignored on receipt
	Exchange     ExchangeType
	Flags        Flags
	MessageID    uint32
}

// Initiator reports whether the sender is the original initiator of the IKE SA.
func (h Header) Initiator() bool { return h.Flags&FlagInitiator != 0 }

// Response reports whether the message is a response.
func (h Header) Response() bool { return h.Flags&FlagResponse != 0 }

func (h Header) String() string {
	kind := "request"
	if h.Response() {
		kind = "response"
	}
	return fmt.Sprintf("%v %s %d (%016x_i %016x_r)", h.Exchange, kind, h.MessageID, h.InitiatorSPI, h.ResponderSPI)
}

// ParseHeader parses the header at the start of a datagram and checks the
// version and that the length is the datagram's. With an
// *InvalidMajorVersionError the header is filled in as far as the versions share it.
func ParseHeader(datagram []byte) (Header, error) {
	h, _, err := parseHeader(datagram)
	return h, err
}

func parseHeader(b []byte) (Header, PayloadType, error) {
	if len(b) < HeaderLen {
		return Header{}, 0, fmt.Errorf("message: header: %d bytes: %w", len(b), ErrShort)
	}
	h := Header{
		InitiatorSPI: binary.BigEndian.Uint64(b),
		ResponderSPI: binary.BigEndian.Uint64(b[8:]),
		Minor:        b[17] & 0x0f,
		Exchange:     ExchangeType(b[18]),
		Flags:        Flags(b[19]),
		MessageID:    binary.BigEndian.Uint32(b[20:]),
	}
	if major := b[17] >> 4; major != 2 {
		return h, 0, &InvalidMajorVersionError{major}
	}
	if len(b) > MaxDatagram {
		return h, 0, fmt.Errorf("message: %d bytes: %w", len(b), ErrLimit)
	}
	switch n := binary.BigEndian.Uint32(b[24:]); {
	case uint64(n) > uint64(len(b)):
		return h, 0, fmt.Errorf("message: header: length %d in %d bytes: %w", n, len(b), ErrShort)
	case uint64(n) < uint64(len(b)):
		return h, 0, fmt.Errorf("message: header: length %d in %d bytes: %w", n, len(b), ErrMalformed)
	}
	if h.InitiatorSPI == 0 && (h.Exchange != Informational || h.ResponderSPI != 0) { // see RFC 7296, section 1.5
		return h, 0, fmt.Errorf("message: header: initiator's SPI is zero: %w", ErrMalformed)
	}
	return h, PayloadType(b[16]), nil
}

func (h Header) appendTo(b []byte, first PayloadType, length int) []byte {
	b = binary.BigEndian.AppendUint64(b, h.InitiatorSPI)
	b = binary.BigEndian.AppendUint64(b, h.ResponderSPI)
	b = append(b, byte(first), 2<<4|h.Minor&0x0f, byte(h.Exchange), byte(h.Flags))
	b = binary.BigEndian.AppendUint32(b, h.MessageID)
	return binary.BigEndian.AppendUint32(b, uint32(length))
}

// setLength writes the length of the encoded message b into its header.
func setLength(b []byte) error {
	if len(b) > MaxDatagram {
		return fmt.Errorf("message: %d bytes: %w", len(b), ErrLimit)
	}
	binary.BigEndian.PutUint32(b[24:], uint32(len(b)))
	return nil
}
