package client

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"runtime"
	"strconv"
	"syscall"

	"sallyport/core/api"
	"sallyport/platform/ipc"
)

// explainDial explains why there is no answer at all.
func (c *Client) explainDial(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, ipc.ErrUntrusted):
		return &api.Error{Code: api.CodeNotAllowed, What: "This service is not to be trusted.",
			Why:  fmt.Sprintf("The process that serves %s runs neither as root nor as you, and would get to know your secrets.", c.path),
			Next: "Use another socket, or run this as the user whose service it is."}
	case errors.Is(err, ipc.ErrUnavailable):
		return &api.Error{Code: api.CodeUnsupported, What: "Sallyport's service is not available on this system yet."}
	case errors.Is(err, fs.ErrPermission):
		return &api.Error{Code: api.CodeNotAllowed, What: "You may not use the Sallyport service.",
			Why: fmt.Sprintf("The system does not let you open %s.", c.path), Next: elevate(runtime.GOOS)}
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOTDIR):
		return &api.Error{Code: api.CodeUnreachable, What: "The Sallyport service does not answer.",
			Why: fmt.Sprintf("Nothing listens on %s; it is probably not running.", c.path), Next: c.startIt()}
	}
	return c.broken(ctx, err)
}

// broken explains a connection that failed on the way.
func (c *Client) broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return api.AsError(ctx.Err())
	}
	if _, ok := errors.AsType[net.Error](err); ok || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return &api.Error{Code: api.CodeUnreachable, What: "The Sallyport service does not answer.",
			Why: fmt.Sprintf("The connection to %s failed: %v.", c.path, err), Next: c.startIt()}
	}
	return &api.Error{Code: api.CodeUnreachable, What: "The Sallyport service broke off its answer.",
		Why: fmt.Sprintf("On %s: %v.", c.path, err), Next: c.startIt()}
}

// nonsense explains an answer that no service of ours gives.
func (c *Client) nonsense(why string) error {
	return &api.Error{Code: api.CodeInternal, What: "The service's answer makes no sense.",
		Why:  fmt.Sprintf("At %s %s.", c.path, why),
		Next: "Check that the command line and the service are of one release, and restart the service."}
}

// checkVersion holds the service's API version against ours.
func (c *Client) checkVersion(v string) error {
	if v == "" || len(v) > 9 {
		return &api.Error{Code: api.CodeUnreachable, What: "It is not the Sallyport service that answers.",
			Why: fmt.Sprintf("Another program serves %s.", c.path), Next: "Name the right socket with --socket or SALLYPORT_SOCKET."}
	}
	n, err := strconv.Atoi(v)
	switch {
	case err != nil:
		return c.nonsense("the version of its API is not a number")
	case n < api.APIVersion:
		return &api.Error{Code: api.CodeUnsupported, What: "The service is older than this program.", Params: map[string]string{"service": "older"},
			Why:  fmt.Sprintf("It speaks version %d of the API, and this program version %d.", n, api.APIVersion),
			Next: "Upgrade the service, or restart it when it has been upgraded."}
	case n > api.APIVersion:
		return &api.Error{Code: api.CodeUnsupported, What: "The service is newer than this program.", Params: map[string]string{"service": "newer"},
			Why:  fmt.Sprintf("It speaks version %d of the API, and this program version %d.", n, api.APIVersion),
			Next: "Upgrade this program."}
	}
	return nil
}

// startIt says how to start the service that should listen at c.path.
func (c *Client) startIt() string {
	if c.path != DefaultSocket {
		return fmt.Sprintf("Start it with `sudo sallyportd run --socket %s`, or name another socket with --socket or SALLYPORT_SOCKET.", c.path)
	}
	_, err := os.Stat("/run/systemd/system")
	return startService(runtime.GOOS, err == nil)
}

func startService(goos string, systemd bool) string {
	switch {
	case goos == "windows":
		return "Start it with `sallyportd start` in a command prompt that runs as administrator."
	case systemd:
		return "Start it with `sudo systemctl start sallyportd`, or in the foreground with `sudo sallyportd run`."
	default:
		return "Start it with `sudo sallyportd start`, or in the foreground with `sudo sallyportd run`."
	}
}

func elevate(goos string) string {
	if goos == "windows" {
		return "Run this in a command prompt that runs as administrator."
	}
	return "Use sudo."
}
