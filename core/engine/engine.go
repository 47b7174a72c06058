// Package engine composes IKE, ESP, policy and the host into the service: one
// event loop that owns all mutable state and implements api.Backend. It holds
// no protocol rules of its own; it carries effects from the machines to the
// world and news from the world to the machines.
package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"sallyport/core/api"
	"sallyport/core/datapath"
	"sallyport/core/host"
	"sallyport/core/ike"
	"sallyport/core/pki"
	"sallyport/core/profile"
)

// tunMTU is the MTU of the TUN device on all but narrow and very wide paths: what fits into an ESP packet on a
// path of 1500 bytes with every suite and either outer family, with room for
// the PPPoE links that many homes have.
const tunMTU = 1400

// Options are the settings of an Engine.
type Options struct {
	Host    *host.System
	Version string
	TUNName string    // of the device; empty: "sallyport0"
	Rand    io.Reader // nil: crypto/rand
	// Resolve looks up a gateway's name; nil: the machine's resolver.
	Resolve func(ctx context.Context, name string) ([]netip.Addr, error)
}

// An Engine is the service without its machine. It implements api.Backend.
type Engine struct {
	opt     Options
	store   *profile.Store
	journal *journal
	started time.Time

	calls   chan func()   // from other goroutines to the loop
	stopped chan struct{} // closed when Run has ended

	ikeIn                             chan datapath.Datagram
	strangers                         strangers
	events                            chan datapath.Event
	ikeFull, eventFull, strangersFull atomic.Uint64 // what found its queue full
	applier                           *applier

	// What follows belongs to the loop.
	conns     map[string]*conn
	pools     pools
	net       *network      // nil while no connection needs it
	ep        *ike.Endpoint // nil while net is
	sas       map[*ike.SA]*session
	kids      kids
	tide      tide
	peers     map[peerKey][]*session // of responders, by who they are
	probes    map[*ike.SA]*probe     // tests of connections
	exchanges exchanges
	graces    []grace
	drains    []drain
	group     uint32                         // the last group given to a child
	shownMTU  int                            // of the TUN device, as it was last wished
	wish      uint64                         // number of the newest wish of the host
	granted   uint64                         // number of the newest one that the host has followed
	ready     []afterWish                    // what waits for the host
	dnsNotes  []string                       // what the name servers could not be set as asked
	streams   streams                        // TCP connections
	knocks    map[*ike.SA]*conn              // what asks whether UDP is answered again
	relays    map[*ike.SA]*relay             // peers whose users a RADIUS server knows
	checks    map[*ike.SA]context.CancelFunc // of whether a peer\'s certificates were revoked
	answers   pki.Cache                      // of those who know
	dirty     map[*conn]bool                 // connections to publish
	prompts   []*prompt                      // that wait for an answer, oldest first
	pins      pinGuard                       // locks by itself
	guard     guard
	stopping  bool
	slept     time.Duration     // how long the machine had slept when last looked
	lost      map[string]uint64 // drops of networks that are closed, by reason
}

// New returns an Engine over the profiles of opt.Host. It does nothing before
// Run.
func New(opt Options) *Engine {
	if opt.Rand == nil {
		opt.Rand = rand.Reader
	}
	if opt.TUNName == "" {
		opt.TUNName = "sallyport0"
	}
	if opt.Resolve == nil {
		opt.Resolve = opt.Host.Resolve
	}
	if opt.Resolve == nil {
		opt.Resolve = func(ctx context.Context, name string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
		}
	}
	e := &Engine{
		opt:       opt,
		store:     &profile.Store{Profiles: opt.Host.Profiles, Certs: opt.Host.Certs, Secrets: opt.Host.Secrets},
		journal:   newJournal(time.Now),
		started:   time.Now(),
		calls:     make(chan func()),
		stopped:   make(chan struct{}),
		ikeIn:     make(chan datapath.Datagram, ikeQueue),
		strangers: newStrangers(),
		events:    make(chan datapath.Event, eventQueue),
		applier:   newApplier(opt.Host),
		conns:     make(map[string]*conn),
		pools:     make(pools),
		sas:       make(map[*ike.SA]*session),
		kids:      newKids(),
		peers:     make(map[peerKey][]*session),
		probes:    make(map[*ike.SA]*probe),
		streams:   streams{byPath: make(map[ike.Path]*carrier)},
		knocks:    make(map[*ike.SA]*conn),
		relays:    make(map[*ike.SA]*relay),
		checks:    make(map[*ike.SA]context.CancelFunc),
		dirty:     make(map[*conn]bool),
		lost:      make(map[string]uint64),
		guard:     guard{traps: make(map[string]uint32), failures: make(map[string]uint64), carried: make(map[string]uint64)},
	}
	e.exchanges.stored = func(name string) bool {
		c := e.conns[name]
		return c != nil && c.rule == ""
	}
	return e
}

// errStopping answers calls that come when the service ends.
var errStopping = &api.Error{Code: api.CodeUnreachable, What: "The service is stopping."}

// Run serves until ctx ends; then it closes every tunnel and leaves the
// machine as it was. It is called once.
func (e *Engine) Run(ctx context.Context) error {
	stopApplier := make(chan struct{})
	applierDone := make(chan struct{})
	go func() {
		defer close(applierDone)
		e.applier.run(stopApplier)
	}()
	defer func() {
		close(stopApplier)
		<-applierDone
		close(e.stopped)
	}()

	if err := e.store.Sweep(); err != nil {
		e.logf(api.LogWarn, "config", "", "clearing out unused secrets: %v", err)
	}
	e.reload()
	e.resume()
	e.listen()
	timer := time.NewTimer(0)
	defer timer.Stop()
	e.slept = e.sleep()
	poll := time.NewTicker(pollInterval)
	defer poll.Stop()
	done, netChanges := ctx.Done(), e.opt.Host.NetMonitor.Changes()
	for {
		if e.guard.look {
			e.guard.look = false
			e.followAll()
		}
		e.publish()
		if done == nil && e.atRest() {
			e.openFirewall()
			return nil
		}
		e.watchSleep()
		timer.Reset(e.untilNextTimeout())
		select {
		case <-done:
			done = nil
			e.logf(api.LogInfo, "service", "", "stopping")
			e.stopping = true
			e.disconnectAll()
		case call := <-e.calls:
			call()
		case d := <-e.ikeIn:
			e.handleIKE(d)
		case d := <-e.strangers.queue:
			e.handleIKE(e.strangers.took(d))
		case ev := <-e.events:
			e.handleDatapathEvent(ev)
		case r := <-e.applier.done:
			e.handleHostResult(r)
		case err := <-e.networkDone():
			e.handleNetworkEnd(err)
		case _, ok := <-netChanges:
			if !ok {
				netChanges = nil
				e.logf(api.LogError, "net", "", "changes of the network are no longer told; after one, connect again by hand")
				continue
			}
			e.handleNetworkChange()
		case <-e.routesLost():
			e.logf(api.LogError, "net", "", "another program removed routes, rules or addresses of the tunnel; setting them again")
			e.wishHost()
		case _, ok := <-e.firewallChanges():
			e.guard.mute = !ok // pollTraffic's tick looks all the same
			e.watchFirewall()
		case <-poll.C:
			e.pollTraffic()
			e.giveBack()
			e.reapStreams(time.Now())
			e.rewatch()
			if e.guard.mute {
				e.watchFirewall()
			}
			if e.guard.err != nil {
				e.guard.look = true // try again
			}
		case <-timer.C:
			e.handleTimeouts()
		}
	}
}

// routesLost is ready when somebody has removed what the host was asked for.
func (e *Engine) routesLost() <-chan struct{} {
	if w, ok := e.opt.Host.Router.(host.RouteWatcher); ok {
		return w.Lost()
	}
	return nil
}

// networkDone is ready when the data path has ended by itself.
func (e *Engine) networkDone() <-chan error {
	if e.net == nil {
		return nil
	}
	return e.net.done
}

// call runs f on the loop and waits for it. f must not block.
func (e *Engine) call(ctx context.Context, f func()) error {
	done := make(chan struct{})
	select {
	case e.calls <- func() { defer close(done); f() }:
	case <-ctx.Done():
		return contextError(ctx)
	case <-e.stopped:
		return errStopping
	}
	<-done
	return nil
}

// post hands f to the loop without waiting, from a goroutine of ours that the
// loop started. It reports false when the loop has ended: what f would have taken
// has nobody then.
func (e *Engine) post(f func()) bool {
	select {
	case e.calls <- f:
		return true
	case <-e.stopped:
		return false
	}
}

func contextError(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &api.Error{Code: api.CodeTimeout, What: "The time is over.", Next: "Look at the state of the connection, or wait longer."}
	}
	return &api.Error{Code: api.CodeCancelled, What: "The request was cancelled."}
}

// untilNextTimeout returns how long the loop may sleep.
func (e *Engine) untilNextTimeout() time.Duration {
	var next time.Time
	earlier := func(t time.Time) {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	if e.ep != nil {
		earlier(e.ep.NextTimeout())
	}
	for _, c := range e.conns {
		if c.machine != nil {
			earlier(c.machine.NextTimeout())
			earlier(c.nextStep())
		}
		earlier(c.nextStaple())
		if e.dirty[c] {
			earlier(c.publishAt)
		}
		if c.wanted && c.mode == api.Request && !e.stopping {
			earlier(c.nextFallback(e.guard.looked))
		}
	}
	for _, g := range e.graces {
		earlier(g.until)
	}
	for _, d := range e.drains {
		earlier(d.until)
	}
	for _, p := range e.prompts {
		earlier(p.Until)
	}
	if next.IsZero() {
		return time.Hour
	}
	return max(0, time.Until(next))
}

// handleTimeouts lets everything that waited for now go on.
func (e *Engine) handleTimeouts() {
	now := time.Now()
	e.guard.look = true
	if e.ep != nil {
		e.perform(e.ep.HandleTimeout(now))
	}
	for _, c := range e.sortedConns() {
		if c.machine == nil {
			continue
		}
		if actions := c.machine.HandleTimeout(now); len(actions) > 0 {
			e.act(c, actions)
		}
		e.step(c, now)
	}
	e.endDrains(now)
	e.endGraces(now)
	e.expirePrompts(now)
	e.refreshStaples(now)
}

// logf adds a line to the log.
func (e *Engine) logf(level api.LogLevel, topic, connection, format string, args ...any) {
	e.journal.logEntry(logEntry(level, topic, connection, format, args...))
}

// LogService adds a line of the service's own to the log. It may be called
// from any goroutine.
func (e *Engine) LogService(level api.LogLevel, text string) {
	e.logf(level, "service", "", "%s", text)
}
