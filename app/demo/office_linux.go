package demo

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// downloadSize is the size of the file that the office has.
const downloadSize = 64 << 20

// An office is what lies behind the gateway: a web server and a name server.
type office struct {
	page string
	sum  string // SHA-256 of the file, in hex
}

// open starts the servers of the office at an address of the gateway.
func (o *office) open(m *machine, addr netip.Addr, name string) error {
	var web net.Listener
	var dns net.PacketConn
	err := m.do(func() (err error) {
		if web, err = net.Listen("tcp", net.JoinHostPort(addr.String(), "80")); err != nil {
			return err
		}
		dns, err = net.ListenPacket("udp", net.JoinHostPort(addr.String(), "53"))
		return err
	})
	if err != nil {
		return fmt.Errorf("office: %w", err)
	}
	seed := [32]byte([]byte("the file of the demo's office..."))
	sum := sha256.New()
	if _, err := io.CopyN(sum, rand.NewChaCha8(seed), downloadSize); err != nil {
		return err
	}
	o.sum = hex.EncodeToString(sum.Sum(nil))
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, o.page) })
	mux.HandleFunc("/file", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(downloadSize))
		_, _ = io.CopyN(w, rand.NewChaCha8(seed), downloadSize)
	})
	go (&http.Server{Handler: mux}).Serve(web)
	go serveNames(dns, name, addr)
	return nil
}

// serveNames answers for one name.
func serveNames(c net.PacketConn, name string, addr netip.Addr) {
	b := make([]byte, 1500)
	for {
		n, from, err := c.ReadFrom(b)
		if err != nil {
			return
		}
		var p dnsmessage.Parser
		hdr, err := p.Start(b[:n])
		if err != nil {
			continue
		}
		q, err := p.Question()
		if err != nil {
			continue
		}
		hdr.Response, hdr.Authoritative = true, true
		m := dnsmessage.Message{Header: hdr, Questions: []dnsmessage.Question{q}}
		switch {
		case !strings.EqualFold(q.Name.String(), name+"."):
			m.RCode = dnsmessage.RCodeNameError
		case q.Type == dnsmessage.TypeA:
			m.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 60},
				Body:   &dnsmessage.AResource{A: addr.As4()},
			}}
		}
		if answer, err := m.Pack(); err == nil {
			_, _ = c.WriteTo(answer, from)
		}
	}
}
