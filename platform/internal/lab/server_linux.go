package lab

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// Marker is in every page and in every block of the download: where it can be
// read on a wire, the wire is not protected.
const Marker = "[this text lies behind the gateway]"

// IntranetName is the name that the DNS server inside knows.
const IntranetName = "intranet.vpn.test"

const blockSize = 1 << 20

// block is what the download repeats: random, so that nothing compresses it.
var block = sync.OnceValue(func() []byte {
	b := make([]byte, blockSize)
	src := rand.NewChaCha8([32]byte([]byte("the download of the laboratory..")))
	for i := 0; i < len(b); i += 8 {
		binary.LittleEndian.PutUint64(b[i:], src.Uint64())
	}
	for i := 0; i+1000 < len(b); i += 1000 { // in every packet
		copy(b[i:], Marker)
	}
	return b
})

var (
	sumsMu sync.Mutex // guards sums
	sums   = map[int]string{}
)

// Sum returns the SHA-256 of the download of size bytes.
func Sum(size int) string {
	sumsMu.Lock()
	defer sumsMu.Unlock()
	if s, ok := sums[size]; ok {
		return s
	}
	h := sha256.New()
	_ = writeDownload(h, size)
	sums[size] = hex.EncodeToString(h.Sum(nil))
	return sums[size]
}

// writeDownload writes size bytes: blocks that begin with their number, so that
// none can stand for another.
func writeDownload(w io.Writer, size int) error {
	var number [8]byte
	for i := 0; size > 0; i++ {
		binary.BigEndian.PutUint64(number[:], uint64(i))
		n := min(size, 8)
		if _, err := w.Write(number[:n]); err != nil {
			return err
		}
		size -= n
		n = min(size, blockSize)
		if _, err := w.Write(block()[:n]); err != nil {
			return err
		}
		size -= n
	}
	return nil
}

// serve starts the servers inside and in the internet.
func (l *Lab) serve() {
	l.Inside.HTTP("inside", "[::]:80")
	l.Wan.HTTP("internet", net.JoinHostPort(InternetV4.String(), "80"), net.JoinHostPort(InternetV6.String(), "80"))
	l.Inside.DNS(net.JoinHostPort(InsideV4.String(), "53"), net.JoinHostPort(InsideV6.String(), "53"))
}

// HTTP serves until the test's end:
//
//	/        the name of the server and Marker
//	/ip      the client's address
//	/blob?n= the download of n bytes (GET), or how many bytes came (POST)
//	/slow?s= for s seconds a numbered line of 1,000 bytes each millisecond
func (h *Host) HTTP(name string, addresses ...string) {
	h.lab.t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, "%s %s\n", name, Marker) })
	mux.HandleFunc("/ip", func(w http.ResponseWriter, r *http.Request) {
		if a, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
			fmt.Fprintln(w, a.Addr().Unmap())
		}
	})
	mux.HandleFunc("GET /blob", func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.Atoi(r.FormValue("n"))
		if err != nil || n < 0 {
			http.Error(w, "n?", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(n))
		_ = writeDownload(w, n)
	})
	mux.HandleFunc("POST /blob", func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.New()
		_, _ = io.Copy(sum, r.Body)
		fmt.Fprintln(w, hex.EncodeToString(sum.Sum(nil)))
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		seconds, _ := strconv.Atoi(r.FormValue("s"))
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		filler := strings.Repeat(".", 1000-10)
		end := time.Now().Add(time.Duration(seconds) * time.Second)
		for i := 0; time.Now().Before(end); i++ {
			if _, err := fmt.Fprintf(w, "%09d%s\n", i, filler); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush()
			<-tick.C
		}
	})
	h.Serve(mux, addresses...)
}

// Serve answers HTTP until the test's end.
func (h *Host) Serve(handler http.Handler, addresses ...string) {
	h.lab.t.Helper()
	srv := &http.Server{Handler: handler}
	for _, a := range addresses {
		var ln net.Listener
		if err := h.Do(func() (err error) { ln, err = net.Listen("tcp", a); return err }); err != nil {
			h.lab.t.Fatalf("%s: http: %v", h.Name, err)
		}
		go srv.Serve(ln)
	}
	h.lab.t.Cleanup(func() { srv.Close() })
}

// DNS answers until the test's end for IntranetName with the addresses inside,
// and denies that other names exist.
func (h *Host) DNS(addresses ...string) {
	h.lab.t.Helper()
	for _, a := range addresses {
		var c net.PacketConn
		if err := h.Do(func() (err error) { c, err = net.ListenPacket("udp", a); return err }); err != nil {
			h.lab.t.Fatalf("%s: dns: %v", h.Name, err)
		}
		h.lab.t.Cleanup(func() { c.Close() })
		go func() {
			b := make([]byte, 1500)
			for {
				n, from, err := c.ReadFrom(b)
				if err != nil {
					return
				}
				if answer, err := answerDNS(b[:n]); err == nil {
					_, _ = c.WriteTo(answer, from)
				}
			}
		}()
	}
}

func answerDNS(query []byte) ([]byte, error) {
	var p dnsmessage.Parser
	hdr, err := p.Start(query)
	if err != nil {
		return nil, err
	}
	q, err := p.Question()
	if err != nil {
		return nil, err
	}
	known := strings.EqualFold(q.Name.String(), IntranetName+".")
	hdr.Response, hdr.Authoritative, hdr.RecursionAvailable = true, true, true
	if !known {
		hdr.RCode = dnsmessage.RCodeNameError
	}
	m := dnsmessage.Message{Header: hdr, Questions: []dnsmessage.Question{q}}
	if known {
		rh := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 1}
		switch q.Type {
		case dnsmessage.TypeA:
			m.Answers = []dnsmessage.Resource{{Header: rh, Body: &dnsmessage.AResource{A: InsideV4.As4()}}}
		case dnsmessage.TypeAAAA:
			m.Answers = []dnsmessage.Resource{{Header: rh, Body: &dnsmessage.AAAAResource{AAAA: InsideV6.As16()}}}
		}
	}
	return m.Pack()
}
