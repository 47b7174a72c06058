package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"time"

	"sallyport/core/api"
	"sallyport/core/host"
	"sallyport/core/ike"
	"sallyport/core/pki"
)

// The bounds on fetches.
const (
	revocationTime = 5 * time.Second // for all that a peer's certificates need
	oneFetch       = 2 * time.Second // while there is something else to ask
	maxRedirects   = 2
	maxServers     = 2  // addresses of a server that are tried
	maxChecks      = 16 // at a time
)

// errManyChecks is why a peer's certificates are not asked about.
var errManyChecks = errors.New("too many certificates are being asked about")

// checkRevocation reads what is to be known of a peer's certificates, and goes
// on with the authentication.
func (e *Engine) checkRevocation(x ike.CheckRevocation) {
	private := x.Check.Private()
	ctx, cancel := context.WithTimeout(context.Background(), revocationTime)
	full := len(e.checks) >= maxChecks
	e.checks[x.SA] = cancel
	name := e.nameOf(x.SA)
	go func() {
		defer cancel()
		for {
			f, more := x.Check.Next()
			if !more || ctx.Err() != nil {
				break
			}
			now := time.Now()
			body := e.answers.Get(f, now)
			var err error
			switch {
			case body != nil:
			case full:
				err = errManyChecks
			default:
				e.logf(api.LogDebug, "ike", name, "asking %s whether the peer's certificate was revoked", plainText(f.URL))
				body, err = e.fetch(ctx, f, private)
			}
			now = time.Now()
			e.answers.Put(f, body, x.Check.Take(f, body, err, now), now)
		}
		e.post(func() {
			delete(e.checks, x.SA)
			e.perform(x.SA.Checked(x.Check, time.Now()))
			e.settle()
		})
	}()
}

// stopCheck ends the check that an IKE SA waits for, because it is gone.
func (e *Engine) stopCheck(sa *ike.SA) {
	if cancel := e.checks[sa]; cancel != nil {
		cancel()
	}
}

// fetch reads what an URL of a trusted certificate names, as far as the rules
// for it let: see pki.CheckURL and fetchable.
func (e *Engine) fetch(ctx context.Context, f pki.Fetch, private bool) ([]byte, error) {
	if e.opt.Host.Fetch == nil {
		return nil, errors.New("this system cannot fetch")
	}
	if !f.Last {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, oneFetch)
		defer cancel()
	}
	where := f.URL
	for range maxRedirects + 1 {
		r, err := e.fetchOnce(ctx, where, f, private)
		if err != nil {
			return nil, err
		}
		switch r.Status {
		case http.StatusOK:
			return r.Body, nil
		case http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
			base, err := url.Parse(where)
			if err != nil {
				return nil, err
			}
			next, err := base.Parse(r.Location)
			if err != nil {
				return nil, errors.New("the server sends us to an address that cannot be read")
			}
			where = next.String()
		default:
			return nil, fmt.Errorf("the server answers with status %d", r.Status)
		}
	}
	return nil, fmt.Errorf("the server sends us on more than %d times", maxRedirects)
}

// fetchOnce makes one exchange with the server of an URL.
func (e *Engine) fetchOnce(ctx context.Context, where string, f pki.Fetch, private bool) (host.FetchResponse, error) {
	var none host.FetchResponse
	if err := pki.CheckURL(where); err != nil {
		return none, err
	}
	u, err := url.Parse(where)
	if err != nil {
		return none, err
	}
	port, err := strconv.ParseUint(cmp.Or(u.Port(), "80"), 10, 16)
	if err != nil || port != 80 && port < 1024 {
		return none, fmt.Errorf("port %s is not one to fetch from", u.Port())
	}
	var addrs []netip.Addr
	if a, err := netip.ParseAddr(u.Hostname()); err == nil {
		addrs = []netip.Addr{a}
	} else if addrs, err = e.opt.Resolve(ctx, u.Hostname()); err != nil {
		return none, fmt.Errorf("resolve %s: %w", u.Hostname(), err)
	}
	last := errors.New("the server has no address")
	tried := 0
	for _, a := range addrs {
		if last = fetchable(a, private); last != nil {
			continue
		}
		if tried++; tried > maxServers {
			break
		}
		server := netip.AddrPortFrom(a.Unmap(), uint16(port))
		var r host.FetchResponse
		if r, last = e.fetchFrom(ctx, host.FetchRequest{URL: where, Server: server, Body: f.Request, Type: "application/ocsp-request", Max: f.Max()}); last == nil {
			return r, nil
		}
	}
	return none, last
}

// fetchFrom opens the firewall for one server, as long as the exchange takes.
func (e *Engine) fetchFrom(ctx context.Context, r host.FetchRequest) (host.FetchResponse, error) {
	var err error
	if bad := e.call(ctx, func() {
		if err = e.notOurs(r.Server.Addr()); err != nil {
			return
		}
		e.guard.fetches = append(e.guard.fetches, r.Server)
		err = e.enforce()
	}); bad != nil {
		return host.FetchResponse{}, bad
	}
	if errors.Is(err, errOurs) {
		return host.FetchResponse{}, err
	}
	defer e.post(func() {
		if i := slices.Index(e.guard.fetches, r.Server); i >= 0 {
			e.guard.fetches = slices.Delete(e.guard.fetches, i, i+1)
		}
		_ = e.enforce() // it says why not, and is tried again
	})
	if err != nil {
		return host.FetchResponse{}, fmt.Errorf("the firewall cannot be opened: %w", err)
	}
	return e.opt.Host.Fetch(ctx, r)
}

// errOurs says that an address is one of this machine.
var errOurs = errors.New("it is an address of this machine, from which nothing is fetched")

// notOurs refuses the addresses of this machine, where the host knows them.
func (e *Engine) notOurs(a netip.Addr) error {
	if l, ok := e.opt.Host.NetMonitor.(host.InterfaceLister); ok {
		list, _ := l.Interfaces() // what it knows of them, when it fails
		for _, i := range list {
			if slices.ContainsFunc(i.Prefixes, func(p netip.Prefix) bool { return slices.Contains(embedded(a), p.Addr().Unmap()) }) {
				return fmt.Errorf("%v: %w", a, errOurs)
			}
		}
	}
	return nil
}

// embedded is an address and the IPv4 address that it carries within.
func embedded(a netip.Addr) []netip.Addr {
	a = a.Unmap()
	b := a.As16()
	switch {
	case nat64.Contains(a) || compat.Contains(a) || translated.Contains(a):
		return []netip.Addr{a, netip.AddrFrom4([4]byte(b[12:16]))}
	case sixToFour.Contains(a):
		return []netip.Addr{a, netip.AddrFrom4([4]byte(b[2:6]))}
	}
	return []netip.Addr{a}
}

// The addresses that carry an IPv4 address within: NAT64 (RFC 6052), 6to4 (RFC
// 3056), that of stateless translation (RFC 2765), and the deprecated form that is
// compatible with IPv4.
var (
	nat64      = netip.MustParsePrefix("64:ff9b::/96")
	sixToFour  = netip.MustParsePrefix("2002::/16")
	compat     = netip.MustParsePrefix("::/96")
	translated = netip.MustParsePrefix("::ffff:0:0:0/96")
	// Beside what netip calls private: shared by carriers (RFC 6598), used for
	// protocols (RFC 6890) and tests (RFC 2544), and local NAT64 (RFC 8215).
	alsoPrivate = [...]netip.Prefix{netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
		netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("fec0::/10")}
	never = [...]netip.Prefix{netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("240.0.0.0/4")}
)

// fetchable refuses the addresses from which nothing is fetched, whatever a
// certificate says (CVE-2022-40617): this machine, its link, groups of
// machines; and those of private networks unless they are allowed.
func fetchable(a netip.Addr, private bool) error {
	a = a.Unmap()
	if a.Zone() != "" {
		return fmt.Errorf("%v is on the link, and not one to fetch from", a)
	}
	for _, within := range embedded(a)[1:] {
		if err := fetchable(within, private); err != nil {
			return err
		}
	}
	within := func(list []netip.Prefix) bool {
		return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	switch {
	case !a.IsValid() || a.IsUnspecified() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsMulticast() || within(never[:]):
		return fmt.Errorf("%v is not an address to fetch from", a)
	case !private && (a.IsPrivate() || within(alsoPrivate[:])):
		return fmt.Errorf("%v is of a private network, from which nothing is fetched unless the profile allows it (revocation_private)", a)
	}
	return nil
}
