package eap

import (
	"encoding/binary"
	"fmt"
)

// The flags of the TLS-based methods (RFC 5216, section 3.1); the low bits are
// the version of TTLS and PEAP.
const (
	flagLength  = 0x80
	flagMore    = 0x40
	flagStart   = 0x20
	versionMask = 0x07
)

const (
	fragmentSize = 1000    // bytes of TLS in one packet: it fits every path within IKE
	maxFlight    = 1 << 16 // bytes of TLS in one flight
)

// A fragment is the data of one packet of a TLS-based method.
type fragment struct {
	flags  byte
	length uint32 // of the whole flight; meaningful with flagLength
	tls    []byte
}

// appendTo appends the fragment to b.
func (f *fragment) appendTo(b []byte) []byte {
	b = append(b, f.flags)
	if f.flags&flagLength != 0 {
		b = binary.BigEndian.AppendUint32(b, f.length)
	}
	return append(b, f.tls...)
}

// parseFragment parses the data of a packet. The result aliases b.
func parseFragment(b []byte) (fragment, error) {
	if len(b) == 0 {
		return fragment{}, fmt.Errorf("eap: TLS packet without flags: %w", ErrMalformed)
	}
	f := fragment{flags: b[0], tls: b[1:]}
	if f.flags&flagLength != 0 {
		if len(f.tls) < 4 {
			return fragment{}, fmt.Errorf("eap: TLS packet without its length: %w", ErrMalformed)
		}
		f.length, f.tls = binary.BigEndian.Uint32(f.tls), f.tls[4:]
	}
	return f, nil
}

// A framer cuts flights of TLS into packets and puts them together, for either
// end: every fragment but the last is acknowledged by an empty packet.
type framer struct {
	version byte
	in, out []byte
	sending bool // a first fragment of out has gone
	total   int
}

// take adds a received fragment. It reports whether the flight is complete; an
// incomplete one is to be acknowledged with an empty packet.
func (f *framer) take(b []byte) (whole bool, err error) {
	x, err := parseFragment(b)
	if err != nil {
		return false, err
	}
	if x.flags&flagLength != 0 {
		if x.length > maxFlight || int(x.length) < len(f.in)+len(x.tls) {
			return false, fmt.Errorf("eap: a flight of TLS of %d bytes: %w", x.length, ErrMalformed)
		}
	}
	if len(f.in)+len(x.tls) > maxFlight {
		return false, fmt.Errorf("eap: a flight of TLS of more than %d bytes: %w", maxFlight, ErrMalformed)
	}
	if x.flags&flagMore != 0 && len(x.tls) == 0 {
		return false, fmt.Errorf("eap: an empty fragment of TLS: %w", ErrMalformed)
	}
	f.in = append(f.in, x.tls...)
	return x.flags&flagMore == 0, nil
}

// received returns the flight that take has completed.
func (f *framer) received() []byte {
	in := f.in
	f.in = nil
	return in
}

// send begins a flight and returns its first packet.
func (f *framer) send(flight []byte) []byte {
	f.out, f.sending, f.total = flight, false, len(flight)
	return f.next()
}

// pending reports whether more of the flight waits for an acknowledgement.
func (f *framer) pending() bool { return len(f.out) > 0 }

// next returns the next packet of the flight.
func (f *framer) next() []byte {
	x := fragment{flags: f.version}
	n := min(len(f.out), fragmentSize)
	x.tls = f.out[:n]
	if n < len(f.out) {
		x.flags |= flagMore
		if !f.sending {
			x.flags |= flagLength
			x.length = uint32(f.total)
		}
	}
	f.out, f.sending = f.out[n:], true
	return x.appendTo(nil)
}

// ack is the empty packet that acknowledges a fragment.
func (f *framer) ack() []byte { return []byte{f.version} }
