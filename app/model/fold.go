package model

import (
	"slices"
	"strings"

	"sallyport/core/api"
)

// A world is what the service has said, event by event. Its slices are shared
// with the snapshots that were made of it: they are replaced, never changed.
type world struct {
	link       Link
	problem    *api.Error
	seq        uint64
	service    api.Service
	conns      []Connection // sorted by name
	assignment *api.Assignment
	prompts    []api.Prompt // those that are the user's to answer
	pending    map[string]*Verb
	remember   bool
}

// snapshot shows the world as it stands.
func (w *world) snapshot() *Snapshot {
	s := &Snapshot{Link: w.link, LinkProblem: w.problem, Seq: w.seq, Service: w.service, Connections: w.conns,
		Assignment: w.assignment, Prompts: w.prompts, CanRemember: w.remember}
	s.Mark, s.Headline = overall(s)
	return s
}

// load replaces everything by a State. A broken service could send its
// connections in disorder, or twice; Find relies on the order.
func (w *world) load(st api.State) {
	w.link, w.problem = Linked, nil
	w.seq, w.service, w.assignment = st.Seq, st.Service, st.Assignment
	conns := make([]Connection, len(st.Connections))
	for i, c := range st.Connections {
		conns[i] = w.describe(c)
	}
	slices.SortStableFunc(conns, byName)
	w.conns = slices.CompactFunc(conns, func(a, b Connection) bool { return a.Name == b.Name })
	w.prompts = slices.Clone(st.Prompts)
}

func byName(a, b Connection) int { return strings.Compare(a.Name, b.Name) }

// apply folds an event in and reports whether it can be believed: after a gap,
// or an event that lacks what it should carry, the State must be read again.
func (w *world) apply(e *api.Event) bool {
	if e.Seq != w.seq+1 || e.Kind == api.EventLost {
		return false
	}
	switch e.Kind {
	case api.EventConnection, api.EventFallback:
		if e.Connection == nil {
			return false
		}
		w.set(w.describe(*e.Connection))
	case api.EventRemoved:
		if i, ok := w.find(e.Name); ok {
			w.conns = slices.Concat(w.conns[:i], w.conns[i+1:])
		}
	case api.EventAssignment:
		w.assignment = e.Assignment
	case api.EventPrompt:
		if e.Prompt == nil {
			return false
		}
		w.ask(*e.Prompt)
	case api.EventAnswered:
		w.unask(e.Name)
	}
	w.seq = e.Seq // also of a kind that a later service has added
	return true
}

func (w *world) find(name string) (int, bool) {
	return slices.BinarySearchFunc(w.conns, name, func(c Connection, n string) int { return strings.Compare(c.Name, n) })
}

// set adds or replaces a connection.
func (w *world) set(c Connection) {
	i, ok := w.find(c.Name)
	if ok {
		w.conns = slices.Clone(w.conns)
		w.conns[i] = c
		return
	}
	w.conns = slices.Concat(w.conns[:i], []Connection{c}, w.conns[i:])
}

// ask adds a prompt, unless it stands there.
func (w *world) ask(p api.Prompt) {
	w.unask(p.ID)
	w.prompts = append(slices.Clip(w.prompts), p)
}

func (w *world) unask(id string) {
	w.prompts = slices.DeleteFunc(slices.Clone(w.prompts), func(p api.Prompt) bool { return p.ID == id })
}

// describe adds to a connection what is to be said of it.
func (w *world) describe(c api.Connection) Connection {
	d := Connection{Connection: c, Pending: w.underWay(c.Name)}
	if w.link != Linked {
		d.Mark, d.Word, d.Story = Fault, say("model.word.unknown"), []Text{say("model.story.unknown")}
		return d
	}
	d.Mark, d.Word, d.Story, d.Verb = markOf(&c), wordOf(&c), storyOf(&c), verbOf(&c)
	return d
}

// redescribe describes a connection anew; with no name all of them.
func (w *world) redescribe(name string) {
	conns := slices.Clone(w.conns)
	for i := range conns {
		if name == "" || conns[i].Name == name {
			conns[i] = w.describe(conns[i].Connection)
		}
	}
	w.conns = conns
}

// part says that the service is out of reach. What it said last remains for a
// moment of absence, as unknown, and goes with everything else.
func (w *world) part(l Link, problem *api.Error) {
	w.link, w.problem = l, problem
	w.prompts = nil
	if l != Lost {
		w.conns, w.assignment, w.service, w.seq = nil, nil, api.Service{}, 0
		return
	}
	w.redescribe("")
}

// count folds the counters of the tunnels that are up in.
func (w *world) count(counters map[string]api.Counters) {
	var conns []Connection
	for i := range w.conns {
		n, ok := counters[w.conns[i].Name]
		if !ok || n == w.conns[i].Counters {
			continue
		}
		if conns == nil {
			conns = slices.Clone(w.conns)
		}
		conns[i].Counters = n
	}
	if conns != nil {
		w.conns = conns
	}
}

// underWay is the verb that the user has asked for and that has not ended.
func (w *world) underWay(name string) Verb {
	if v := w.pending[name]; v != nil {
		return *v
	}
	return None
}
