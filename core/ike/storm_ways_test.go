package ike

import (
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/netip"
	"sync"
	"time"

	"sallyport/core/eap"
	"sallyport/core/ike/message"
	"sallyport/core/pki"
)

// stormKey makes a key that is the same in each run, as its signatures are: a seed
// replays.
func stormKey(n byte) ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	seed[0] = n
	return ed25519.NewKeyFromSeed(seed)
}

// stormCerts are those of an authority, of a.test and of b.test.
var stormCerts = sync.OnceValue(func() (out [3]*x509.Certificate) {
	names := []string{"CA", "a.test", "b.test"}
	for i, name := range names {
		tmpl := &x509.Certificate{SerialNumber: big.NewInt(int64(i + 1)), Subject: pkix.Name{CommonName: name},
			NotBefore: testTime.Add(-time.Hour), NotAfter: testTime.Add(1000 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature}
		parent := out[0]
		if i == 0 {
			tmpl.IsCA, tmpl.BasicConstraintsValid, tmpl.KeyUsage = true, true, x509.KeyUsageCertSign
			parent = tmpl
		} else {
			tmpl.DNSNames = []string{name}
		}
		der, err := x509.CreateCertificate(nil, tmpl, parent, stormKey(byte(i)).Public(), stormKey(0))
		if err == nil {
			out[i], err = x509.ParseCertificate(der)
		}
		if err != nil {
			panic(err)
		}
	}
	return out
})

// stormProofs lets some storms begin with certificates, or with a user whom the
// gateway asks, in place of a pre-shared key.
func stormProofs(seed uint64, a, b *Config) {
	kind := seed % 11
	if kind != 6 && kind != 9 {
		return
	}
	c := stormCerts()
	verifier := &pki.Verifier{Roots: c[:1]}
	own := func(n byte) LocalAuth {
		return LocalAuth{ID: identity(c[n].DNSNames[0]), Key: crypto.Signer(stormKey(n)), Chain: []*x509.Certificate{c[n]}}
	}
	a.Local, b.Local = own(1), own(2)
	a.Peer, b.Peer = PeerAuth{ID: a.Peer.ID, Verifier: verifier}, PeerAuth{ID: b.Peer.ID, Verifier: verifier}
	if kind == 9 {
		a.Local = LocalAuth{ID: a.Local.ID, EAP: &EAPAuth{Identity: "alice", Password: []byte("s3cret")}}
		b.Peer = PeerAuth{EAP: &EAPServer{New: func(JudgePath) *eap.Server {
			return eap.NewServer(eap.ServerConfig{Name: "gw", Methods: []eap.Type{eap.TypeMSCHAPv2},
				Password: func(u string) ([]byte, bool) { return []byte("s3cret"), u == "alice" }})
		}}}
	}
}

// redirects lets b send whoever comes to its first address to the second.
func (s *weather) redirects() {
	s.a.cfg.Redirects = true
	sends := *s.b.cfg
	sends.RedirectTo = message.Redirect{Addr: addrB2}
	s.b.choose = func(c Claim) *Config {
		if c.Path.Local.Addr() == addrB {
			return &sends
		}
		return s.b.cfg
	}
}

// sent follows a redirection, as the service around a does.
func (s *weather) sent(r *Redirect) {
	to, err := netip.ParseAddr(r.Gateway)
	if err != nil || to != addrB2 {
		s.t.Errorf("sent to %q", r.Gateway)
		return
	}
	if s.a.addr.Is6() {
		to = addrB6
	}
	_, fx := s.a.e.Initiate(s.a.cfg, Path{Local: netip.AddrPortFrom(s.a.addr, 500), Remote: netip.AddrPortFrom(to, 500)}, s.a.clock())
	s.a.do(fx)
}

// A stormStream is a TCP connection of the client's. It is over when either end has
// another address, or cannot be reached, or a NAT has forgotten it.
type stormStream struct{ local, remote netip.Addr }

// open reports whether there is a connection from a port of the client's.
func (s *weather) open(port uint16) bool {
	c := s.streams[port]
	return c != nil && c.local == s.a.addr
}

func (s *weather) breakStreams(remote netip.Addr) {
	for port, c := range s.streams {
		if c.remote == remote {
			delete(s.streams, port)
		}
	}
}

// stream is the path of a new connection from where the client is; that it cannot
// be made, it finds out when nothing arrives.
func (s *weather) stream() Path {
	p := s.paths()[0]
	port := uint16(40000 + s.rng.IntN(20000))
	if !s.broken[p.Remote.Addr()] {
		s.streams[port] = &stormStream{s.a.addr, p.Remote.Addr()}
	}
	return Path{Local: netip.AddrPortFrom(s.a.addr, port), Remote: netip.AddrPortFrom(p.Remote.Addr(), 4500), TCP: true}
}

// reroute lets an IKE SA of the client's go on over a connection, in the way in
// which its service does that.
func (s *weather) reroute(sa *SA, p Path) {
	if sa.Mobile() {
		s.a.do(sa.Move([]Path{p}, s.a.clock()))
	} else {
		s.a.do(sa.Reroute(p, s.a.clock()))
	}
}

// transport changes between UDP and TCP, or breaks connections.
func (s *weather) transport() {
	n := s.rng.IntN(6)
	if n < 2 {
		clear(s.streams)
	}
	for _, sa := range s.a.e.SAs() {
		switch {
		case n == 0: // nobody has noticed
		case n < 5 && (sa.path.TCP || n > 1):
			s.reroute(sa, s.stream())
		case n == 5 && sa.path.TCP:
			s.a.do(sa.Reroute(s.pathsOf(sa)[0], s.a.clock()))
		}
	}
}
