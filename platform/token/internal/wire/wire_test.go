package wire

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"sallyport/core/host"
)

// TestErrors keeps the identity of errors on the way, and bounds what a module
// said.
func TestErrors(t *testing.T) {
	for _, e := range errs {
		a := Failed(fmt.Errorf("%w: %s", e, bytes.Repeat([]byte("x"), 5000)))
		if err := a.Err(); !errors.Is(err, e) || len(err.Error()) > 500 {
			t.Errorf("%v became %.600v", e, err)
		}
	}
	a := Failed(errors.New("anything"))
	if !errors.Is(a.Err(), host.ErrTokenModule) {
		t.Errorf("anything became %v", a.Err())
	}
}

func FuzzRead(f *testing.F) {
	for _, v := range []any{Request{Op: Login, Session: 3, PIN: []byte("1234")}, Response{Tokens: []host.Token{{Label: "Alice"}}}} {
		var b bytes.Buffer
		if err := Write(&b, v); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if q, err := ReadRequest(bytes.NewReader(b)); err == nil {
			again(t, q, readRequest)
		}
		if a, err := ReadResponse(bytes.NewReader(b)); err == nil {
			again(t, a, readResponse)
		}
	})
}

func readRequest(b *bytes.Buffer) (Request, error)   { return ReadRequest(b) }
func readResponse(b *bytes.Buffer) (Response, error) { return ReadResponse(b) }

// again writes and reads twice: the first writing drops what nobody knows.
func again[T any](t *testing.T, v T, read func(*bytes.Buffer) (T, error)) {
	t.Helper()
	var last T
	for i := range 2 {
		var b bytes.Buffer
		if err := Write(&b, v); err != nil {
			t.Skip() // what invalid text becomes may be longer than the bound
		}
		got, err := read(&b)
		if err != nil {
			t.Skip()
		}
		if i == 1 && !reflect.DeepEqual(got, last) {
			t.Errorf("%+v became %+v", last, got)
		}
		v, last = got, got
	}
}
