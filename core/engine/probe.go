package engine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"sallyport/core/api"
	"sallyport/core/explain"
	"sallyport/core/ike"
	"sallyport/core/profile"
)

// A probe tests a connection that need not be stored: it speaks IKE with the
// gateway through the service's sockets until the first Child SA is agreed, and
// deletes it again. Its effects never reach the data path, the tunnels or the
// host.
type probe struct {
	name     string // in the log and the exchanges
	profile  *profile.Connection
	cfg      *ike.Config
	answered chan struct{} // closed when the probe is over

	// What follows belongs to the loop until answered is closed.
	cancel  context.CancelFunc // of the name look-up
	addrs   []netip.AddrPort   // found
	left    []rung             // not tried yet
	remote  netip.AddrPort     // being tried
	sa      *ike.SA
	dialing bool // sa is only a key
	heard   bool // the gateway has answered something
	info    ike.Snapshot
	est     *ike.Established
	child   *ike.ChildSA
	problem error
	held    *held // of a key on a token
	closing bool  // what follows is only the goodbye
	over    bool
}

// Bounds of tests.
const (
	probeTime = 30 * time.Second
	maxProbes = 8
)

// probeSuffix marks the name of a connection that is tested.
const probeSuffix = " (test)"

// The steps of a test.
const (
	stepResolve      = "resolve"
	stepReach        = "reach"
	stepAgree        = "agree"
	stepAuthenticate = "authenticate"
	stepTunnel       = "tunnel"
)

// Test implements api.Backend. As with Import, files are parsed on the caller's
// goroutine, and nothing is tried while files are missing.
func (e *Engine) Test(ctx context.Context, r api.ImportRequest) (api.TestResult, error) {
	res, err := profile.Import(r)
	if err != nil {
		return api.TestResult{}, explain.Explain(err, explain.Context{})
	}
	if len(res.Missing) > 0 {
		return api.TestResult{Missing: res.Missing, Steps: []api.TestStep{}}, nil
	}
	defer func() {
		for _, b := range res.Bundles {
			for _, s := range b.Secrets {
				clear(s)
			}
		}
	}()
	if len(res.Bundles) != 1 {
		return api.TestResult{}, &api.Error{Code: api.CodeUsage, What: fmt.Sprintf("The file holds %d connections.", len(res.Bundles)),
			Next: "Test one connection at a time: import them, and test what `sallyport export` makes of one."}
	}
	b := &res.Bundles[0]
	if b.Connection.IsResponder() {
		return api.TestResult{}, &api.Error{Code: api.CodeUnsupported, What: fmt.Sprintf("%q waits for peers.", b.Connection.Name),
			Why: "Only a connection to a gateway can be tested.", Next: "Connect from a peer, and look at `sallyport log`."}
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	p := &probe{name: b.Connection.Name + probeSuffix, answered: make(chan struct{})}
	if err := e.onLoop(ctx, func() error { return e.startProbe(ctx, p, b, r.Password) }); err != nil {
		return api.TestResult{}, err
	}
	select {
	case <-p.answered:
	case <-e.stopped:
		return api.TestResult{}, errStopping
	case <-ctx.Done():
		// The goodbye to the gateway, if one is due, goes on without us.
		if err := e.call(context.Background(), func() { e.giveUpProbe(p, ctx.Err()) }); err != nil {
			return api.TestResult{}, err
		}
	}
	var out api.TestResult
	callErr := e.call(context.Background(), func() { out = e.probeResult(p, b.Warnings) })
	return out, callErr
}

// startProbe begins a test. It fails only for reasons that have nothing to do
// with the gateway.
func (e *Engine) startProbe(ctx context.Context, p *probe, b *profile.Bundle, password []byte) error {
	if e.stopping {
		return errStopping
	}
	if len(e.probes) >= maxProbes {
		return &api.Error{Code: api.CodeBusy, What: "Too many tests are running.", Next: "Try again in a moment."}
	}
	if err := e.store.Complete(b); err != nil {
		return explain.Explain(err, explain.Context{Connection: b.Connection.Name})
	}
	if err := b.Unlock(password); err != nil {
		return explain.Explain(err, explain.Context{Connection: b.Connection.Name})
	}
	p.profile = &b.Connection
	from := credentials{certs: inMemory(b.Certs), secrets: inMemory(b.Secrets), roots: e.opt.Host.Roots}
	if p.profile.Local.OnToken() {
		e.probeToken(ctx, p, from)
		return nil
	}
	return e.probeWith(ctx, p, from)
}

// probeToken begins a test with a key on a token, which takes its time.
func (e *Engine) probeToken(ctx context.Context, p *probe, from credentials) {
	e.probes[p.waiting()] = p // so that it counts
	secrets := inMemory{}
	for n, s := range from.secrets.(inMemory) {
		secrets[n] = slices.Clone(s) // the caller wipes its own when it goes
	}
	from.secrets = secrets
	go func() {
		h, err := e.openForTest(ctx, from, p.profile)
		e.post(func() {
			delete(e.probes, p.sa)
			p.sa, p.held, from.held = nil, h, h
			switch {
			case p.over:
			case e.stopping:
				err = errStopping
			case err == nil:
				err = e.probeWith(ctx, p, from)
			}
			for _, s := range secrets {
				clear(s)
			}
			if err != nil || p.over {
				p.close()
				e.endProbe(p, err)
			}
		})
	}()
}

// close gives the token back.
func (p *probe) close() {
	if p.held != nil {
		p.held.token.close()
		p.held = nil
	}
}

// probeWith begins to negotiate.
func (e *Engine) probeWith(ctx context.Context, p *probe, from credentials) error {
	cfg, err := from.ikeConfig(p.profile, nil)
	if err != nil {
		return e.explainProbe(p, err)
	}
	// Somebody waits for the answer; and whatever else is up with this gateway
	// is to stay.
	cfg.Name, cfg.Beside = p.name, true
	cfg.Retransmit = ike.Retransmit{Timeout: time.Second, Tries: 3}
	p.cfg = cfg
	if err := e.openNetwork(false); err != nil {
		return e.explainProbe(p, err)
	}
	e.logf(api.LogInfo, "ike", p.name, "testing %s", p.profile.Gateways)
	gateways := slices.Clone(p.profile.Gateways)
	if addrs, ok := literal(gateways); ok {
		e.probeResolved(p, addrs, nil)
		return nil
	}
	ctx, p.cancel = context.WithTimeout(ctx, resolveTimeout)
	e.probes[p.waiting()] = p // so that the sockets stay open
	go func() {
		addrs, err := resolve(ctx, e.opt.Resolve, gateways)
		e.post(func() { e.probeResolved(p, addrs, err) })
	}()
	return nil
}

// inMemory are certificates or secrets that are not stored.
type inMemory map[string][]byte

// Read implements reader. The caller may wipe what it gets.
func (m inMemory) Read(name string) ([]byte, error) {
	b, ok := m[name]
	if !ok {
		return nil, fmt.Errorf("%q is not among the files", name)
	}
	return slices.Clone(b), nil
}

// waiting is a key for a probe that has no SA yet.
func (p *probe) waiting() *ike.SA {
	if p.sa == nil {
		p.sa = new(ike.SA)
	}
	return p.sa
}

// probeResolved goes on with the addresses of the gateway.
func (e *Engine) probeResolved(p *probe, addrs []netip.AddrPort, err error) {
	if p.cancel != nil {
		p.cancel()
	}
	delete(e.probes, p.sa)
	p.sa = nil
	switch {
	case p.over:
		e.settle() // given up meanwhile
		return
	case e.ep == nil || e.stopping:
		e.endProbe(p, errStopping)
		return
	case err != nil:
		e.endProbe(p, err)
		return
	}
	p.addrs, p.left = addrs, probeRungs(p.profile, addrs)
	e.probeNext(p, nil)
}

// probeRungs are the ways to the gateway of a test, which tries them one after the
// other: all addresses over UDP, and then, where the profile speaks of it, over
// TCP, for which the firewall opens.
func probeRungs(c *profile.Connection, addrs []netip.AddrPort) []rung {
	var out []rung
	for _, a := range addrs {
		if c.Transport != profile.TransportTCP {
			out = append(out, rung{remote: a})
		}
	}
	if len(c.TCPPorts) == 0 && c.Transport != profile.TransportTCP {
		return out
	}
	for _, p := range c.TCP() {
		for _, a := range addrs {
			out = append(out, rung{remote: netip.AddrPortFrom(a.Addr(), p.Port), tcp: p})
		}
	}
	return out
}

// probeNext tries the next way; last is why the one before failed.
func (e *Engine) probeNext(p *probe, last error) {
	for len(p.left) > 0 {
		r := p.left[0]
		p.left = p.left[1:]
		if r.isTCP() {
			e.probeTCP(p, r, last)
			return
		}
		p.remote = r.remote
		local, err := e.localFor(p.remote)
		if err != nil {
			last = err
			continue
		}
		e.probeOver(p, ike.Path{Local: local, Remote: p.remote})
		return
	}
	e.endProbe(p, last)
}

func (e *Engine) probeOver(p *probe, path ike.Path) {
	sa, effects := e.ep.Initiate(p.cfg, path, time.Now())
	p.sa, p.heard = sa, false
	e.probes[sa] = p
	e.perform(effects)
}

// probeTCP goes on when there is a TCP connection. last is why what came before led
// nowhere.
func (e *Engine) probeTCP(p *probe, r rung, last error) {
	ctx, cancel := context.WithCancel(context.Background())
	p.sa, p.cancel, p.dialing = nil, cancel, true
	key := p.waiting()
	e.probes[key] = p // so that the sockets stay open
	e.dial(ctx, r.remote, r.tcp, tlsName(p.profile), func() bool { return e.probes[key] == p }, func(k *carrier, err error) {
		cancel()
		delete(e.probes, key)
		p.sa, p.dialing = nil, false
		switch {
		case p.over:
			if k != nil {
				e.drop(k)
			}
			e.settle()
		case err == nil:
			p.remote = r.remote
			e.probeOver(p, k.path)
		default:
			e.probeNext(p, &explain.TransportError{UDP: last != nil, Err: err})
		}
	})
}

// probed follows an effect that concerns a test, and reports whether that is
// all there is to do.
func (e *Engine) probed(x ike.Effect) bool {
	switch x := x.(type) {
	case *ike.Trace:
		if p := e.probes[x.SA]; p != nil && !x.Sent {
			p.heard = true
		}
		return false
	case ike.Established:
		p := e.probes[x.SA]
		if p != nil {
			p.est = &x
		}
		return p != nil
	case ike.Ask:
		p := e.probes[x.SA]
		if p != nil {
			e.probeDone(p, &explain.CredentialError{Field: "local.secret", Err: errAsks})
		}
		return p != nil
	case ike.InstallChild:
		p := e.probes[x.SA]
		if p == nil {
			return false
		}
		clear(x.Child.KeyIn)
		clear(x.Child.KeyOut)
		x.Child.KeyIn, x.Child.KeyOut = nil, nil
		if p.child == nil {
			p.child = &x.Child
			e.probeDone(p, nil)
		}
		return true
	case ike.ChildFailed:
		p := e.probes[x.SA]
		if p != nil && p.child == nil {
			e.probeDone(p, x.Err)
		}
		return p != nil
	case ike.Closed:
		p := e.probes[x.SA]
		if p != nil {
			e.probeClosed(p, x)
		}
		return p != nil
	case ike.PathChanged:
		return e.probes[x.SA] != nil
	case ike.RemoveChild:
		return e.probes[x.SA] != nil
	case ike.ActivateChild:
		return e.probes[x.SA] != nil
	case ike.Reauthenticate:
		return e.probes[x.SA] != nil
	case ike.Replaced:
		p := e.probes[x.Old]
		if p != nil { // the gateway rekeys while we say goodbye
			e.probes[x.New] = p
		}
		return p != nil
	}
	return false
}

// probeDone notes the outcome and says goodbye; closed follows.
func (e *Engine) probeDone(p *probe, err error) {
	if p.closing {
		return
	}
	p.closing, p.problem, p.info = true, err, p.sa.Info()
	e.perform(p.sa.Close(time.Now()))
}

// probeClosed follows the end of a test's IKE SA.
func (e *Engine) probeClosed(p *probe, x ike.Closed) {
	e.stopCheck(x.SA)
	delete(e.probes, x.SA)
	switch {
	case x.SA != p.sa: // rekeyed
	case p.over:
		e.settle()
	case p.closing:
		e.endProbe(p, p.problem)
	default:
		p.info = x.SA.Info()
		err := x.Err
		if err == nil {
			err = &ike.Failure{Code: ike.FailPeerClosed}
		}
		if len(p.left) > 0 && tryElsewhere(err) {
			e.probeNext(p, err)
			return
		}
		e.endProbe(p, err)
	}
}

// endProbe ends a test that has nothing open any more.
func (e *Engine) endProbe(p *probe, err error) {
	if p.over {
		return
	}
	p.over, p.problem = true, err
	close(p.answered)
	p.close()
	e.settle()
}

// giveUpProbe ends a test whose time is over, or whose caller has gone.
func (e *Engine) giveUpProbe(p *probe, err error) {
	if p.over {
		return
	}
	if p.cancel != nil {
		p.cancel()
	}
	if p.closing {
		err = p.problem // all is known, but for the gateway's goodbye
	} else if errors.Is(err, context.DeadlineExceeded) && p.sa != nil && e.probes[p.sa] == p {
		err = fmt.Errorf("the test took more than %v: %w", probeTime, err)
	}
	p.over, p.problem = true, err
	close(p.answered)
	p.close()
	if sa := p.sa; sa != nil && !p.dialing && !p.closing && e.probes[sa] == p && p.addrs != nil {
		p.info, p.closing = sa.Info(), true
		e.perform(sa.Close(time.Now()))
	}
}

// stopProbes ends all tests because the service stops.
func (e *Engine) stopProbes() {
	for _, p := range e.probeList() {
		e.giveUpProbe(p, errStopping)
	}
}

// loseProbes ends all tests because the sockets are gone.
func (e *Engine) loseProbes(err error) {
	for _, p := range e.probeList() {
		if !p.over {
			p.over, p.problem = true, err
			close(p.answered)
			p.close()
		}
	}
	clear(e.probes)
}

func (e *Engine) probeList() []*probe {
	var out []*probe
	for _, p := range e.probes {
		if !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b *probe) int { return strings.Compare(a.name, b.name) })
	return out
}
