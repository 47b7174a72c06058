package model

import (
	"time"

	"sallyport/core/api"
)

// A Notice is a change of state that matters to a user who looks elsewhere.
// Traffic in clear, blocked traffic, a lost tunnel, a service that is gone and
// a prompt that waits always are. What the user has just done is none; neither
// is a tunnel that is back within seconds; and a state that comes and goes is
// told once, and summed up when it has calmed down.
type Notice struct {
	Connection string // empty: of the whole machine
	Mark       Mark
	Title      Text
	Body       Text
	Prompt     string // the ID of the prompt that waits; empty without
}

// The times of a bell.
const (
	own     = 5 * time.Second // after a user's act its effects are no news
	blip    = 5 * time.Second // a tunnel may be away for so long unnoticed
	absence = 4 * time.Second // and the service: as long as a restart takes
	spell   = time.Minute     // within which the same is not told twice
)

// A bell decides what is worth a notice. It is told the time.
type bell struct {
	conns   map[string]*ringer
	machine time.Time // when the user last changed something of the machine
	linked  bool      // a first State has come
	gone    time.Time // since when the service is
	absent  bool      // that was told
	prompts map[string]bool
	last    *Snapshot
}

// A ringer is the bell of one connection.
type ringer struct {
	mark    Mark // that stands
	since   time.Time
	told    Mark // that the user knows
	tell    bool // mark is to be told when it has stood for its time
	toldAt  map[Mark]time.Time
	acted   time.Time
	allowed time.Time
	flaps   int
	calm    time.Time // when the flaps are to be summed up; zero: there are none
}

func newBell() bell { return bell{conns: map[string]*ringer{}, prompts: map[string]bool{}} }

func (b *bell) ringer(name string) *ringer {
	r := b.conns[name]
	if r == nil {
		r = &ringer{toldAt: map[Mark]time.Time{}}
		b.conns[name] = r
	}
	return r
}

// acted notes that the user has done something.
func (b *bell) acted(name string, now time.Time) {
	if name == "" {
		b.machine = now
		return
	}
	if r := b.conns[name]; r != nil {
		r.acted = now
	}
}

// allowed notes that the user lets traffic leave in clear.
func (b *bell) allowed(name string, now time.Time) {
	if r := b.conns[name]; r != nil {
		r.acted, r.allowed = now, now
	}
}

// see looks at a new snapshot and returns what is to be told at once.
func (b *bell) see(s *Snapshot, now time.Time) []Notice {
	b.last = s
	if s.Link != Linked {
		if b.linked && b.gone.IsZero() {
			b.gone = now
		}
		return nil
	}
	var out []Notice
	if b.absent {
		out = append(out, Notice{Mark: s.Mark, Title: say("model.notice.back"), Body: s.Headline})
	}
	b.linked, b.gone, b.absent = true, time.Time{}, false

	alive := make(map[string]bool, len(s.Connections))
	for i := range s.Connections {
		c := &s.Connections[i]
		alive[c.Name] = true
		r := b.conns[c.Name]
		if r == nil {
			r = b.ringer(c.Name)
			r.mark, r.told, r.since = Off, Off, now
			if c.Mark != Partly && c.Mark != Blocked {
				r.told = c.Mark // how we find it is no news
			}
		}
		if c.Mark != r.mark {
			r.mark, r.since, r.tell = c.Mark, now, true
		}
		out = append(out, b.judge(r, c, now)...)
	}
	for name := range b.conns {
		if !alive[name] {
			delete(b.conns, name)
		}
	}
	return append(out, b.asks(s)...)
}

// asks tells of the prompts that have come.
func (b *bell) asks(s *Snapshot) []Notice {
	var out []Notice
	waits := make(map[string]bool, len(s.Prompts))
	for i := range s.Prompts {
		p := &s.Prompts[i]
		waits[p.ID] = true
		if !b.prompts[p.ID] {
			out = append(out, Notice{Connection: p.Connection, Mark: Busy, Prompt: p.ID,
				Title: say("model.notice.prompt", "Name", p.Connection), Body: asking(p.Kind)})
		}
	}
	b.prompts = waits
	return out
}

// tick tells what has lasted long enough.
func (b *bell) tick(now time.Time) []Notice {
	s := b.last
	if s == nil {
		return nil
	}
	if s.Link != Linked {
		if b.gone.IsZero() || b.absent || now.Sub(b.gone) < absence {
			return nil
		}
		b.absent = true
		return []Notice{{Mark: Fault, Title: say("model.notice.gone"), Body: s.Headline}}
	}
	var out []Notice
	for name, r := range b.conns {
		if !r.tell && r.calm.IsZero() {
			continue
		}
		if c := s.Find(name); c != nil {
			out = append(out, b.judge(r, c, now)...)
		}
	}
	return out
}

// judge tells what is to be told of a connection at this moment.
func (b *bell) judge(r *ringer, c *Connection, now time.Time) []Notice {
	var out []Notice
	if !r.calm.IsZero() && !now.Before(r.calm) {
		if r.flaps > 0 {
			out = append(out, Notice{Connection: c.Name, Mark: r.mark,
				Title: say("model.notice.unsteady", "Name", c.Name, "Count", r.flaps), Body: c.Word})
		}
		r.flaps, r.calm, r.told, r.tell = 0, time.Time{}, r.mark, false
		clear(r.toldAt)
	}
	if !r.tell {
		return out
	}
	if r.mark == r.told {
		r.tell = false
		return out
	}
	if r.mark == Busy {
		if r.told != Safe {
			r.tell = false // on the way from a state that is no worse
			return out
		}
		if c.Pending == None && now.Sub(r.since) < blip {
			return out // it may be back at once
		}
	}
	r.tell, r.told = false, r.mark
	if b.mine(r, c, now) {
		return out
	}
	if at, ok := r.toldAt[r.mark]; ok && (now.Sub(at) < spell || !r.calm.IsZero()) {
		r.flaps++
		r.calm = now.Add(spell)
		return out
	}
	r.toldAt[r.mark] = now
	return append(out, noticeOf(c))
}

// mine reports whether the user has just done this himself. Traffic in clear is
// the user's doing only when the user allowed it, and a block never.
func (b *bell) mine(r *ringer, c *Connection, now time.Time) bool {
	switch c.Mark {
	case Blocked:
		return false
	case Partly:
		return within(r.allowed, now)
	}
	return within(r.acted, now) || within(b.machine, now) || c.Pending == Disconnect || c.Pending == Cancel
}

func within(t, now time.Time) bool { return !t.IsZero() && now.Sub(t) <= own }

// noticeOf tells how a connection stands now.
func noticeOf(c *Connection) Notice {
	n := Notice{Connection: c.Name, Mark: c.Mark}
	switch c.Mark {
	case Safe:
		n.Title = say("model.notice.safe", "Name", c.Name)
	case Busy:
		n.Title = say("model.notice.lost", "Name", c.Name)
	case Partly:
		n.Title = say("model.notice.partly", "Name", c.Name)
	case Blocked:
		n.Title = say("model.notice.blocked", "Name", c.Name)
	case Fault:
		n.Title = say("model.notice.fault", "Name", c.Name)
	default:
		n.Title = say("model.notice.off", "Name", c.Name)
	}
	if len(c.Story) > 0 {
		n.Body = c.Story[0]
	}
	if c.Problem != nil && (c.Mark == Fault || c.Mark == Busy) {
		_, n.Body, _ = ErrorText(c.Problem)
	}
	return n
}

// asking says what a prompt asks for.
func asking(k api.PromptKind) Text {
	switch k {
	case api.PromptPassword:
		return say("model.ask.password")
	case api.PromptCode:
		return say("model.ask.code")
	case api.PromptSecret:
		return say("model.ask.secret")
	case api.PromptPassphrase:
		return say("model.ask.passphrase")
	case api.PromptPIN:
		return say("model.ask.pin")
	case api.PromptCertificate:
		return say("model.ask.certificate")
	}
	return say("model.ask.server")
}
