package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"

	"sallyport/core/api"
	"sallyport/platform/ipc"
)

// Events implements api.Backend. It returns nil when yield does not want more,
// and CodeUnreachable when the service goes away; a caller that wants to go on
// reads State again, since a restarted service counts from the beginning.
func (c *Client) Events(ctx context.Context, after uint64, yield func(api.Event) bool) error {
	sctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// Until the first line the watchdog also bounds the wait for the service.
	dog := time.AfterFunc(ipc.HeartbeatLost, cancel)
	defer dog.Stop()

	resp, err := c.send(context.WithoutCancel(ctx), sctx, http.MethodGet, "/events?after="+strconv.FormatUint(after, 10), nil)
	if err != nil {
		return c.ended(ctx, sctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b, err := io.ReadAll(io.LimitReader(resp.Body, ipc.MaxBody))
		if err != nil {
			return c.ended(ctx, sctx, c.broken(ctx, err))
		}
		return c.decode(resp.StatusCode, b, nil)
	}
	if t, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || t != ipc.ContentStream {
		return c.nonsense("what should be a stream of events is not")
	}
	err = readStream(resp.Body, func(e api.Event) bool {
		dog.Stop() // what yield does is the caller's own time
		return yield(e)
	}, func() { dog.Reset(ipc.HeartbeatLost) })
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errStream):
		return c.nonsense(err.Error())
	case errors.Is(err, io.EOF):
		err = &api.Error{Code: api.CodeUnreachable, What: "The service went away.",
			Why: "It ended the stream of events.", Next: c.startIt()}
	}
	if _, ok := errors.AsType[*api.Error](err); !ok {
		err = c.broken(ctx, err)
	}
	return c.ended(ctx, sctx, err)
}

// ended tells the caller's own cancelling and the watchdog's from other failures.
func (c *Client) ended(ctx, sctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return api.AsError(ctx.Err())
	case sctx.Err() != nil:
		return &api.Error{Code: api.CodeUnreachable, What: "The service does not answer any more.",
			Why: fmt.Sprintf("Its event stream was silent for %v.", ipc.HeartbeatLost), Next: c.startIt()}
	}
	return err
}

var errStream = errors.New("its event stream is malformed")

// readStream reads lines and yields their events until one ends the stream, or
// yield does. awake is called before each line is waited for.
func readStream(r io.Reader, yield func(api.Event) bool, awake func()) error {
	sc := bufio.NewScanner(r)
	sc.Buffer(make([]byte, 0, 4096), ipc.MaxEventLine+1)
	for awake(); sc.Scan(); awake() {
		var l ipc.StreamLine
		if err := json.Unmarshal(sc.Bytes(), &l); err != nil {
			return errStream
		}
		if l.Error != nil {
			if l.Error.Code == "" {
				return errStream
			}
			return l.Error
		}
		if l.Event != nil && !yield(*l.Event) {
			return nil
		}
	}
	switch err := sc.Err(); {
	case err == nil:
		return io.EOF
	case errors.Is(err, bufio.ErrTooLong):
		return errStream
	default:
		return err
	}
}
