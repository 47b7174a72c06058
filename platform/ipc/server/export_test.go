package server

import (
	"context"
	"net/http"
	"time"

	"sallyport/platform/ipc"
)

// SetHeartbeat makes the heartbeat of tests quicker.
func (s *Server) SetHeartbeat(d time.Duration) { s.heartbeat = d }

// SetGroup makes one group known.
func (s *Server) SetGroup(name string, gid uint32) {
	s.lookupGID = func(n string) (uint32, bool) { return gid, n == name }
}

// Allows reports what the server decides of a peer.
func (s *Server) Allows(p ipc.Peer) bool { return s.allows(p) }

// As gives a request the identity of p.
func (s *Server) As(r *http.Request, p ipc.Peer) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), callerKey{}, caller{Peer: p, allowed: s.allows(p)}))
}
