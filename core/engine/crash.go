package engine

import (
	"errors"
	"io"
	"io/fs"

	"sallyport/core/api"
)

// crashFile holds the secret of which peers' tokens are made (RFC 6290): it is
// how a service that was started again proves that it has lost their SAs.
const crashFile = "crash-secret"

const crashSecretLen = 32

// crashSecret returns the secret, and makes it the first time. Without one peers
// find out with their liveness checks.
func (e *Engine) crashSecret() []byte {
	b, err := e.opt.Host.State.Read(crashFile)
	if err == nil && len(b) == crashSecretLen {
		return b
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		b = make([]byte, crashSecretLen)
		if _, err = io.ReadFull(e.opt.Rand, b); err == nil {
			err = e.opt.Host.State.Write(crashFile, b)
		}
	}
	if err != nil {
		e.logf(api.LogWarn, "ike", "", "peers will not hear of a restart at once: %v", err)
		return nil
	}
	return b
}

// listens reports whether peers may begin with us.
func (e *Engine) listens() bool {
	for _, c := range e.conns {
		if c.listening {
			return true
		}
	}
	return false
}
