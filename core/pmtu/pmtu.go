// Package pmtu finds out how large packets may be on a path, where routers that
// drop larger ones do not say so. It is the search of RFC 8899 (DPLPMTUD): the
// caller sends what Next names in one packet that may not be fragmented, and
// tells Result whether an authenticated answer came.
//
// What the system or ICMP says (Claim) is followed downwards at once and looked
// into: who forges it costs a round trip, and nothing when a packet of the old
// size is answered (RFC 8899, section 4.6.1).
package pmtu

import "time"

// Bounds of the search, in bytes of a whole IP packet.
const (
	Floor4 = 576  // what every IPv4 host can receive (RFC 791)
	Floor6 = 1280 // what every IPv6 link carries (RFC 8200, section 5)
	// Usual is the MTU that a path is taken to have until it has been looked at.
	Usual = 1500
	// Base most likely passes everywhere (RFC 8899, section 5.1.2, BASE_PLPMTU).
	Base = 1280
	// Max is the largest packet that is tried.
	Max = 9000
)

// Floor returns the MTU that every path of a family carries.
func Floor(v6 bool) int {
	if v6 {
		return Floor6
	}
	return Floor4
}

// Times of the search.
const (
	// RaiseAfter is how long a size that did not pass is left alone (RFC 8899,
	// section 5.1.1, PMTU_RAISE_TIMER).
	RaiseAfter = 10 * time.Minute
	// ConfirmAfter is how old the proof of the present size may be while packets
	// are sent (CONFIRMATION_TIMER), and firmFor of one that the system denies.
	ConfirmAfter = 2 * time.Minute
	firmFor      = 30 * time.Second
	// doubtAfter is how old it may be when packets are sent and none come back.
	doubtAfter = 10 * time.Second
	// lostAfter is when an answer that never came is no longer waited for: the
	// IKE SA that was to ask is gone.
	lostAfter = time.Minute
)

// How often a size is tried before it is taken not to pass (RFC 8899, section
// 5.1.2, MAX_PROBES): the more often the likelier it is that a packet was merely
// lost, and the dearer the mistake.
const (
	triesAgain  = 3 // of one that has passed before
	triesUsual  = 2 // of one that is in use, or most likely passes
	triesSearch = 1 // of one somewhere between
)

// usual are sizes that links and tunnels have, in ascending order: the search
// tries them first, and what lies between them only then.
var usual = []int{
	576, 1006, 1200, 1280, 1300, 1332, 1350, 1370, 1380, 1400, 1412, 1420, 1428, 1436, 1440, 1446, 1450, 1454, 1458,
	1460, 1464, 1472, 1476, 1480, 1484, 1488, 1492, 1496, 1500, 2304, 4352, 4470, 8192, 8950, 9000,
}

// How says how a path's MTU is known.
type How uint8

// The values of How.
const (
	Assumed How = iota // nothing is known
	Told               // the system says so, or a router by ICMP
	Proved             // a packet of that size was answered
)

// A Probe is one packet to send.
type Probe struct {
	Size int // of the whole IP packet
	Try  int // from 0: later ones may wait longer for their answer
	tag  uint64
}

// A Search looks for the MTU of one path. The zero Search has no path.
type Search struct {
	floor, link int // the path's own bounds
	low         int // the largest packet that was answered; 0: none
	reach       int // what was asked for when it was: no packet fits in between
	high        int // the smallest size that does not pass, or link+1
	told        int // what the system says, while that is less than link; 0: nothing
	use         int
	how         How
	firm        bool
	doubted     bool

	asked   Probe // on its way
	waits   bool  // for its answer
	tag     uint64
	askedAt time.Time // when
	proved  time.Time // when low was last answered
	settled time.Time // when the search came to its end
}

// Start begins anew on a path whose first link carries packets of link bytes.
// doubted says that it has lost large packets.
func (s *Search) Start(v6 bool, link int, doubted bool) {
	floor := Floor(v6)
	link = min(max(link, floor), Max)
	*s = Search{floor: floor, link: link, high: link + 1, use: min(link, Usual), doubted: doubted, tag: s.tag}
}

// Stop ends the search: there is no path, or one that needs none.
func (s *Search) Stop() { *s = Search{tag: s.tag} }

// MTU returns the size that packets may have now; 0: not known.
func (s *Search) MTU() int { return s.use }

// Sure returns what passes for certain: at most MTU. A flow of TCP that begins before
// anything is known keeps the segments that it begins with, and a far end that sends
// too much for the path hears of it from nobody.
func (s *Search) Sure() int {
	if s.how == Assumed {
		return s.floor
	}
	return s.use
}

// How says how MTU is known.
func (s *Search) How() How { return s.how }

// Firm reports whether packets of MTU bytes pass although the system says that
// they do not.
func (s *Search) Firm() bool { return s.firm }

// Settled reports whether the search has come to its end.
func (s *Search) Settled() bool { return s.link != 0 && !s.waits && s.candidate() == 0 }

// Claim takes what the system says of the path. It reports whether that changed
// anything. What was under way is void: it may have passed before the path shrank.
func (s *Search) Claim(mtu int) bool {
	mtu = max(mtu, s.floor)
	if s.link == 0 || mtu >= s.use {
		return false
	}
	*s = Search{floor: s.floor, link: s.link, high: s.link + 1, told: mtu, use: mtu, how: Told, tag: s.tag}
	return true
}

// Next returns what to send now; false: nothing. used says that packets were sent
// since the last call, and heard that some came.
func (s *Search) Next(now time.Time, used, heard bool) (Probe, bool) {
	if s.link == 0 || s.waits && now.Sub(s.askedAt) < lostAfter {
		return Probe{}, false
	}
	size := s.candidate()
	if size == 0 {
		size = s.due(now, used, heard)
	}
	if size == 0 {
		return Probe{}, false
	}
	s.tag++
	s.asked, s.waits, s.askedAt = Probe{Size: size, tag: s.tag}, true, now
	return s.asked, true
}

// due returns what is to be tried on a path that was searched: whether the present
// size still passes, and after a while whether a larger one does.
func (s *Search) due(now time.Time, used, heard bool) int {
	if s.settled.IsZero() {
		s.settled = now
	}
	if !used {
		return 0
	}
	patience := ConfirmAfter
	switch {
	case !heard:
		patience = doubtAfter
	case s.firm:
		patience = firmFor
	}
	switch {
	case s.low > 0 && now.Sub(s.proved) >= patience:
		return s.low
	case s.high <= s.link && now.Sub(s.settled) >= RaiseAfter:
		s.high, s.told, s.settled = s.link+1, 0, time.Time{}
		return s.candidate()
	}
	return 0
}

// candidate returns the next size that the search tries; 0: it is at its end.
func (s *Search) candidate() int {
	if top := min(s.link, Usual); s.reach < top && top < s.high {
		return top
	}
	if s.reach >= Usual && s.reach < s.link && s.link < s.high {
		return s.link
	}
	if s.low == 0 {
		for _, size := range []int{s.told, Base, s.floor} {
			if s.floor <= size && size < s.high {
				return size
			}
		}
	}
	return s.bisect(max(s.reach, s.floor))
}

// bisect returns a size between what passes and what does not; 0: they are close
// enough.
func (s *Search) bisect(low int) int {
	var between []int
	for _, u := range usual {
		if low < u && u < s.high {
			between = append(between, u)
		}
	}
	if len(between) > 0 {
		return between[len(between)/2]
	}
	if s.high-low > max(16, low/64) {
		return low + (s.high-low)/2
	}
	return 0
}

// Result takes what became of a packet that Next or Result named: sent is how long
// it was in the end, at most what was asked for; fits says that it was answered.
// It returns what is to be sent once more, or false: then MTU may have changed, and
// Next says how to go on.
func (s *Search) Result(p Probe, sent int, fits bool, now time.Time) (Probe, bool) {
	if !s.waits || p != s.asked {
		return Probe{}, false // it was for another path
	}
	most := triesSearch
	switch p.Size {
	case s.low:
		most = triesAgain
	case s.told, s.use, Base, min(s.link, Usual), s.link:
		if !s.doubted {
			most = triesUsual
		}
	}
	if !fits && p.Try+1 < most {
		s.asked.Try++
		s.askedAt = now
		return s.asked, true
	}
	s.waits = false
	if fits {
		s.passed(p.Size, sent, now)
	} else {
		s.lost(p.Size)
	}
	return Probe{}, false
}

// passed takes that a size passes.
func (s *Search) passed(size, sent int, now time.Time) {
	s.low, s.reach, s.proved = max(s.low, sent), max(s.reach, size), now
	s.use, s.how = max(s.low, s.floor), Proved
	switch {
	case s.told == 0:
	case s.low > s.told:
		s.firm = true
	case size >= s.told:
		s.high = min(s.high, s.told+1) // so it was true
	}
}

// lost takes that a size does not pass.
func (s *Search) lost(size int) {
	s.high = min(s.high, size)
	if s.low >= s.high { // the path has changed: what passed need not pass now
		s.low, s.reach, s.told, s.firm = 0, 0, 0, false
	}
	if s.use < s.high {
		return
	}
	s.use, s.how = s.low, Proved
	if s.use == 0 {
		s.use, s.how = s.floor, Assumed
		if Base < s.high {
			s.use = max(s.floor, Base)
		}
	}
}
