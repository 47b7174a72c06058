package host

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"sallyport/core/host"
	"sallyport/platform/route"
	"sallyport/platform/sockopt"
)

// maxHeader bounds the header of an answer.
const maxHeader = 16 << 10

// fetch makes one exchange of HTTP with one server, through a socket that
// carries the mark of our own. It follows nothing, remembers nothing, and goes
// through no proxy.
func fetch(ctx context.Context, r host.FetchRequest) (host.FetchResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var out host.FetchResponse
	method, body := http.MethodGet, io.Reader(http.NoBody)
	if r.Body != nil {
		method, body = http.MethodPost, bytes.NewReader(r.Body)
	}
	q, err := http.NewRequestWithContext(ctx, method, r.URL, body)
	if err != nil {
		return out, err
	}
	if r.Body != nil {
		q.Header.Set("Content-Type", r.Type)
	}
	q.Header.Set("User-Agent", "Sallyport")
	d := net.Dialer{Control: sockopt.Marked(route.Mark)}
	t := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return d.DialContext(ctx, "tcp", r.Server.String())
		},
		DisableKeepAlives: true, DisableCompression: true,
		MaxResponseHeaderBytes: maxHeader,
	}
	defer t.CloseIdleConnections()
	answer, err := t.RoundTrip(q)
	if err != nil {
		return out, err
	}
	defer answer.Body.Close()
	out.Status, out.Location = answer.StatusCode, answer.Header.Get("Location")
	if answer.StatusCode != http.StatusOK {
		return out, nil
	}
	if out.Body, err = io.ReadAll(io.LimitReader(answer.Body, int64(r.Max)+1)); err != nil {
		return out, fmt.Errorf("read the answer: %w", err)
	}
	if len(out.Body) > r.Max {
		return host.FetchResponse{}, fmt.Errorf("the answer is larger than %d bytes", r.Max)
	}
	return out, nil
}
