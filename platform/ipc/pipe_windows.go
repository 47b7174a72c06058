package ipc

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/Microsoft/go-winio"
	"golang.org/x/sys/windows"
)

// DefaultPath is where the system's own service listens. Only administrators
// can create a pipe under this prefix, so no other user can answer in its place.
const DefaultPath = `\\.\pipe\ProtectedPrefix\Administrators\sallyport`

// descriptor lets SYSTEM and elevated administrators in, and nobody else; P
// keeps inherited entries out, NW keeps lower integrity levels from writing.
const descriptor = "D:P(A;;GA;;;SY)(A;;GA;;;BA)S:(ML;;NW;;;HI)"

// Listen serves the named pipe at path. The pipe's security descriptor decides
// who may connect, so every peer is Vetted. Windows refuses a second first
// instance of a pipe: that is ErrInUse.
func Listen(path string) (net.Listener, error) {
	l, err := winio.ListenPipe(path, &winio.PipeConfig{
		SecurityDescriptor: descriptor,
		InputBufferSize:    64 << 10,
		OutputBufferSize:   64 << 10,
	})
	if errors.Is(err, windows.ERROR_ACCESS_DENIED) || errors.Is(err, windows.ERROR_PIPE_BUSY) {
		if c, e := winio.DialPipeContext(context.Background(), path); e == nil {
			c.Close()
			return nil, fmt.Errorf("listen on %s: %w", path, ErrInUse)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return l, nil
}

// Dial connects to the service at path. go-winio gives the server no right to
// act as the caller.
func Dial(ctx context.Context, path string) (net.Conn, error) {
	return winio.DialPipeContext(ctx, path)
}

// PeerOf tells that the pipe's security descriptor has let the peer in.
func PeerOf(net.Conn) (Peer, error) { return Peer{Vetted: true}, nil }
