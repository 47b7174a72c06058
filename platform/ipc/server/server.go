// Package server offers an api.Backend to the front ends of this machine:
// HTTP and JSON over the transport of package ipc. It decides who may call,
// bounds what a caller can take, and lets nothing but *api.Error come back.
//
//	GET    /v1/state                          api.State
//	GET    /v1/dynamic                        api.Dynamic
//	GET    /v1/log?limit=N                    []api.LogEntry
//	GET    /v1/events?after=SEQ               ipc.StreamLine, one JSON value a line
//	POST   /v1/import                         api.ImportRequest → api.ImportResult
//	POST   /v1/connections/NAME/connect       ipc.ConnectBody
//	POST   /v1/connections/NAME/disconnect
//	DELETE /v1/connections/NAME
//
//	POST   /v1/answer                         api.Answer
//	GET    /v1/connections/NAME/export        api.Export
//	POST   /v1/connections/NAME/profile       ipc.ProfileBody
//	POST   /v1/test                           api.ImportRequest → api.TestResult
//	GET    /v1/traffic                        map[string]api.Counters
//	GET    /v1/exchanges?connection=NAME&limit=N  []api.Message
//
//	GET    /v1/security                       api.Security
//	GET    /v1/policies                       []api.Policy
//	POST   /v1/policies                       api.PolicyFile → api.Policy
//	GET    /v1/policies/NAME                  api.PolicyFile
//	DELETE /v1/policies/NAME
//	GET    /v1/policies/A/diff/B              []string
//	POST   /v1/policies/NAME/assign           ipc.AssignBody → api.AssignResult
//	POST   /v1/unassign
//	GET    /v1/explain?flow=FLOW              api.FlowAnswer
//	POST   /v1/simulate                       api.SimulateRequest → api.Simulation
//	POST   /v1/connections/NAME/allow-clear   ipc.AllowClearBody
//	GET    /v1/memories                       []api.Memory
//	POST   /v1/memories/pin                   api.Memory
//	POST   /v1/memories/forget                api.Memory
package server

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/user"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"sallyport/core/api"
	"sallyport/platform/ipc"
)

// Options shape a Server. The zero value is fit for use.
type Options struct {
	Access Access
	// Log takes what the server has to say: who asked for what, who was turned
	// away, panics. It may be called from several goroutines; nil discards.
	Log func(level api.LogLevel, text string)
}

// A Server offers one Backend. Its limits hold across all its listeners.
type Server struct {
	backend api.Backend
	access  Access
	log     func(api.LogLevel, string)
	mux     *http.ServeMux
	self    uint32 // our own uid

	conns     limiter
	strangers limiter // connections of those who are not allowed
	followers limiter // event streams
	imports   slots
	tests     slots // which may take half a minute each
	captures  slots // simulations
	turned    slots // connections beyond the limits that are being told so
	refusals  refusals

	heartbeat  time.Duration
	lookupGID  func(name string) (uint32, bool)
	lookupUser func(uid uint32) string
}

// Timeouts of the HTTP side. A handler may take as long as its caller waits.
const (
	headerTimeout = 5 * time.Second
	bodyTimeout   = 30 * time.Second
	writeTimeout  = 30 * time.Second // per response, and per line of a stream
	idleTimeout   = time.Minute
	stopTimeout   = 3 * time.Second
)

// New returns a Server for backend.
func New(backend api.Backend, opts Options) *Server {
	s := &Server{
		backend:    backend,
		access:     opts.Access,
		log:        opts.Log,
		self:       uint32(os.Geteuid()),
		conns:      limiter{total: 128, each: 48},
		strangers:  limiter{total: 16, each: 4},
		followers:  limiter{total: 64, each: 16},
		imports:    make(slots, 2),
		tests:      make(slots, 2),
		captures:   make(slots, 1),
		turned:     make(slots, 16),
		heartbeat:  ipc.Heartbeat,
		lookupGID:  lookupGID,
		lookupUser: lookupUser,
	}
	if s.log == nil {
		s.log = func(api.LogLevel, string) {}
	}
	s.mux = s.routes()
	return s
}

// Serve answers on ln until ctx ends, then lets the answers under way finish
// for a moment and closes ln. It returns nil after ctx ended.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	hs := &http.Server{
		Handler:                      s,
		DisableGeneralOptionsHandler: true,
		ReadHeaderTimeout:            headerTimeout,
		IdleTimeout:                  idleTimeout,
		MaxHeaderBytes:               8 << 10,
		BaseContext:                  func(net.Listener) context.Context { return ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if g, ok := c.(*conn); ok {
				ctx = context.WithValue(ctx, callerKey{}, g.caller)
			}
			return ctx
		},
		ErrorLog: log.New(logWriter{s.log}, "", 0),
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		if hs.Shutdown(limit) != nil {
			hs.Close()
		}
	})
	err := hs.Serve(&gate{Listener: ln, s: s})
	if !stop() {
		<-stopped
		return nil
	}
	hs.Close()
	return fmt.Errorf("serve front ends: %w", err)
}

// A caller is who asks, and whether it may.
type caller struct {
	ipc.Peer
	allowed bool
}

type callerKey struct{}

// ServeHTTP checks and serves one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() {
		if v := recover(); v != nil {
			s.log(api.LogError, fmt.Sprintf("panic while serving %s: %v\n%s", r.Pattern, v, debug.Stack()))
			// On an event stream that has begun, this is a last line of its kind.
			w.Header().Set("Connection", "close")
			s.fail(w, &api.Error{Code: api.CodeInternal, What: "Something went wrong inside the service.",
				Next: "It goes on working. Please report this, with the output of `sallyport log`."})
		}
	}()
	h := w.Header()
	h.Set(ipc.HeaderAPI, fmt.Sprint(api.APIVersion))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")

	who, known := r.Context().Value(callerKey{}).(caller)
	if !known || !who.allowed {
		h.Set("Connection", "close")
		s.fail(w, s.refuse(who, known))
		return
	}
	if e := checkOrigin(r); e != nil {
		h.Set("Connection", "close")
		s.fail(w, e)
		return
	}
	s.mux.ServeHTTP(w, r)
}

// checkOrigin turns away everything a browser could have sent. It cannot reach
// us (see package ipc); should a proxy ever stand between, this still holds.
func checkOrigin(r *http.Request) *api.Error {
	browser := r.Host != ipc.Host || r.Header.Get("Origin") != ""
	for name := range r.Header {
		browser = browser || strings.HasPrefix(name, "Sec-Fetch-")
	}
	if browser || r.Header.Get(ipc.HeaderAPI) == "" {
		return &api.Error{Code: api.CodeNotAllowed, What: "This is not a request of a Sallyport front end.",
			Why: "The headers Host and " + ipc.HeaderAPI + " are not as a front end sends them, or it comes from a web page."}
	}
	return nil
}

// logWriter takes the lines of http.Server.
type logWriter struct {
	log func(api.LogLevel, string)
}

func (w logWriter) Write(b []byte) (int, error) {
	w.log(api.LogDebug, strings.TrimSpace(string(b)))
	return len(b), nil
}

// A gate accepts connections, learns who calls, and keeps the limits.
type gate struct {
	net.Listener
	s *Server
}

// Accept returns the next connection that the limits allow.
func (g *gate) Accept() (net.Conn, error) {
	for {
		c, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		p, err := ipc.PeerOf(c)
		if err != nil {
			g.s.log(api.LogWarn, fmt.Sprintf("turned a caller away: %v", err))
			c.Close()
			continue
		}
		who := caller{Peer: p, allowed: g.s.allows(p)}
		limit := &g.s.conns
		if !who.allowed {
			limit = &g.s.strangers
		}
		if !limit.enter(p.UID) {
			select {
			case g.s.turned <- struct{}{}:
				go func() {
					defer func() { <-g.s.turned }()
					tooMany(c)
				}()
			default:
				c.Close()
			}
			continue
		}
		return &conn{Conn: c, caller: who, leave: sync.OnceFunc(func() { limit.leave(p.UID) })}, nil
	}
}

// tooMany says so and hangs up. It lets the request arrive first: an HTTP
// client takes an answer before that for a broken connection.
func tooMany(c net.Conn) {
	c.SetDeadline(time.Now().Add(time.Second))
	c.Read(make([]byte, 4096))
	body := `{"error":{"code":"busy","what":"The service has too many callers.","next":"Close some front ends and try again."}}`
	fmt.Fprintf(c, "HTTP/1.1 503 Service Unavailable\r\n%s: %d\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		ipc.HeaderAPI, api.APIVersion, ipc.ContentJSON, len(body), body)
	c.Close()
}

// A conn is an accepted connection that counts against a limit.
type conn struct {
	net.Conn
	caller caller
	leave  func()
}

func (c *conn) Close() error {
	c.leave()
	return c.Conn.Close()
}

// A limiter counts what each user and all together hold.
type limiter struct {
	total, each int

	mu   sync.Mutex // guards all and held
	all  int
	held map[uint32]int
}

func (l *limiter) enter(uid uint32) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all >= l.total || l.held[uid] >= l.each {
		return false
	}
	if l.held == nil {
		l.held = map[uint32]int{}
	}
	l.all++
	l.held[uid]++
	return true
}

func (l *limiter) leave(uid uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	if l.held[uid]--; l.held[uid] == 0 {
		delete(l.held, uid)
	}
}

// slots lets few go on at a time, where each may hold much memory or time.
type slots chan struct{}

// take waits for a slot; release gives it back.
func (s slots) take(ctx context.Context) (release func(), err error) {
	select {
	case s <- struct{}{}:
		return func() { <-s }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func lookupUser(uid uint32) string {
	u, err := user.LookupId(fmt.Sprint(uid))
	if err != nil {
		return ""
	}
	return u.Username
}

// stopping explains what ended with the service itself.
func stopping(ctx context.Context, err error) error {
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return &api.Error{Code: api.CodeUnreachable, What: "The service is stopping."}
	}
	return err
}
