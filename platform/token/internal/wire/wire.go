// Package wire is what the service and its token helper say to each other: one
// request, one answer, in turn, each of a length and that many bytes of JSON.
package wire

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"sallyport/core/host"
)

// The bounds of a message.
const (
	maxRequest  = 64 << 10
	MaxResponse = 4 << 20
)

// An Op is what is asked for.
type Op string

// The operations.
const (
	List  Op = "list"
	Open  Op = "open"
	PIN   Op = "pin"
	Login Op = "login"
	Key   Op = "key"
	Sign  Op = "sign"
	Close Op = "close"
)

// A Request asks the helper for something.
type Request struct {
	Op      Op     `json:"op"`
	Slot    uint64 `json:"slot,omitempty"`
	Label   string `json:"label,omitempty"` // of the token, or of the key
	Serial  string `json:"serial,omitempty"`
	Session uint64 `json:"session,omitempty"`
	PIN     []byte `json:"pin,omitempty"`
	ID      []byte `json:"id,omitempty"`

	Key    host.TokenKey `json:"key,omitzero"`
	Digest []byte        `json:"digest,omitempty"`
	Hash   uint          `json:"hash,omitempty"` // a crypto.Hash
	PSS    bool          `json:"pss,omitempty"`
}

// A Response is the helper's answer.
type Response struct {
	Error string `json:"error,omitempty"` // one of those that Errors knows, or anything
	Text  string `json:"text,omitempty"`  // what the module said

	Tokens    []host.Token  `json:"tokens,omitempty"`
	Session   uint64        `json:"session,omitempty"`
	PIN       host.PINState `json:"pin,omitzero"`
	Key       host.TokenKey `json:"key,omitzero"`
	Signature []byte        `json:"signature,omitempty"`
}

// errs are the errors that keep their identity on the way.
var errs = []error{host.ErrTokenModule, host.ErrTokenGone, host.ErrTokenKey, host.ErrPINWrong, host.ErrPINLength, host.ErrPINLocked, host.ErrPINCancelled, host.ErrTokenRefused}

// Failed returns the answer that says err.
func Failed(err error) Response {
	for _, e := range errs {
		if errors.Is(err, e) {
			return Response{Error: e.Error(), Text: strings.TrimPrefix(err.Error(), e.Error()+": ")}
		}
	}
	return Response{Error: host.ErrTokenModule.Error(), Text: err.Error()}
}

// Err returns the error that the answer says.
func (r *Response) Err() error {
	if r.Error == "" {
		return nil
	}
	for _, e := range errs {
		if r.Error == e.Error() && (r.Text == "" || r.Text == r.Error) {
			return e
		}
		if r.Error == e.Error() {
			return fmt.Errorf("%w (%.300s)", e, r.Text)
		}
	}
	return fmt.Errorf("%w (%.300s)", host.ErrTokenModule, r.Error)
}

// Write writes a message.
func Write(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	defer clear(b) // it may hold a PIN
	if len(b) > MaxResponse {
		return fmt.Errorf("a message of %d bytes", len(b))
	}
	whole := append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(b)), uint32(len(b))), b...)
	defer clear(whole)
	_, err = w.Write(whole)
	return err
}

// ReadRequest reads a Request.
func ReadRequest(r io.Reader) (q Request, err error) {
	err = read(r, maxRequest, &q)
	return q, err
}

// ReadResponse reads a Response.
func ReadResponse(r io.Reader) (a Response, err error) {
	err = read(r, MaxResponse, &a)
	return a, err
}

func read(r io.Reader, most uint32, v any) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > most {
		return fmt.Errorf("a message of %d bytes", n)
	}
	b := make([]byte, n)
	defer clear(b)
	if _, err := io.ReadFull(r, b); err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}
