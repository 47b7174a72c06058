package single

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/Microsoft/go-winio"
	"golang.org/x/sys/windows"
)

// user returns the SID of the user of a process token.
func user(tok windows.Token) (string, error) {
	u, err := tok.GetTokenUser()
	if err != nil {
		return "", err
	}
	return u.User.Sid.String(), nil
}

func pipe(key string) (path, sid string, err error) {
	sid, err = user(windows.GetCurrentProcessToken())
	if err != nil {
		return "", "", err
	}
	var session uint32
	if err := windows.ProcessIdToSessionId(windows.GetCurrentProcessId(), &session); err != nil {
		return "", "", err
	}
	return fmt.Sprintf(`\\.\pipe\%s-%s-%d`, key, sid, session), sid, nil
}

// claim makes the pipe, which only the first can (FILE_FLAG_FIRST_PIPE_INSTANCE);
// it goes with its process.
func claim(key string) (net.Listener, func(), error) {
	path, sid, err := pipe(key)
	if err != nil {
		return nil, nil, err
	}
	ln, err := winio.ListenPipe(path, &winio.PipeConfig{SecurityDescriptor: "D:P(A;;GA;;;" + sid + ")"})
	if errors.Is(err, windows.ERROR_ACCESS_DENIED) || errors.Is(err, windows.ERROR_PIPE_BUSY) {
		return nil, nil, errTaken
	}
	return ln, func() {}, err
}

func dial(key string, wait time.Duration) (net.Conn, error) {
	path, _, err := pipe(key)
	if err != nil {
		return nil, err
	}
	return winio.DialPipe(path, &wait)
}

// mine accepts what the pipe's security descriptor lets through: only the same
// user. What a stranger who took the name first would get holds no secret.
func mine(net.Conn) error { return nil }
