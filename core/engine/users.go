package engine

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"sallyport/core/api"
	"sallyport/core/eap"
	"sallyport/core/explain"
	"sallyport/core/ike"
	"sallyport/core/ike/auth"
	"sallyport/core/pki"
	"sallyport/core/profile"
	"sallyport/core/radius"
)

// askUsers makes a responder ask its users with EAP: from its own list, or
// through RADIUS servers.
func (from credentials) askUsers(c *profile.Connection, cfg *ike.Config, roots []*x509.Certificate) error {
	a := &c.Remote
	if len(a.RADIUS.Servers) > 0 {
		if _, err := from.secret(a.RADIUS.Secret); err != nil {
			return &explain.CredentialError{Field: "remote.radius.secret", Err: err}
		}
		cfg.Peer.EAP = &ike.EAPServer{}
		return nil
	}
	data, err := from.secret(a.Users)
	if err != nil {
		return &explain.CredentialError{Field: "remote.users", Err: err}
	}
	defer clear(data)
	list, err := profile.ParseUsers(a.Users, data)
	if err != nil {
		return err
	}
	users := make(map[string]profile.User, len(list))
	for _, u := range list {
		users[u.Name] = u
	}
	methods, err := profile.ParseEAPMethods(a.EAP.Methods, false)
	if err != nil {
		return fmt.Errorf("remote.eap.methods: %w", err)
	}
	if len(methods) == 0 {
		methods = []eap.Type{eap.TypeMSCHAPv2}
	}
	sc := eap.ServerConfig{Name: c.Name, Methods: methods,
		Password: func(name string) ([]byte, bool) {
			u, ok := users[name]
			return u.Password, ok
		}}
	if cfg.Local.Key != nil {
		sc.Certificate = &tls.Certificate{PrivateKey: cfg.Local.Key}
		for _, x := range cfg.Local.Chain {
			sc.Certificate.Certificate = append(sc.Certificate.Certificate, x.Raw)
		}
	}
	verifier := verifierOf(a, roots)
	server := func(judge ike.JudgePath) *eap.Server {
		sc := sc
		if local := &cfg.Local; sc.Certificate != nil && local.OCSP != nil {
			own := *sc.Certificate
			own.OCSPStaple = local.OCSP(time.Now())[0]
			sc.Certificate = &own
		}
		var path []*x509.Certificate
		sc.VerifyClient = func(name string, chain []*x509.Certificate) error {
			if _, ok := users[name]; !ok {
				return fmt.Errorf("%q is not on the list of users", name)
			}
			id, err := auth.ParseIdentity(name)
			if err != nil {
				return err
			}
			path, _, err = verifier.VerifyPath(chain, pki.Request{Claimed: id, Wanted: id, Purpose: pki.Client}, time.Now())
			return err
		}
		sc.Revocation = func() (bool, error) { return judge(verifier, path) }
		return eap.NewServer(sc)
	}
	cfg.Peer.EAP = &ike.EAPServer{New: server, Wipe: func() {
		for _, u := range users {
			clear(u.Password)
		}
		clear(users)
	}}
	return nil
}

// askUsersAfter makes a responder ask the user of a peer that has proved itself
// already (RFC 4739).
func (from credentials) askUsersAfter(c *profile.Connection, cfg *ike.Config) error {
	roots, err := from.certificates(c.Remote.CAs)
	if err != nil {
		return &explain.CredentialError{Field: "remote.cas", Err: err}
	}
	if err := from.askUsers(c, cfg, roots); err != nil {
		return err
	}
	cfg.Peer.EAP.After = true
	return nil
}

// poolOf chooses the pool of a user by its groups: those that the list gives it,
// or that its server told.
func (e *Engine) poolOf(c *profile.Connection) func(string, []string) ike.Pool {
	listed := map[string][]string{}
	if c.Remote.Users != "" {
		if data, err := (credentials{secrets: e.opt.Host.Secrets}).secret(c.Remote.Users); err == nil {
			users, _ := profile.ParseUsers(c.Remote.Users, data) // it has been read before
			clear(data)
			for _, u := range users {
				clear(u.Password)
				listed[u.Name] = u.Groups
			}
		}
	}
	return func(user string, groups []string) ike.Pool {
		if g, ok := listed[user]; ok {
			groups = g
		}
		p, err := e.pools.of(c, groups...)
		if err != nil {
			e.logf(api.LogWarn, "config", c.Name, "%v", err)
		}
		return p
	}
}

// A relay carries a peer's EAP to the RADIUS servers and back.
type relay struct {
	session radius.Session
	servers []netip.AddrPort // the one that answered is the first
	cancel  context.CancelFunc
	asking  bool // a goroutine uses the session's secret
}

// end gives the conversation up, and wipes the secret when nobody uses it.
func (r *relay) end() {
	r.cancel()
	if !r.asking {
		clear(r.session.Secret)
	}
}

// Bounds of asking RADIUS servers: each gets the same bytes a few times.
const (
	radiusTries = 3
	radiusWait  = 1500 * time.Millisecond
	maxRelays   = 1000
)

// relay asks the RADIUS servers what they say to a peer's packet.
func (e *Engine) relay(x ike.RelayEAP) {
	r, err := e.relayFor(x)
	var request []byte
	if err == nil {
		user := ""
		if p, bad := eap.Parse(x.Packet); bad == nil && p.Type == eap.TypeIdentity {
			user = string(p.Data)
		}
		request, err = r.session.Request(x.Packet, user)
	}
	if err != nil {
		e.relayed(x.SA, ike.Relayed{Err: err})
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel, r.asking = cancel, true
	session, servers := r.session, r.servers
	go func() {
		defer cancel()
		v, at, err := e.askRADIUS(ctx, &session, servers, request)
		e.post(func() {
			r.asking = false
			if e.relays[x.SA] != r {
				clear(v.MSK)
				r.end()
				return // the peer has gone
			}
			r.session = session
			if at > 0 {
				r.servers = slices.Concat(servers[at:at+1], servers[:at], servers[at+1:])
			}
			if v.Done || err != nil {
				delete(e.relays, x.SA)
				r.end()
			}
			if v.Message != "" {
				e.logf(api.LogInfo, "ike", x.SA.Info().Name, "the RADIUS server says of %q: %q", plainText(v.User), plainText(v.Message))
			}
			e.relayed(x.SA, ike.Relayed{Packet: v.EAP, Accepted: v.Accepted, User: v.User, Groups: v.Groups, MSK: v.MSK, Err: err})
		})
	}()
}

func (e *Engine) relayed(sa *ike.SA, r ike.Relayed) {
	if r.Err != nil {
		e.logf(api.LogWarn, "ike", sa.Info().Name, "the users cannot be asked: %v", r.Err)
	}
	e.perform(sa.Relayed(r, time.Now()))
	e.settle()
}

// relayFor returns the conversation about a peer's user.
func (e *Engine) relayFor(x ike.RelayEAP) (*relay, error) {
	if r := e.relays[x.SA]; r != nil {
		return r, nil
	}
	info := x.SA.Info()
	c := e.conns[info.Name]
	switch {
	case c == nil || c.profile == nil:
		return nil, errors.New("the connection is gone")
	case len(e.relays) >= maxRelays:
		return nil, errors.New("too many users are being asked")
	case e.opt.Host.Dial == nil:
		return nil, errors.New("this system has no way to a RADIUS server")
	}
	cfg := &c.profile.Remote.RADIUS
	r := &relay{cancel: func() {}}
	for _, s := range cfg.Servers {
		a, err := profile.RADIUSServer(s)
		if err != nil {
			return nil, err
		}
		r.servers = append(r.servers, a)
	}
	secret, err := credentials{secrets: e.opt.Host.Secrets}.secret(cfg.Secret)
	if err != nil {
		return nil, err
	}
	nas := cfg.NAS
	if nas == "" {
		nas = c.name
	}
	r.session = radius.Session{Secret: bytes.TrimSpace(secret), NAS: nas, Caller: info.Path.Remote.Addr().String(), Rand: e.opt.Rand}
	e.relays[x.SA] = r
	return r, nil
}

// askRADIUS sends a request to the servers in turn, and returns the verdict and
// which of them gave it.
func (e *Engine) askRADIUS(ctx context.Context, s *radius.Session, servers []netip.AddrPort, request []byte) (radius.Verdict, int, error) {
	var last error
	for i, server := range servers {
		v, err := e.askServerOfUsers(ctx, s, server, request)
		if err == nil {
			return v, i, nil
		}
		last = fmt.Errorf("RADIUS server %v: %w", server, err)
		if ctx.Err() != nil {
			break
		}
	}
	return radius.Verdict{}, 0, last
}

// askServerOfUsers sends a request to one server, a few times.
func (e *Engine) askServerOfUsers(ctx context.Context, s *radius.Session, server netip.AddrPort, request []byte) (radius.Verdict, error) {
	conn, err := e.opt.Host.Dial(ctx, server)
	if err != nil {
		return radius.Verdict{}, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	buf := make([]byte, 4096)
	last := errors.New("it does not answer")
	for range radiusTries {
		if _, err := conn.Write(request); err != nil {
			return radius.Verdict{}, err
		}
		if err := conn.SetReadDeadline(time.Now().Add(radiusWait)); err != nil {
			return radius.Verdict{}, err
		}
		for {
			n, err := conn.Read(buf)
			if err != nil {
				if ctx.Err() != nil {
					return radius.Verdict{}, ctx.Err()
				}
				break // its time is over, or nobody listens yet: ask again
			}
			v, err := s.Response(buf[:n])
			if err == nil {
				return v, nil
			}
			last = err // somebody else's, perhaps: the true answer may still come
		}
	}
	return radius.Verdict{}, last
}
