//go:build !linux && !darwin && !windows

package ipc

import (
	"context"
	"net"
)

// DefaultPath is empty: there is no transport on this system yet.
const DefaultPath = ""

// Listen yields ErrUnavailable.
func Listen(string) (net.Listener, error) { return nil, ErrUnavailable }

// Dial yields ErrUnavailable.
func Dial(context.Context, string) (net.Conn, error) { return nil, ErrUnavailable }

// PeerOf yields ErrUnavailable.
func PeerOf(net.Conn) (Peer, error) { return Peer{}, ErrUnavailable }
