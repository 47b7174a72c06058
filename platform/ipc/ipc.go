// Package ipc is the road between the service and its front ends on one
// machine: a unix socket, or a named pipe on Windows, that tells who calls.
// HTTP and JSON travel over it; platform/ipc/server and platform/ipc/client
// hold the two ends, and this package what both must agree on.
//
// Nothing here is reachable from a network. A web page cannot reach it either:
// browsers open neither unix sockets nor named pipes, so there is no name to
// rebind; the server checks Host, Origin and a header of our own all the same.
package ipc

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"sallyport/core/api"
)

// The protocol: paths start with Prefix, and every request and response carries
// the version of the API in HeaderAPI. A browser cannot send that header
// without asking first.
const (
	HeaderAPI     = "Sallyport-Api"
	HeaderTimeout = "Sallyport-Timeout" // how long the caller waits, in milliseconds
	Host          = "sallyport"         // the only Host that is served

	ContentJSON   = "application/json"
	ContentStream = "application/x-ndjson"
)

// Prefix starts the path of every request.
var Prefix = "/v" + strconv.Itoa(api.APIVersion)

// Limits that both ends keep.
const (
	MaxImportBody   = 32 << 20 // the JSON of an ImportRequest
	MaxPolicyBody   = 4 << 20  // the JSON of a PolicyFile
	MaxSimulateBody = 48 << 20 // the JSON of a SimulateRequest
	MaxBody         = 64 << 10 // any other request
	MaxResponse     = 32 << 20 // a response as a whole
	MaxEventLine    = 1 << 20  // one line of the event stream
	MaxName         = 255      // bytes of the name of a connection or a policy
	MaxLog          = 10000    // entries of the log in one answer
	MaxMessages     = 2000     // IKE messages in one answer
	MaxPolicy       = 2 << 20  // bytes of a policy's text
	MaxCapture      = 32 << 20 // bytes of a capture to simulate
	MaxFlow         = 512      // bytes of a flow to explain
	MaxClear        = 24 * time.Hour

	Heartbeat     = 15 * time.Second // the event stream is never silent for longer
	HeartbeatLost = 45 * time.Second // after this long without one the stream is dead
)

// A StreamLine is one line of the event stream: an event, the error that ends
// the stream, or neither, which is a heartbeat.
type StreamLine struct {
	Event *api.Event `json:"event,omitempty"`
	Error *api.Error `json:"error,omitempty"`
}

// A ConnectBody is the body of a connect request; the name is in the path.
type ConnectBody struct {
	Wait    bool        `json:"wait"`
	Profile api.Profile `json:"profile,omitempty"`
}

// A ProfileBody is the body of a request for another profile.
type ProfileBody struct {
	Profile api.Profile `json:"profile"`
}

// An AssignBody is the body of an assign request; the policy's name is in the path.
type AssignBody struct {
	DryRun bool `json:"dry_run"`
}

// An AllowClearBody is the body of an allow-clear request.
type AllowClearBody struct {
	Milliseconds int64 `json:"milliseconds"` // up to MaxClear
}

// An ErrorBody is the body of every response that is not a success, and what
// the command line prints with --json.
type ErrorBody struct {
	Error *api.Error `json:"error"`
}

// A Peer is the process at the other end, as the kernel tells.
type Peer struct {
	UID    uint32
	GIDs   []uint32 // its groups, the primary one first
	PID    int32    // 0 when unknown
	Vetted bool     // the system let only permitted users open the connection (Windows)
}

// String names the peer for the log.
func (p Peer) String() string {
	if p.Vetted {
		return "an administrator"
	}
	s := "uid " + strconv.FormatUint(uint64(p.UID), 10)
	if p.PID > 0 {
		s += " (pid " + strconv.Itoa(int(p.PID)) + ")"
	}
	return s
}

// Errors of Listen and Dial that callers test.
var (
	// ErrInUse says that a live process listens on the path.
	ErrInUse = errors.New("another instance of the service listens there")
	// ErrUnavailable says that this system has no transport yet.
	ErrUnavailable = errors.New("not available on this system yet")
	// ErrUntrusted says that the process which answers is neither the system's nor the caller's own.
	ErrUntrusted = errors.New("the socket is served by another user")
	// ErrNoPeer says that a connection does not tell who is at its other end.
	ErrNoPeer = errors.New("the connection does not tell who is at its other end")
)

// CheckName reports what makes the name of a connection or a policy unfit to
// travel.
func CheckName(name string) error {
	switch {
	case name == "":
		return errors.New("the name is empty")
	case len(name) > MaxName:
		return fmt.Errorf("the name is longer than %d bytes", MaxName)
	case strings.ContainsFunc(name, func(r rune) bool { return r < 0x20 || r == 0x7f || r == 0xfffd }):
		return errors.New("the name holds a control character")
	}
	return nil
}
