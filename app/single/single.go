// Package single sees to it that a user has one window: whoever starts the
// program again brings up the one that is there.
//
// The first one holds a lock that the system lets go when it dies, however it
// dies, and listens where only the same user can reach it. There is one for
// each service, so that a window on a demonstration can stand beside it.
package single

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// A Message tells the running program what the second one was started for.
type Message struct {
	Page  string   `json:"page,omitempty"`
	Files []string `json:"files,omitempty"` // absolute paths, to import
	Quiet bool     `json:"quiet,omitempty"` // it was to start hidden: nothing is brought up
}

// ErrRunning says that another one runs, and has got the message.
var ErrRunning = errors.New("it runs already")

const (
	limit = 64 << 10        // bytes of a message
	quick = 5 * time.Second // for a message and its answer
	many  = 8               // callers at once
)

// key names the instance of a service in a way that fits every system.
func key(service string) string {
	h := sha256.Sum256([]byte(service))
	return "sallyport-gui-" + hex.EncodeToString(h[:6])
}

// Claim makes this process the one for a service, and calls opened, on a
// goroutine of its own and one at a time, with what later ones were started
// for. Where there is one already, that gets m and Claim returns ErrRunning.
// Any other error says that neither could be had. release lets go.
func Claim(service string, m Message, opened func(Message)) (release func(), err error) {
	ln, unlock, err := claim(key(service))
	if err != nil {
		if errors.Is(err, errTaken) {
			return nil, tell(key(service), m)
		}
		return nil, err
	}
	in := make(chan Message)
	stop := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		for {
			select {
			case <-stop:
				return
			case m := <-in:
				opened(m)
			}
		}
	})
	all.Go(func() { serve(ln, in, stop) })
	var once sync.Once
	return func() {
		once.Do(func() {
			close(stop)
			ln.Close()
			all.Wait()
			unlock()
		})
	}, nil
}

var errTaken = errors.New("taken")

func serve(ln net.Listener, in chan<- Message, stop <-chan struct{}) {
	free := make(chan struct{}, many)
	var all sync.WaitGroup
	defer all.Wait()
	for {
		c, err := ln.Accept()
		if err != nil {
			select {
			case <-stop:
				return
			case <-time.After(100 * time.Millisecond): // out of descriptors, say
				if errors.Is(err, net.ErrClosed) {
					return
				}
				continue
			}
		}
		select {
		case free <- struct{}{}:
		default: // whoever floods us waits for nothing
			c.Close()
			continue
		}
		all.Go(func() {
			defer func() { <-free }()
			defer c.Close()
			m, err := read(c)
			if err != nil {
				return
			}
			select {
			case in <- m:
				_, _ = io.WriteString(c, "ok\n") // the other one ends in any case
			case <-stop:
			}
		})
	}
}

// read takes a message from a process of the same user.
func read(c net.Conn) (m Message, err error) {
	if err := mine(c); err != nil {
		return m, err
	}
	if err := c.SetDeadline(time.Now().Add(quick)); err != nil {
		return m, err
	}
	line, err := bufio.NewReader(io.LimitReader(c, limit)).ReadBytes('\n')
	if err != nil {
		return m, err
	}
	return m, json.Unmarshal(line, &m)
}

// tell hands a message to the one that runs: ErrRunning when it has taken it.
func tell(key string, m Message) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if len(b) >= limit {
		return fmt.Errorf("a message of %d bytes is too long", len(b))
	}
	end := time.Now().Add(quick)
	for {
		if err = send(key, append(b, '\n'), end); err == nil {
			return ErrRunning
		}
		if time.Now().After(end) { // it may just be starting, or ending
			return fmt.Errorf("another window runs and does not answer: %w", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func send(key string, b []byte, end time.Time) error {
	c, err := dial(key, time.Until(end))
	if err != nil {
		return err
	}
	defer c.Close()
	if err := mine(c); err != nil {
		return err
	}
	if err := c.SetDeadline(end); err != nil {
		return err
	}
	if _, err := c.Write(b); err != nil {
		return err
	}
	answer := make([]byte, 3)
	if _, err := io.ReadFull(c, answer); err != nil {
		return err
	}
	if string(answer) != "ok\n" {
		return fmt.Errorf("it answers %q", answer)
	}
	return nil
}
