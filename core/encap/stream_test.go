package encap

import (
	"bytes"
	"errors"
	"testing"
)

// feed gives the deframer a stream in pieces and returns the frames.
func feed(d *Deframer, stream []byte, piece func() int) ([][]byte, error) {
	var out [][]byte
	for {
		for {
			ready := d.Ready()
			f, ok, err := d.Next()
			if ready != (ok || err != nil) {
				return out, errors.New("Ready and Next disagree")
			}
			if err != nil {
				return out, err
			}
			if !ok {
				break
			}
			out = append(out, bytes.Clone(f))
		}
		if len(stream) == 0 {
			return out, nil
		}
		n := copy(d.Space(), stream[:min(len(stream), piece())])
		if n == 0 {
			return out, errors.New("no space")
		}
		d.Filled(n)
		stream = stream[n:]
	}
}

func TestDeframer(t *testing.T) {
	messages := [][]byte{[]byte("IKE"), {}, bytes.Repeat([]byte{7}, MaxFrame), bytes.Repeat([]byte{8}, 1400), {9}}
	var stream []byte
	for range 8 {
		for _, m := range messages {
			stream = AppendFrame(stream, m)
		}
	}
	for _, size := range []int{1, 3, 1000, 1 << 20} {
		var d Deframer
		got, err := feed(&d, stream, func() int { return size })
		if err != nil {
			t.Fatalf("pieces of %d: %v", size, err)
		}
		if len(got) != 8*len(messages) {
			t.Fatalf("pieces of %d: %d frames", size, len(got))
		}
		for i, f := range got {
			if !bytes.Equal(f, messages[i%len(messages)]) {
				t.Errorf("pieces of %d: frame %d has %d bytes", size, i, len(f))
			}
		}
		if len(d.buf) > maxSpace {
			t.Errorf("pieces of %d: holds %d bytes", size, len(d.buf))
		}
	}
}

// TestDeframerIsBounded: what a peer announces takes no memory, only what it
// sends does.
func TestDeframerIsBounded(t *testing.T) {
	var d Deframer
	if _, err := feed(&d, []byte{0xff, 0xff, 1, 2, 3}, func() int { return 1 }); err != nil {
		t.Fatal(err)
	}
	if len(d.buf) > 4*firstSpace {
		t.Errorf("five bytes take %d", len(d.buf))
	}
	for _, bad := range [][]byte{{0, 0}, {0, 1}} {
		var d Deframer
		if _, err := feed(&d, append(bad, "more"...), func() int { return 1 }); !errors.Is(err, ErrFrame) {
			t.Errorf("length %x: %v", bad, err)
		}
	}
}

func FuzzDeframer(f *testing.F) {
	f.Add([]byte{0, 5, 1, 2, 3}, uint8(1))
	f.Add([]byte{0, 2, 0, 3, 9, 0, 1}, uint8(2))
	f.Add(AppendFrame(nil, bytes.Repeat([]byte{1}, 3000)), uint8(200))
	f.Fuzz(func(t *testing.T, stream []byte, piece uint8) {
		var d Deframer
		frames, err := feed(&d, stream, func() int { return int(piece) + 1 })
		if err != nil && !errors.Is(err, ErrFrame) {
			t.Fatal(err)
		}
		var again []byte
		for _, f := range frames {
			again = AppendFrame(again, f)
		}
		if !bytes.HasPrefix(stream, again) {
			t.Fatalf("%x became %x", stream, again)
		}
		rest := stream[len(again):]
		if err == nil && len(rest) >= FrameHeader && int(rest[0])<<8+int(rest[1]) <= len(rest) {
			t.Errorf("the frame %x is missing", rest)
		}
	})
}
