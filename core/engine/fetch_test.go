package engine

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"sallyport/core/api"
	"sallyport/core/host"
	"sallyport/core/internal/hosttest"
	"sallyport/core/pki"
)

const crlServer = "203.0.113.80"

// revocable is a world whose gateway's certificate says where its state is told.
func revocable(t *testing.T, policy string) (w *world, crl func(revoked bool) []byte) {
	t.Helper()
	ca := newIssuer(t, "CA")
	ca.cert = certify(t, &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}, nil, ca.key.Public(), ca.key)
	client := strings.Replace(openProfile(requireProfile), "id = \"gw.vpn.test\"", "id = \"gw.vpn.test\"\ncas = [\"ca.pem\"]\n"+policy, 1)
	w, _ = newCertWorld(t, "", ca, "gw.vpn.test")
	key := newKey(t)
	cert := certify(t, &x509.Certificate{SerialNumber: big.NewInt(42), Subject: pkix.Name{CommonName: "gw"}, DNSNames: []string{"gw.vpn.test"},
		KeyUsage: x509.KeyUsageDigitalSignature, CRLDistributionPoints: []string{"http://" + crlServer + ":8080/ca.crl"}}, ca.cert, key.Public(), ca.key)
	if err := w.gateway.Disconnect(t.Context(), "workers"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	w.gm.Certs.Write("gw.pem", pemOf("CERTIFICATE", cert.Raw))
	w.gm.Secrets.Write("workers+key", keyPEM(t, key))
	if err := w.gateway.Connect(t.Context(), api.ConnectRequest{Name: "workers"}); err != nil {
		t.Fatal(err)
	}
	w.cm.Certs.Write("ca.pem", pemOf("CERTIFICATE", ca.cert.Raw))
	w.cm.Secrets.Write("office+psk", []byte(rightSecret))
	w.cm.Profiles.Write("office.toml", []byte(client))
	if _, err := w.client.State(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w, func(revoked bool) []byte {
		l := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(time.Hour)}
		if revoked {
			l.RevokedCertificateEntries = []x509.RevocationListEntry{{SerialNumber: big.NewInt(42), RevocationTime: time.Now().Add(-time.Hour)}}
		}
		der, err := x509.CreateRevocationList(rand.Reader, l, ca.cert, ca.key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
}

func TestRevocation(t *testing.T) {
	down := func(context.Context, host.FetchRequest) (host.FetchResponse, error) {
		return host.FetchResponse{}, errors.New("connection refused")
	}
	hangs := func(ctx context.Context, _ host.FetchRequest) (host.FetchResponse, error) {
		<-ctx.Done()
		return host.FetchResponse{}, ctx.Err()
	}
	type fetch = func(context.Context, host.FetchRequest) (host.FetchResponse, error)
	for name, tt := range map[string]struct {
		policy  string
		revoked bool
		fetch   fetch // nil: the list is there
		code    api.ErrorCode
		asks    bool
	}{
		"good, soft":      {asks: true},
		"good, strict":    {policy: `revocation = "strict"`, asks: true},
		"revoked, soft":   {revoked: true, code: api.CodePeerRevoked, asks: true},
		"revoked, strict": {policy: `revocation = "strict"`, revoked: true, code: api.CodePeerRevoked, asks: true},
		"revoked, off":    {policy: `revocation = "off"`, revoked: true},
		"down, soft":      {fetch: down, asks: true},
		"down, strict":    {policy: `revocation = "strict"`, fetch: down, code: api.CodeRevocationUnknown, asks: true},
		"hangs, soft":     {fetch: hangs, asks: true},
		"hangs, strict":   {policy: `revocation = "strict"`, fetch: hangs, code: api.CodeRevocationUnknown, asks: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, crl := revocable(t, tt.policy)
				defer w.stop()
				list := crl(tt.revoked)
				var mu sync.Mutex
				asked, opened := 0, false
				w.cm.Fetch = func(ctx context.Context, r host.FetchRequest) (host.FetchResponse, error) {
					mu.Lock()
					asked++
					opened = slices.Equal(w.cm.Intent().Exempt.Fetch, []netip.AddrPort{r.Server}) && r.Server == netip.MustParseAddrPort(crlServer+":8080")
					mu.Unlock()
					if tt.fetch != nil {
						return tt.fetch(ctx, r)
					}
					return host.FetchResponse{Status: 200, Body: list}, nil
				}
				begun := time.Now()
				err := connect(t, w.client, 8*time.Second)
				if tt.code != "" {
					wantCode(t, err, tt.code)
				} else if err != nil {
					t.Fatal(err)
				} else {
					w.carries(t, "10.20.0.1")
				}
				if d := time.Since(begun); d > 6*time.Second {
					t.Errorf("it took %v", d)
				}
				mu.Lock()
				defer mu.Unlock()
				if (asked > 0) != tt.asks || tt.asks && !opened {
					t.Errorf("asked %d times; only that server was let through: %v", asked, opened)
				}
				if got := w.cm.Intent().Exempt.Fetch; len(got) > 0 {
					t.Errorf("the firewall stays open for %v", got)
				}
			})
		})
	}
}

// What a server has said serves again, until its end.
func TestRevocationIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, crl := revocable(t, `revocation = "strict"`)
		defer w.stop()
		asked := 0
		w.cm.Fetch = func(context.Context, host.FetchRequest) (host.FetchResponse, error) {
			asked++
			return host.FetchResponse{Status: 200, Body: crl(false)}, nil
		}
		for _, want := range []int{1, 1, 2} {
			if err := connect(t, w.client, 8*time.Second); err != nil {
				t.Fatal(err)
			}
			if asked != want {
				t.Errorf("asked %d times, want %d", asked, want)
			}
			if err := w.client.Disconnect(t.Context(), "office"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(40 * time.Minute)
		}
	})
}

// CVE-2022-40617: a certificate cannot make the service ask what it should not:
// this machine, its neighbours, private networks, other services' ports, or
// where a server sends it on to.
func TestCVE202240617Fetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := revocable(t, "")
		defer w.stop()
		var asked []string
		w.cm.Fetch = func(_ context.Context, r host.FetchRequest) (host.FetchResponse, error) {
			asked = append(asked, r.URL+" at "+r.Server.String())
			switch {
			case strings.HasSuffix(r.URL, "/inward"):
				return host.FetchResponse{Status: 302, Location: "http://127.0.0.1:8080/"}, nil
			case strings.HasSuffix(r.URL, "/secure"):
				return host.FetchResponse{Status: 301, Location: "https://" + crlServer + "/"}, nil
			case strings.HasSuffix(r.URL, "/once"):
				return host.FetchResponse{Status: 307, Location: "list"}, nil
			case strings.HasSuffix(r.URL, "/list"):
				return host.FetchResponse{Status: 200, Body: []byte("list")}, nil
			}
			return host.FetchResponse{Status: 302, Location: r.URL + "x"}, nil
		}
		names := map[string][]string{"inside.example.com": {"10.0.0.1", "127.0.0.1"}, "both.example.com": {"192.168.1.1", crlServer}, "none.example.com": nil}
		w.client.opt.Resolve = func(_ context.Context, name string) ([]netip.Addr, error) {
			var out []netip.Addr
			for _, a := range names[name] {
				out = append(out, netip.MustParseAddr(a))
			}
			return out, nil
		}
		for _, tt := range []struct {
			url, want string
			asks      int
		}{
			{"http://127.0.0.1/", "not an address to fetch from", 0},
			{"http://[::1]:8080/", "not an address to fetch from", 0},
			{"http://[::ffff:127.0.0.1]/", "not an address to fetch from", 0},
			{"http://[64:ff9b::7f00:1]/", "not an address to fetch from", 0},
			{"http://[2002:7f00:1::1]/", "not an address to fetch from", 0},
			{"http://0.0.0.0/", "not an address to fetch from", 0},
			{"http://169.254.169.254/latest/meta-data/", "not an address to fetch from", 0},
			{"http://[fe80::1]/", "not an address to fetch from", 0},
			{"http://224.0.0.1/", "not an address to fetch from", 0},
			{"http://255.255.255.255/", "not an address to fetch from", 0},
			{"http://10.1.2.3/", "private network", 0},
			{"http://192.168.0.1:8080/", "private network", 0},
			{"http://100.64.0.1/", "private network", 0},
			{"http://[fd00::1]/", "private network", 0},
			{"http://inside.example.com/", "not an address", 0},
			{"http://none.example.com/", "no address", 0},
			{"http://" + crlServer + ":25/", "port 25", 0},
			{"http://" + crlServer + ":443/", "port 443", 0},
			{"ftp://" + crlServer + "/", "only http", 0},
			{"http://" + crlServer + "/inward", "not an address to fetch from", 1},
			{"http://" + crlServer + "/secure", "only http", 1},
			{"http://" + crlServer + "/loop", "more than 2 times", 3},
			{"http://" + crlServer + "/once", "", 2},
			{"http://both.example.com/list", "", 1},
		} {
			asked = nil
			body, err := w.client.fetch(t.Context(), pki.Fetch{URL: tt.url, Last: true}, false)
			switch {
			case tt.want == "" && (err != nil || string(body) != "list"):
				t.Errorf("%s: %q, %v", tt.url, body, err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("%s: %v, want %s", tt.url, err, tt.want)
			}
			if len(asked) != tt.asks {
				t.Errorf("%s: asked %q", tt.url, asked)
			}
		}
		if err := fetchable(netip.MustParseAddr("10.1.2.3"), true); err != nil {
			t.Errorf("a private server is refused where it is allowed: %v", err)
		}
		for _, a := range []string{"127.0.0.1", "::1", "169.254.1.1", "ff02::1", "64:ff9b::a9fe:a9fe", "::ffff:0:127.0.0.1", "2002:7f00:1::1"} {
			if fetchable(netip.MustParseAddr(a), true) == nil {
				t.Errorf("%s is allowed with the private ones", a)
			}
		}
	})
}

// A listing is a NetMonitor that knows the addresses of the machine.
type listing struct {
	host.NetMonitor
	prefixes []netip.Prefix
}

func (l listing) Interfaces() ([]host.Interface, error) {
	return []host.Interface{{Name: "lo", Loopback: true}, {Name: "eth0", Prefixes: l.prefixes}}, nil
}

// Nothing is fetched from this machine, whichever of its addresses a certificate
// names: what listens there may trust whoever is on the machine.
func TestNothingIsFetchedFromOwnAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := revocable(t, "")
		defer w.stop()
		var asked []string
		w.cm.Fetch = func(_ context.Context, r host.FetchRequest) (host.FetchResponse, error) {
			asked = append(asked, r.Server.String())
			return host.FetchResponse{Status: 200, Body: []byte("list")}, nil
		}
		w.client.opt.Host.NetMonitor = listing{w.client.opt.Host.NetMonitor, []netip.Prefix{
			netip.MustParsePrefix("203.0.113.5/24"), netip.MustParsePrefix("2001:db8::5/64"), netip.MustParsePrefix("10.9.0.5/16")}}
		for _, own := range []string{"203.0.113.5", "[2001:db8::5]", "[::ffff:203.0.113.5]", "[64:ff9b::203.0.113.5]", "10.9.0.5"} {
			if body, err := w.client.fetch(t.Context(), pki.Fetch{URL: "http://" + own + ":8080/", Last: true}, true); err == nil {
				t.Errorf("%s: %q", own, body)
			}
		}
		if len(asked) > 0 {
			t.Errorf("asked %q", asked)
		}
		for _, other := range []string{"203.0.113.6", "[2001:db8::6]", "10.9.0.6"} {
			if _, err := w.client.fetch(t.Context(), pki.Fetch{URL: "http://" + other + ":8080/", Last: true}, true); err != nil {
				t.Errorf("%s: %v", other, err)
			}
		}
	})
}

// What strangers say does not fill the memory by way of the log.
func TestLogLinesAreBounded(t *testing.T) {
	e := New(Options{Host: (&hosttest.Machine{}).System()})
	e.logf(api.LogWarn, "ike", "office", "%s", strings.Repeat("ü", 100_000))
	log, err := e.Log(t.Context(), 1)
	if err != nil || len(log) != 1 || len(log[0].Text) > maxLogText+10 || !utf8.ValidString(log[0].Text) || !strings.HasSuffix(log[0].Text, "…") {
		t.Errorf("%d lines, %v", len(log), err)
	}
}
