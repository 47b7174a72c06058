package server

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"sync"
	"time"

	"sallyport/core/api"
	"sallyport/platform/ipc"
)

// events serves the event stream. The backend keeps the queue of each follower
// and tells the slow ones what they lost; here a follower that takes nothing
// at all for writeTimeout is hung up on.
func (s *Server) events(w http.ResponseWriter, r *http.Request) (any, error) {
	q, err := query(r, "after")
	if err != nil {
		return nil, err
	}
	var after uint64
	if q.Has("after") {
		if after, err = strconv.ParseUint(q.Get("after"), 10, 64); err != nil {
			return nil, usage("The parameter after must be the number of an event.")
		}
	}
	who, _ := r.Context().Value(callerKey{}).(caller)
	if !s.followers.enter(who.UID) {
		return nil, &api.Error{Code: api.CodeBusy, What: "Too many front ends follow the service's events.",
			Next: "Close some of them and try again."}
	}
	defer s.followers.leave(who.UID)

	ctx, cancel := context.WithCancel(r.Context())
	st := &stream{w: w, rc: http.NewResponseController(w), cancel: cancel}
	w.Header().Set("Content-Type", ipc.ContentStream)
	st.send(ipc.StreamLine{}) // the caller learns at once that it follows

	beat := make(chan struct{})
	go func() {
		defer close(beat)
		st.beat(ctx, s.heartbeat)
	}()
	defer func() { // also when the backend panics
		cancel()
		<-beat
	}()
	err = s.backend.Events(ctx, after, func(e api.Event) bool {
		return st.send(ipc.StreamLine{Event: &e})
	})
	if err == nil && r.Context().Err() != nil {
		err = r.Context().Err()
	}
	if err != nil {
		st.send(ipc.StreamLine{Error: api.AsError(stopping(r.Context(), err))})
	}
	return streamed{}, nil
}

// A stream writes lines for two goroutines: the backend's and the heartbeat's.
type stream struct {
	w      http.ResponseWriter
	rc     *http.ResponseController
	cancel context.CancelFunc

	mu     sync.Mutex // guards w, failed and quiet; held while writing
	failed bool
	quiet  time.Time // when the last line went out
}

// send writes a line and reports whether the follower is still there.
func (st *stream) send(l ipc.StreamLine) bool {
	b, err := json.Marshal(l)
	if err == nil && len(b) >= ipc.MaxEventLine && l.Event != nil {
		// More than the follower would read: it must look at the state instead.
		b, err = json.Marshal(ipc.StreamLine{Event: &api.Event{Seq: l.Event.Seq, Time: l.Event.Time, Kind: api.EventLost}})
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if err == nil && !st.failed {
		now := time.Now()
		st.rc.SetWriteDeadline(now.Add(writeTimeout))
		st.quiet = now
		if _, err = st.w.Write(append(b, '\n')); err == nil {
			err = st.rc.Flush()
		}
	}
	if err != nil {
		st.failed = true
		st.cancel()
	}
	return !st.failed
}

// beat keeps the stream from being silent for longer than every.
func (st *stream) beat(ctx context.Context, every time.Duration) {
	t := time.NewTicker(every / 2)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			st.mu.Lock()
			due := now.Sub(st.quiet) >= every/2
			st.mu.Unlock()
			if due && !st.send(ipc.StreamLine{}) {
				return
			}
		}
	}
}
