package ike

import (
	"slices"
	"time"

	"sallyport/core/ike/message"
)

// A task is an exchange that we start. One is in flight at a time: our window
// is 1 (RFC 7296, section 2.3).
type task interface {
	kind() kind
	exchange() message.ExchangeType
	// request returns the payloads of the request. It is asked when the task's
	// turn has come, and reports false when there is nothing left to do.
	request(sa *SA, now time.Time) ([]message.Payload, bool)
	// refused handles an error notify in place of the answer.
	refused(sa *SA, n *message.Notify, now time.Time)
	// abandoned tells the task that it will not run, or not end.
	abandoned(sa *SA, now time.Time)
}

// A queued task waits for its turn, and for a time.
type queued struct {
	task      task
	notBefore time.Time
}

// A flight is the request in flight.
type flight struct {
	task      task
	id        uint32
	datagrams [][]byte
	sends     int
	over      Path      // the SA's when it was last sent
	last      time.Time // when it was last sent
	deadline  time.Time // of the next retransmission
	winds     int       // how often all that began anew
	renewed   int       // how often another way has made it begin anew, see renew
	ladder    Retransmit
	// deleted are Child SAs, by the peer's SPI, that the peer deleted while
	// this was in flight and that we do not know: perhaps the one asked for.
	deleted []uint32
}

// enqueue lets a task wait for its turn, not before a time.
func (sa *SA) enqueue(t task, notBefore time.Time) {
	sa.queue = append(sa.queue, queued{t, notBefore})
}

// inFlight returns the task in flight, or the one that it stands in for, when it
// is a T.
func inFlight[T task](sa *SA) (T, bool) {
	t, ok := sa.underway().(T)
	return t, ok
}

// pump starts the next task that is due when nothing is in flight.
func (sa *SA) pump(now time.Time) {
	sa.chase(now)
	for sa.flight == nil && sa.state != StateClosed && !sa.waits() {
		i := slices.IndexFunc(sa.queue, func(q queued) bool { return !q.notBefore.After(now) })
		if i < 0 {
			return
		}
		t := sa.queue[i].task
		sa.queue = slices.Delete(sa.queue, i, i+1)
		payloads, ok := t.request(sa, now)
		if !ok {
			continue
		}
		seal := sa.seal
		if _, ok := t.(*soundTask); ok {
			seal = sa.sealSounding
		}
		datagrams, err := seal(t.exchange(), sa.nextID, false, payloads)
		if err != nil {
			sa.close(&Failure{Code: FailInternal, Err: err}, now)
			return
		}
		sa.launch(t, datagrams, now)
	}
}

// chase sends the request in flight again when the SA has followed its peer to
// another path since: the old one may lead nowhere, and what went into a TCP
// connection that is gone nobody repeats (RFC 4555, section 3.5; RFC 9329,
// section 6.2).
func (sa *SA) chase(now time.Time) {
	f := sa.flight
	if f == nil || f.over == sa.path || sa.line || sa.state != StateUp {
		return
	}
	f.sends = 1
	f.last, f.deadline = now, now.Add(f.ladder.wait(0))
	sa.tellSent(sa.header(f.task.exchange(), f.id, false), f.datagrams, nil, 1)
	sa.sendFlight(f, now)
}

// launch sends a request with the next message ID.
func (sa *SA) launch(t task, datagrams [][]byte, now time.Time) {
	f := &flight{task: t, id: sa.nextID, datagrams: datagrams, sends: 1, ladder: sa.cfg.Retransmit}
	if l, ok := t.(interface{ ladder() Retransmit }); ok {
		f.ladder = l.ladder()
	}
	f.last, f.deadline = now, now.Add(f.ladder.wait(0))
	if t, ok := t.(*soundTask); ok {
		f.deadline = t.until(sa, f, now)
	}
	sa.flight = f
	sa.nextID++
	sa.sendFlight(f, now)
}

// retransmit repeats the request in flight, or gives up (RFC 7296, section 2.1).
// On TCP it only gives up (RFC 9329, section 6.2).
func (sa *SA) retransmit(now time.Time) {
	f := sa.flight
	if f == nil || now.Before(f.deadline) {
		return
	}
	tries := f.ladder.tries()
	if sa.resuming() {
		tries = min(tries, resumeTries)
	}
	sounding, sounds := f.task.(*soundTask)
	if sounds {
		tries += soundTries
	}
	if sa.fallBackFromSilence(now) {
		return
	}
	if f.sends > tries && !sa.secondWind(f) {
		sa.unanswered(now)
		return
	}
	f.last, f.deadline = now, now.Add(f.ladder.wait(f.sends))
	f.sends++
	if sounds {
		f.deadline = sounding.until(sa, f, now)
	}
	if t, ok := f.task.(*checkTask); sa.path.TCP && !(ok && !t.path.TCP) {
		// TCP repeats it: this only counts how long the peer is silent. Where the
		// peer may be now, nobody repeats it but we.
		sa.sendAhead(f, sa.path)
		return
	}
	sa.tellSent(sa.header(f.task.exchange(), f.id, false), f.datagrams, nil, f.sends-1)
	sa.sendFlight(f, now)
	sa.log(Debug, "%s: retransmission %d of %v request %d", sa.name(), f.sends-1, f.task.exchange(), f.id)
}

// maxWinds bounds how often a request that nobody answers begins anew.
const maxWinds = 2

// secondWind lets a request begin anew that would be given up, when the peer has
// been heard since it was last sent: a peer that can be heard is not dead, and its
// answers may have been lost on a way that is open again (RFC 7296, section 2.4:
// only repeated attempts without an answer tell).
func (sa *SA) secondWind(f *flight) bool {
	if sa.state != StateUp || f.winds == maxWinds || !sa.lastHeard.After(f.last) {
		return false
	}
	f.winds++
	f.sends = 1
	return true
}

// maxRenewals bounds how often other ways make a request begin anew.
const maxRenewals = 8

// renew lets the request in flight begin anew because the SA takes another way, where
// the answer may come that did not come so far; it has to be sent. A peer that nothing
// is heard of counts as dead all the same, however often the ways change.
func (sa *SA) renew(f *flight, ladder Retransmit, now time.Time) {
	if sa.lastHeard.After(f.last) {
		f.renewed = 0
	}
	if f.renewed == maxRenewals {
		return
	}
	f.renewed++
	f.ladder, f.sends = ladder, 1
	f.deadline = now.Add(ladder.wait(0))
}

// unanswered ends the SA because the peer does not answer.
func (sa *SA) unanswered(now time.Time) {
	switch sa.state {
	case StateRekeyed, StateDeleting:
		sa.close(sa.reason, now)
		return
	}
	sa.close(sa.silence(), now)
}

// silence is the failure of a peer that does not answer: what its
// unauthenticated answers claim, if any came.
func (sa *SA) silence() *Failure {
	switch {
	case sa.hint != nil:
		return sa.hint
	case sa.state == StateInitSent:
		return &Failure{Code: FailSilent}
	case sa.state == StateAuthSent && sa.hs.user.toldAnything():
		return &Failure{Code: FailSilent, Err: &SilentToUser{Method: sa.hs.user.peer.Method()}}
	case sa.state == StateAuthSent:
		return &Failure{Code: FailSilent, Err: errNoAuthAnswer}
	}
	return &Failure{Code: FailPeerDead}
}

// abandonTasks ends every task, in flight or waiting.
func (sa *SA) abandonTasks(now time.Time) {
	if f := sa.flight; f != nil {
		sa.flight = nil
		f.task.abandoned(sa, now)
	}
	sa.abandonQueue(now)
}

// abandonQueue ends the tasks that wait.
func (sa *SA) abandonQueue(now time.Time) {
	queue := sa.queue
	sa.queue = nil
	for _, q := range queue {
		q.task.abandoned(sa, now)
	}
}

// later is when to try again after TEMPORARY_FAILURE, with some spread so that
// two peers do not meet again and again.
func (sa *SA) later(now time.Time) time.Time {
	return now.Add(3*time.Second + sa.e.jitter(4*time.Second))
}
