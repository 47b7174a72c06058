package encap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// Prefix begins a TCP connection; only the end that opened it sends it
// (RFC 9329, section 4).
const Prefix = "IKETCP"

const (
	// FrameHeader is the length of the field before each message on TCP, which
	// counts itself (RFC 9329, section 3).
	FrameHeader = 2
	// MaxFrame is the longest message that fits into a frame.
	MaxFrame = 65535 - FrameHeader
)

// ErrFrame means that the stream is not one of frames, and of no more use.
var ErrFrame = errors.New("encap: malformed TCP frame")

// AppendFrame appends msg, an ESP packet or an IKE message with its marker, to
// dst as a frame. The caller keeps msg to MaxFrame bytes.
func AppendFrame(dst, msg []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(FrameHeader+len(msg)))
	return append(dst, msg...)
}

// Bounds of what a Deframer holds. It begins small, and grows only as the other
// end sends, so that connections that say nothing cost little.
const (
	firstSpace = 2 << 10
	maxSpace   = 256 << 10
)

// A Deframer cuts a TCP stream into its frames. The zero value is ready for use.
type Deframer struct {
	buf  []byte
	r, w int // what was read and not handed out yet
}

// Next returns the next frame, and false when more must be read first. The frame
// is borrowed until Space. An error is an ErrFrame, and stays.
func (d *Deframer) Next() ([]byte, bool, error) {
	n, err := d.frame()
	if n == 0 || err != nil {
		return nil, false, err
	}
	b := d.buf[d.r+FrameHeader : d.r+n : d.r+n]
	d.r += n
	return b, true, nil
}

// Ready reports whether Next has a frame, or an error, without reading more.
func (d *Deframer) Ready() bool {
	n, err := d.frame()
	return n > 0 || err != nil
}

// frame returns the length of the whole frame at the front, or 0.
func (d *Deframer) frame() (int, error) {
	if d.w-d.r < FrameHeader {
		return 0, nil
	}
	n := int(binary.BigEndian.Uint16(d.buf[d.r:]))
	switch {
	case n < FrameHeader:
		return 0, fmt.Errorf("%w: length field of %d", ErrFrame, n)
	case d.w-d.r < n:
		return 0, nil
	}
	return n, nil
}

// Space returns where to read to; Filled says how much was. What Next has
// returned is no longer valid.
func (d *Deframer) Space() []byte {
	full := d.w == len(d.buf)
	if d.r > 0 {
		d.w = copy(d.buf, d.buf[d.r:d.w])
		d.r = 0
	}
	if full && len(d.buf) < maxSpace { // a frame that is longer, or a sender that is faster
		d.buf = slices.Grow(d.buf[:d.w], max(firstSpace, 2*len(d.buf))-d.w)
		d.buf = d.buf[:min(cap(d.buf), maxSpace)]
	}
	return d.buf[d.w:]
}

// Filled says that n bytes were read into Space.
func (d *Deframer) Filled(n int) { d.w += n }
