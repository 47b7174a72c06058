package token

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"time"

	"sallyport/core/host"
	"sallyport/platform/token/internal/wire"
)

// idleTime is how long a process stays that nobody uses.
const idleTime = 15 * time.Second

// A process is a helper that has loaded a module.
type process struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  io.Reader
	turn chan struct{} // holds a value while nobody asks

	once  sync.Once  // of its end
	mu    sync.Mutex // guards what follows
	users int
	idle  *time.Timer
	ended bool // it is not to be used any more
}

func start(helper, module string) (*process, error) {
	if err := checkModule(module); err != nil {
		return nil, err
	}
	cmd := exec.Command(helper, module)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, in: in, out: out, turn: make(chan struct{}, 1), users: 1}
	p.turn <- struct{}{}
	return p, nil
}

// use counts a user, and reports false when the process has ended.
func (p *process) use() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return false
	}
	if p.idle != nil {
		p.idle.Stop()
		p.idle = nil
	}
	p.users++
	return true
}

// release ends a use. The process ends when nobody comes back.
func (p *process) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.users--; p.users == 0 && !p.ended {
		p.idle = time.AfterFunc(idleTime, p.retire)
	}
}

// retire ends a process that nobody uses: it closes its sessions itself.
func (p *process) retire() {
	p.mu.Lock()
	if p.users > 0 || p.ended {
		p.mu.Unlock()
		return
	}
	p.ended = true
	p.mu.Unlock()
	p.end(false)
}

// end ends the process: in good order, or at once.
func (p *process) end(now bool) {
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	if now {
		_ = p.cmd.Process.Kill() // it has ended already where this fails
	}
	p.once.Do(func() {
		_ = p.in.Close() // which it takes for the end
		kill := time.AfterFunc(3*time.Second, func() { _ = p.cmd.Process.Kill() })
		go func() {
			_ = p.cmd.Wait() // how it ended is of no interest
			kill.Stop()
		}()
	})
}

// ask asks, in turn. A process that does not answer in time, or not in order,
// is ended, and with it all that was open in it.
func (p *process) ask(ctx context.Context, q *wire.Request) (wire.Response, error) {
	select {
	case <-p.turn:
	case <-ctx.Done():
		return wire.Response{}, fmt.Errorf("%w: it is busy", host.ErrTokenModule)
	}
	p.mu.Lock()
	ended := p.ended
	p.mu.Unlock()
	if ended {
		p.turn <- struct{}{}
		return wire.Response{}, host.ErrTokenGone
	}
	type result struct {
		a   wire.Response
		err error
	}
	done := make(chan result, 1)
	go func() {
		err := wire.Write(p.in, q)
		var a wire.Response
		if err == nil {
			a, err = wire.ReadResponse(p.out)
		}
		done <- result{a, err}
	}()
	var r result
	select {
	case r = <-done:
	case <-ctx.Done():
		p.end(true)
		<-done // it ends with the process; what was lent to it is the caller's again
		r.err = fmt.Errorf("%w: it does not answer", host.ErrTokenModule)
		p.turn <- struct{}{}
		return wire.Response{}, r.err
	}
	p.turn <- struct{}{}
	if r.err != nil {
		p.end(true)
		return wire.Response{}, fmt.Errorf("%w: it broke down", host.ErrTokenModule)
	}
	return r.a, r.a.Err()
}
