package eap

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"time"
)

// A tlsConn runs crypto/tls step by step: TLS reads and writes as if it had a
// connection, and stops in the midst whenever it wants more than there is.
type tlsConn struct {
	conn   *tls.Conn
	resume func() (struct{}, bool)
	stop   func()
	yield  func(struct{}) bool
	in     []byte // received, not read yet
	out    []byte // written, not sent yet
	plain  []byte // application data received
	up     bool   // the handshake is complete
	wants  *signRequest
	err    error // that ended TLS
	ended  bool
}

// maxPlain bounds the application data of one flight.
const maxPlain = 1 << 16

// newTLSConn returns a connection; make builds either end of TLS on it.
func newTLSConn(build func(net.Conn) *tls.Conn) *tlsConn {
	t := &tlsConn{}
	t.conn = build(pipe{t})
	t.resume, t.stop = iter.Pull(func(yield func(struct{}) bool) {
		t.yield = yield
		t.err = t.run()
		t.ended = true
	})
	return t
}

func (t *tlsConn) run() error {
	if err := t.conn.Handshake(); err != nil {
		return err
	}
	t.up = true
	buf := make([]byte, 4096)
	for {
		n, err := t.conn.Read(buf)
		if len(t.plain)+n > maxPlain {
			return errors.New("too much application data")
		}
		t.plain = append(t.plain, buf[:n]...)
		clear(buf[:n])
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// feed gives TLS a flight and lets it go on until it wants another. What it
// has to say is in take, even when it ends with an error: an alert.
func (t *tlsConn) feed(flight []byte) error {
	t.in = append(t.in, flight...)
	if !t.ended {
		t.resume()
	}
	if t.err != nil {
		return fmt.Errorf("eap: TLS: %w", t.err)
	}
	return nil
}

// take returns what is to be sent.
func (t *tlsConn) take() []byte {
	out := t.out
	t.out = nil
	return out
}

// write sends application data.
func (t *tlsConn) write(b []byte) error {
	if _, err := t.conn.Write(b); err != nil {
		return fmt.Errorf("eap: TLS: %w", err)
	}
	return nil
}

// close ends TLS and forgets what it held.
func (t *tlsConn) close() {
	t.ended = true
	t.stop()
	clear(t.plain)
	t.plain, t.in, t.out = nil, nil, nil
}

// msk returns the first half of the keying material, the MSK: by the label of
// the method for TLS 1.2, and as RFC 9190, section 2.3, and RFC 9427, section
// 2.1, say for TLS 1.3. There the whole length enters into every byte.
func (t *tlsConn) msk(label string, typ Type) ([]byte, error) {
	cs := t.conn.ConnectionState()
	var context []byte
	if cs.Version == tls.VersionTLS13 {
		label, context = "EXPORTER_EAP_TLS_Key_Material", []byte{byte(typ)}
	}
	k, err := cs.ExportKeyingMaterial(label, context, 128)
	if err != nil {
		return nil, fmt.Errorf("eap: TLS: keying material: %w", err)
	}
	clear(k[64:])
	return k[:64:64], nil
}

// A pipe is the connection that crypto/tls sees.
type pipe struct{ t *tlsConn }

func (p pipe) Read(b []byte) (int, error) {
	for len(p.t.in) == 0 {
		if p.t.ended || !p.t.yield(struct{}{}) {
			return 0, io.EOF
		}
	}
	n := copy(b, p.t.in)
	p.t.in = p.t.in[n:]
	return n, nil
}

func (p pipe) Write(b []byte) (int, error) {
	p.t.out = append(p.t.out, b...)
	return len(b), nil
}

func (pipe) Close() error                     { return nil }
func (pipe) LocalAddr() net.Addr              { return nowhere{} }
func (pipe) RemoteAddr() net.Addr             { return nowhere{} }
func (pipe) SetDeadline(time.Time) error      { return nil }
func (pipe) SetReadDeadline(time.Time) error  { return nil }
func (pipe) SetWriteDeadline(time.Time) error { return nil }

type nowhere struct{}

func (nowhere) Network() string { return "eap" }
func (nowhere) String() string  { return "eap" }
