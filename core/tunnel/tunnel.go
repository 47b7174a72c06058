// Package tunnel is the state machine of the user-visible whole: it decides
// when to start an attempt, when to change the host, when to try again and
// what state to show. It does no I/O; the engine performs its actions.
package tunnel

import (
	"fmt"
	"time"

	"sallyport/core/api"
)

// An Action is something the engine does for a Machine.
type Action uint8

// The actions.
const (
	StartAttempt Action = iota + 1 // negotiate with the gateway
	StopIKE                        // end the attempt or the IKE SA, telling the peer
	ApplyHost                      // set addresses, routes and DNS; answer with HostDone
	UndoHost                       // take them away; answer with HostDone
)

func (a Action) String() string {
	switch a {
	case StartAttempt:
		return "start attempt"
	case StopIKE:
		return "stop IKE"
	case ApplyHost:
		return "apply host"
	case UndoHost:
		return "undo host"
	}
	return fmt.Sprintf("action %d", uint8(a))
}

// Retry waits between attempts to come back after a loss: first at once, then
// doubling from one second up to maxRetry. Losses in a row of tunnels that had
// not stood for maxRetry wait too, but for the first: two machines that share an
// identity, and take it from each other, would else never rest.
const (
	firstRetry = time.Second
	maxRetry   = time.Minute
)

// A Machine is the state of one tunnel. Its methods take an input and return
// the actions to perform, in order. The zero value is not usable; see New.
//
//	             Connect                 HostDone(nil)
//	Disconnected ───────→ Connecting ─────────────────→ Connected
//	     ↑                    │ Failed, Disconnect        │      ↑
//	     │                    ↓                    Failed │      │ HostDone(nil)
//	     └─ HostDone ── Disconnecting ←─ Disconnect ──┐   ↓      │
//	                          ↑                       └─ Reconnecting ⟲ HandleTimeout
//	                          └────────── Failed for good ───┘
//
// Waits leads from Connected to Reconnecting too, and Back to Connected.
//
// The profile decides what a failure leads to. Respond: as drawn. Request: a
// failed first attempt is tried again too (Reconnecting). Require: whatever
// fails leads to Blocked, never to Disconnected; from there an attempt that
// may help later is made again, and any other waits for the user.
type Machine struct {
	profile api.Profile

	state   api.TunnelState
	since   time.Time
	problem error

	host     bool // the host holds (part of) our configuration
	applying bool // an ApplyHost waits for its HostDone
	retries  int
	losses   int // in a row, of tunnels that did not last
	retryAt  time.Time
	waits    bool // for a way to the gateway, with the IKE SA kept
}

// New returns a Machine in Disconnected. Under require the host keeps its
// routes while reconnecting, so that traffic for the protected networks waits
// or is dropped rather than leaving in clear text.
func New(profile api.Profile, now time.Time) *Machine {
	return &Machine{profile: profile, state: api.Disconnected, since: now}
}

// State returns the state to show and since when it lasts.
func (m *Machine) State() (api.TunnelState, time.Time) { return m.state, m.since }

// SetProfile changes the profile, in whatever state the tunnel is. What has
// happened stays as it is; what fails from now on is judged by the new one.
func (m *Machine) SetProfile(p api.Profile) { m.profile = p }

// Problem returns why the tunnel is not up; nil when nothing went wrong.
func (m *Machine) Problem() error { return m.problem }

// NextTimeout reports when HandleTimeout wants to run; zero means never.
func (m *Machine) NextTimeout() time.Time { return m.retryAt }

// Connect is the user's wish to connect. It reports false when the tunnel is
// neither at rest nor blocked.
func (m *Machine) Connect(now time.Time) ([]Action, bool) {
	if m.state != api.Disconnected && m.state != api.Blocked {
		return nil, false
	}
	m.retryAt = time.Time{}
	m.problem, m.retries, m.losses = nil, 0, 0
	m.enter(api.Connecting, now)
	return []Action{StartAttempt}, true
}

// Disconnect is the user's wish to end the tunnel, in whatever state it is.
func (m *Machine) Disconnect(now time.Time) []Action {
	switch m.state {
	case api.Disconnected, api.Disconnecting:
		return nil
	}
	m.problem = nil
	return m.leave(now, StopIKE)
}

// Waits says that the tunnel has lost its way to the gateway while its IKE SA
// stands: the host keeps all that it holds, so that nothing leaves in clear text.
// Back ends it.
func (m *Machine) Waits(now time.Time, err error) {
	if m.state == api.Connected && !m.applying {
		m.enter(api.Reconnecting, now)
		m.waits = true
	}
	if m.waits {
		m.problem = err
	}
}

// Waiting reports whether the tunnel waits for a way to the gateway.
func (m *Machine) Waiting() bool { return m.waits }

// Back says that there is a way to the gateway again, and that it answers.
func (m *Machine) Back(now time.Time) {
	if m.waits {
		m.problem = nil
		m.enter(api.Connected, now)
	}
}

// Negotiated says that the attempt succeeded: the IKE SA and its first Child
// SA stand. It also follows a change of what the host must hold.
func (m *Machine) Negotiated(time.Time) []Action {
	switch m.state {
	case api.Connecting, api.Reconnecting, api.Connected:
		m.host, m.applying = true, true
		m.retryAt = time.Time{}
		return []Action{ApplyHost}
	}
	return nil
}

// HostDone answers ApplyHost and UndoHost.
func (m *Machine) HostDone(now time.Time, err error) []Action {
	switch m.state {
	case api.Connecting, api.Reconnecting:
		if !m.applying {
			return nil // the undo of a loss; the attempt goes on
		}
		m.applying = false
		if err != nil {
			return m.refused(now, err)
		}
		m.problem, m.retries = nil, 0
		m.enter(api.Connected, now)
	case api.Connected:
		m.applying = false
		if err != nil {
			return m.refused(now, err)
		}
	case api.Disconnecting:
		m.host = false
		m.enter(api.Disconnected, now)
	}
	return nil
}

// refused follows a host that does not take our configuration.
func (m *Machine) refused(now time.Time, err error) []Action {
	m.problem = err
	if m.profile != api.Require {
		return m.leave(now, StopIKE)
	}
	m.host = false
	m.enter(api.Blocked, now)
	return []Action{StopIKE, UndoHost}
}

// Failed says that the attempt failed or the IKE SA was lost. With final there
// is no sense in trying again without the user.
func (m *Machine) Failed(now time.Time, err error, final bool) []Action {
	state := m.state
	if m.waits {
		state = api.Connected // it was up until now
	}
	switch state {
	case api.Connecting, api.Reconnecting, api.Blocked:
		m.applying = false
		first := m.state == api.Connecting
		m.problem = err
		switch {
		case m.profile == api.Require:
			m.enter(api.Blocked, now)
			if !final {
				m.retryLater(now)
			}
			return nil
		case final, first && m.profile == api.Respond:
			return m.leave(now)
		}
		if first {
			m.enter(api.Reconnecting, now)
		}
		m.retryLater(now)
	case api.Connected:
		m.problem = err
		switch {
		case m.profile == api.Require && final:
			m.enter(api.Blocked, now)
			return nil
		case final:
			return m.leave(now)
		}
		if now.Sub(m.since) >= maxRetry || m.waits {
			m.losses = 0
		}
		var again []Action
		if m.losses == 0 {
			again = []Action{StartAttempt}
		} else {
			m.retryAt = now.Add(backOff(m.losses - 1))
		}
		m.losses++
		m.retries = 0
		m.enter(api.Reconnecting, now)
		if m.profile == api.Require {
			return again
		}
		m.host, m.applying = false, false
		return append([]Action{UndoHost}, again...)
	}
	return nil
}

func (m *Machine) retryLater(now time.Time) {
	m.retryAt = now.Add(backOff(m.retries))
	m.retries++
}

func backOff(n int) time.Duration { return min(firstRetry<<min(n, 8), maxRetry) }

// HandleTimeout starts the next attempt when its time has come.
func (m *Machine) HandleTimeout(now time.Time) []Action {
	if m.retryAt.IsZero() || now.Before(m.retryAt) {
		return nil
	}
	m.retryAt = time.Time{}
	if m.state == api.Blocked {
		m.enter(api.Reconnecting, now)
	}
	return []Action{StartAttempt}
}

// RetryNow brings the next attempt forward, as after a change of the network.
func (m *Machine) RetryNow(now time.Time) {
	if !m.retryAt.IsZero() {
		m.retryAt = now
	}
}

// leave goes towards Disconnected: at once when the host is untouched.
func (m *Machine) leave(now time.Time, first ...Action) []Action {
	m.retryAt, m.applying = time.Time{}, false
	if !m.host {
		m.enter(api.Disconnected, now)
		return first
	}
	m.enter(api.Disconnecting, now)
	return append(first, UndoHost)
}

func (m *Machine) enter(s api.TunnelState, now time.Time) { m.state, m.since, m.waits = s, now, false }
