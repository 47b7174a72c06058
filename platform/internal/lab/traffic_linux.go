package lab

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// httpClient returns an HTTP client on the machine; URLs hold addresses.
func (h *Host) httpClient() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: h.Dial, DisableKeepAlives: true, DisableCompression: true}}
}

func httpURL(server netip.Addr, path string, query url.Values) string {
	u := url.URL{Scheme: "http", Host: net.JoinHostPort(server.String(), "80"), Path: path, RawQuery: query.Encode()}
	return u.String()
}

// Get fetches a page from a server of the laboratory.
func (h *Host) Get(server netip.Addr, path string, limit time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, httpURL(server, path, nil), nil)
	if err != nil {
		return "", err
	}
	resp, err := h.httpClient().Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return string(b), err
}

// A Transfer is what a download or upload came to.
type Transfer struct {
	Bytes int
	Took  time.Duration
	Stall time.Duration // the longest time without a byte
}

// String tells the size, the time and the rate.
func (t Transfer) String() string {
	return fmt.Sprintf("%d bytes in %v (%.2f Gbit/s), longest pause %v", t.Bytes, t.Took.Round(time.Millisecond),
		float64(t.Bytes)*8/t.Took.Seconds()/1e9, t.Stall.Round(time.Millisecond))
}

// Download fetches size bytes and checks their SHA-256.
func (h *Host) Download(server netip.Addr, size int, limit time.Duration) (Transfer, error) {
	return h.DownloadAt(server, size, 0, limit)
}

// DownloadAt is Download at no more than a rate, in bytes per second; 0: as fast
// as may be.
func (h *Host) DownloadAt(server netip.Addr, size, rate int, limit time.Duration) (Transfer, error) {
	want := Sum(size)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, httpURL(server, "/blob", url.Values{"n": {strconv.Itoa(size)}}), nil)
	if err != nil {
		return Transfer{}, err
	}
	begun := time.Now()
	resp, err := h.httpClient().Do(req)
	if err != nil {
		return Transfer{}, err
	}
	defer resp.Body.Close()
	sum := sha256.New()
	r := &pausing{r: resp.Body, last: time.Now(), rate: rate}
	n, err := io.CopyBuffer(sum, r, make([]byte, 256<<10))
	t := Transfer{Bytes: int(n), Took: time.Since(begun), Stall: r.longest}
	if err != nil {
		return t, fmt.Errorf("after %v: %w", t, err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != want {
		return t, fmt.Errorf("download of %d bytes has SHA-256 %s, want %s", n, got, want)
	}
	return t, nil
}

// Upload sends size bytes and checks the SHA-256 that the server saw.
func (h *Host) Upload(server netip.Addr, size int, limit time.Duration) (Transfer, error) {
	want := Sum(size)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	r, w := io.Pipe()
	go func() { w.CloseWithError(writeDownload(w, size)) }()
	defer r.Close()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, httpURL(server, "/blob", nil), r)
	if err != nil {
		return Transfer{}, err
	}
	begun := time.Now()
	resp, err := h.httpClient().Do(req)
	if err != nil {
		return Transfer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1000))
	if err != nil {
		return Transfer{}, err
	}
	if got := strings.TrimSpace(string(b)); got != want {
		return Transfer{}, fmt.Errorf("upload of %d bytes arrived with SHA-256 %s, want %s", size, got, want)
	}
	return Transfer{Bytes: size, Took: time.Since(begun)}, nil
}

// A pausing reader measures the longest time between reads that return.
type pausing struct {
	r       io.Reader
	last    time.Time
	longest time.Duration
	rate    int // bytes per second; 0: no limit
}

func (p *pausing) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	now := time.Now()
	p.longest = max(p.longest, now.Sub(p.last))
	p.last = now
	if p.rate > 0 {
		time.Sleep(time.Duration(n) * time.Second / time.Duration(p.rate))
		p.last = time.Now() // this pause is ours
	}
	return n, err
}

// Stream reads the numbered lines that the server sends every millisecond for
// some seconds, checks that none is missing, and returns the longest pause.
func (h *Host) Stream(server netip.Addr, seconds int) (Transfer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(seconds+20)*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, httpURL(server, "/slow", url.Values{"s": {strconv.Itoa(seconds)}}), nil)
	if err != nil {
		return Transfer{}, err
	}
	begun := time.Now()
	resp, err := h.httpClient().Do(req)
	if err != nil {
		return Transfer{}, err
	}
	defer resp.Body.Close()
	p := &pausing{r: resp.Body, last: time.Now()}
	lines := bufio.NewScanner(p)
	t := Transfer{}
	for i := 0; lines.Scan(); i++ {
		line := lines.Text()
		if n, err := strconv.Atoi(line[:min(9, len(line))]); err != nil || n != i || len(line) != 999 {
			return t, fmt.Errorf("line %d of the stream is %.20q", i, line)
		}
		t.Bytes += len(line) + 1
	}
	t.Took, t.Stall = time.Since(begun), p.longest
	if err := lines.Err(); err != nil {
		return t, fmt.Errorf("after %v: %w", t, err)
	}
	if t.Took < time.Duration(seconds)*time.Second*9/10 {
		return t, fmt.Errorf("the stream ended after %v", t.Took)
	}
	return t, nil
}
