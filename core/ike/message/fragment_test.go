package message

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

func sealFragments(t *testing.T, hdr Header, payloads []Payload, p Protection, maxDatagram int) [][]byte {
	t.Helper()
	b, err := SealFragments(hdr, payloads, p, maxDatagram, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// add passes datagrams to r and wants that none completes a message.
func add(t *testing.T, r *Reassembler, p Protection, datagrams ...[]byte) {
	t.Helper()
	for _, d := range datagrams {
		if m, done, err := r.Open(d, p); err != nil || done {
			t.Fatalf("got %+v, %v, %v", m, done, err)
		}
	}
}

// finish passes the last datagram to r and wants the message.
func finish(t *testing.T, r *Reassembler, p Protection, last []byte, want Message) {
	t.Helper()
	m, done, err := r.Open(last, p)
	if err != nil || !done {
		t.Fatalf("done %v, %v", done, err)
	}
	if !reflect.DeepEqual(m, want) {
		t.Errorf("got %+v, want %+v", m, want)
	}
}

func TestSealFragments(t *testing.T) {
	for _, block := range []int{1, 8, 16} {
		p := newAEAD(t, block)
		whole, err := Seal(header, authPayloads(2000), p, nil)
		if err != nil {
			t.Fatal(err)
		}
		if b := sealFragments(t, header, authPayloads(2000), p, len(whole)); len(b) != 1 || len(b[0]) != len(whole) {
			t.Errorf("%d datagrams where one fits", len(b))
		}
		for _, size := range []int{len(whole) - 1, 1280 - 48, 576 - 28, 100} {
			b := sealFragments(t, header, authPayloads(2000), p, size)
			if len(b) < 2 {
				t.Errorf("size %d: %d datagrams", size, len(b))
			}
			for i, d := range b {
				if len(d) > size || i < len(b)-1 && len(d) <= size-block {
					t.Errorf("size %d: fragment %d of %d has %d bytes", size, i+1, len(b), len(d))
				}
				m, err := Parse(d)
				if err != nil {
					t.Fatal(err)
				}
				f, ok := Find[*Fragment](m.Payloads)
				if !ok || int(f.Number) != i+1 || int(f.Total) != len(b) || m.Header != header {
					t.Errorf("fragment %d: got %+v", i+1, f)
				}
				if want := [2]PayloadType{PayloadNone, PayloadIDi}[min(1, max(0, 1-i))]; f.First != want {
					t.Errorf("fragment %d: first payload %v", i+1, f.First)
				}
			}
		}
	}
}

func TestSealFragmentsLimits(t *testing.T) {
	p := newGCM(t)
	overhead := HeaderLen + genericLen + fragmentLen + p.Overhead(0)
	for _, size := range []int{-1, 0, overhead, overhead + 1} {
		if b, err := SealFragments(header, authPayloads(2000), p, size, nil); !errors.Is(err, ErrLimit) {
			t.Errorf("size %d: %d datagrams, %v", size, len(b), err)
		}
	}
	large := []Payload{&VendorID{make([]byte, 65000)}, &VendorID{make([]byte, 65000)}}
	if _, err := SealFragments(header, large, p, 1200, nil); !errors.Is(err, ErrLimit) {
		t.Errorf("got %v", err)
	}
}

func TestReassembleAnyOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	p := newAEAD(t, 16)
	var asm Reassembler
	for id := range uint32(50) {
		hdr := header
		hdr.MessageID = id
		if id%2 == 1 {
			hdr.Flags |= FlagResponse
		}
		want := Message{hdr, authPayloads(r.IntN(3000))}
		fragments := sealFragments(t, hdr, want.Payloads, p, 200+r.IntN(300))
		if len(fragments) == 1 {
			finish(t, &asm, p, fragments[0], want)
			continue
		}
		r.Shuffle(len(fragments), func(i, j int) { fragments[i], fragments[j] = fragments[j], fragments[i] })
		last := len(fragments) - 1
		add(t, &asm, p, fragments[:last]...)
		add(t, &asm, p, fragments[:last]...) // duplicates
		finish(t, &asm, p, fragments[last], want)
	}
	if asm.requests.pieces != nil || asm.responses.pieces != nil {
		t.Error("something is left")
	}
}

func TestReassembleTotals(t *testing.T) {
	p := newGCM(t)
	want := Message{header, authPayloads(1000)}
	coarse := sealFragments(t, header, want.Payloads, p, 600)
	fine := sealFragments(t, header, want.Payloads, p, 300)
	last := len(fine) - 1

	var r Reassembler
	add(t, &r, p, coarse[0])
	add(t, &r, p, fine[:last]...) // a larger total starts over
	add(t, &r, p, coarse...)      // a smaller is ignored
	finish(t, &r, p, fine[last], want)
}

func TestReassembleMessageIDs(t *testing.T) {
	p := newGCM(t)
	next := header
	next.MessageID++
	old := sealFragments(t, header, authPayloads(500), p, 400)
	current := sealFragments(t, next, authPayloads(501), p, 400)
	response := header
	response.Flags |= FlagResponse
	answer := sealFragments(t, response, authPayloads(502), p, 400)

	var r Reassembler
	add(t, &r, p, old[0])
	add(t, &r, p, answer[:len(answer)-1]...) // responses do not disturb requests
	add(t, &r, p, current[:len(current)-1]...)
	add(t, &r, p, old...) // older than what is there
	finish(t, &r, p, current[len(current)-1], Message{next, authPayloads(501)})
	finish(t, &r, p, answer[len(answer)-1], Message{response, authPayloads(502)})
}

func TestReassembleWholeAmongFragments(t *testing.T) {
	p := newGCM(t)
	fragments := sealFragments(t, header, authPayloads(500), p, 400)
	whole, err := Seal(header, authPayloads(500), p, nil)
	if err != nil {
		t.Fatal(err)
	}
	var r Reassembler
	add(t, &r, p, fragments[0])
	finish(t, &r, p, whole, Message{header, authPayloads(500)})
	if r.requests.pieces != nil {
		t.Error("the pieces of a finished message are kept")
	}
}

func TestReassembleForged(t *testing.T) {
	p := newGCM(t)
	want := Message{header, authPayloads(500)}
	fragments := sealFragments(t, header, want.Payloads, p, 400)
	last := len(fragments) - 1
	var r Reassembler
	add(t, &r, p, fragments[:last]...)

	for i := range 8 * len(fragments[last]) {
		forged := slices.Clone(fragments[last])
		forged[i/8] ^= 1 << (i % 8)
		if m, done, _ := r.Open(forged, p); done {
			t.Fatalf("bit %d flipped: got %+v", i, m)
		}
	}
	finish(t, &r, p, fragments[last], want)
}

func TestReassembleLimits(t *testing.T) {
	var r Reassembler
	fragment := func(number, total uint16, n int) []byte {
		m := Message{header, []Payload{&Fragment{Number: number, Total: total, Body: make([]byte, n)}}}
		b, err := m.AppendTo(nil)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if _, done, err := r.Open(fragment(1, MaxFragments+1, 10), plain{}); done || !errors.Is(err, ErrLimit) {
		t.Errorf("too many fragments: %v", err)
	}
	add(t, &r, plain{}, fragment(1, 3, 40000))
	if _, done, err := r.Open(fragment(2, 3, 40000), plain{}); done || !errors.Is(err, ErrLimit) {
		t.Errorf("too many bytes: %v", err)
	}
	if r.requests.pieces != nil {
		t.Error("an oversized message is kept")
	}
	// Empty pieces count as received.
	add(t, &r, plain{}, fragment(1, 2, 0), fragment(1, 2, 0))
	finish(t, &r, plain{}, fragment(2, 2, 0), Message{Header: header})
}
