package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"sallyport/core/api"
	"sallyport/core/explain"
	"sallyport/core/ike"
	"sallyport/core/ike/trace"
	"sallyport/core/profile"
)

// Limits of the IKE messages that are kept. They outlive their connection's
// tunnel, so that a failure can be looked at.
const (
	maxMessages      = 64      // of a connection, and of strangers together
	maxAllMessages   = 2000    // of everyone
	maxMessageBytes  = 4 << 20 // of everyone, about
	maxMessageTrails = 256     // connections with messages
)

// exchanges are the newest IKE messages, by connection. Those that nobody is
// proved to have sent have a trail of their own, under an empty name, so that no
// flood of them pushes out what a connection said.
type exchanges struct {
	trails map[string]*trail
	n      int
	bytes  int
}

// A trail is the messages of one connection, oldest first.
type trail struct {
	messages []api.Message
	sizes    []int // of each message, about
}

// weight is about how much memory a message takes.
func weight(m *api.Message) int {
	n := 256 + len(m.Problem)
	for _, p := range m.Payloads {
		n += 64 + len(p.Name)
		for _, f := range p.Fields {
			n += 32 + len(f.Name) + len(f.Value)
		}
	}
	return n
}

// add keeps a message, and drops the oldest of who has the most where there are
// too many.
func (x *exchanges) add(m api.Message) {
	if x.trails == nil {
		x.trails = make(map[string]*trail)
	}
	t := x.trails[m.Connection]
	if t == nil {
		t = &trail{}
		x.trails[m.Connection] = t
	}
	w := weight(&m)
	t.messages, t.sizes = append(t.messages, m), append(t.sizes, w)
	x.n++
	x.bytes += w
	if len(t.messages) > maxMessages {
		x.drop(m.Connection)
	}
	if len(x.trails) > maxMessageTrails {
		x.forget(x.oldest(m.Connection))
	}
	for x.n > maxAllMessages || x.bytes > maxMessageBytes {
		x.drop(x.longest())
	}
}

// drop drops the oldest message of a connection.
func (x *exchanges) drop(name string) {
	t := x.trails[name]
	x.n--
	x.bytes -= t.sizes[0]
	t.messages, t.sizes = slices.Delete(t.messages, 0, 1), slices.Delete(t.sizes, 0, 1)
	if len(t.messages) == 0 {
		delete(x.trails, name)
	}
}

// forget drops all messages of a connection.
func (x *exchanges) forget(name string) {
	for x.trails[name] != nil {
		x.drop(name)
	}
}

// longest returns the connection with the most messages.
func (x *exchanges) longest() string {
	var name string
	most := 0
	for n, t := range x.trails {
		if len(t.messages) > most || len(t.messages) == most && n < name {
			name, most = n, len(t.messages)
		}
	}
	return name
}

// oldest returns the connection that was silent for the longest time.
func (x *exchanges) oldest(but string) string {
	var name string
	var since time.Time
	for n, t := range x.trails {
		last := t.messages[len(t.messages)-1].Time
		if n != but && n != "" && (since.IsZero() || last.Before(since)) {
			name, since = n, last
		}
	}
	return name
}

// claim gives the messages of an IKE SA that strangers sent to the connection
// that they turned out to be of.
func (x *exchanges) claim(name, spiI string) {
	t := x.trails[""]
	if t == nil {
		return
	}
	var own []api.Message
	for i := 0; i < len(t.messages); {
		if t.messages[i].SPIi != spiI {
			i++
			continue
		}
		own = append(own, t.messages[i])
		x.n--
		x.bytes -= t.sizes[i]
		t.messages, t.sizes = slices.Delete(t.messages, i, i+1), slices.Delete(t.sizes, i, i+1)
	}
	if len(t.messages) == 0 {
		delete(x.trails, "")
	}
	if c := x.trails[name]; c != nil && len(own) > 0 {
		own = append(own, c.messages...)
		x.forget(name)
	}
	slices.SortStableFunc(own, func(a, b api.Message) int { return a.Time.Compare(b.Time) })
	for _, m := range own {
		m.Connection = name
		x.add(m)
	}
}

// newest returns up to limit messages, oldest first.
func (x *exchanges) newest(name string, limit int) []api.Message {
	out := []api.Message{}
	if name != "" {
		if t := x.trails[name]; t != nil {
			out = append(out, t.messages...)
		}
	} else {
		for _, t := range x.trails {
			out = append(out, t.messages...)
		}
		slices.SortStableFunc(out, func(a, b api.Message) int {
			return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Connection, b.Connection))
		})
	}
	if limit > 0 && len(out) > limit {
		out = slices.Clone(out[len(out)-limit:])
	}
	return out
}

// trace keeps a message that the IKE engine tells of.
func (e *Engine) trace(x *ike.Trace) {
	m := api.Message{
		Time: time.Now(), Connection: e.traceName(x.SA), Sent: x.Sent,
		Local: x.Path.Local.String(), Remote: x.Path.Remote.String(),
		Exchange: x.Header.Exchange.String(), Request: !x.Header.Response(), MessageID: x.Header.MessageID,
		SPIi: fmt.Sprintf("%016x", x.Header.InitiatorSPI), SPIr: fmt.Sprintf("%016x", x.Header.ResponderSPI),
		Size: x.Size, Fragments: x.Fragments, Retransmit: x.Retransmit, Encrypted: x.Encrypted,
		Payloads: trace.Payloads(x.Payloads), Problem: x.Problem,
	}
	if !x.Path.Local.IsValid() {
		m.Local = ""
	}
	e.exchanges.add(m)
}

// traceName returns the connection of an IKE SA, also of one that is about to
// become a session.
func (e *Engine) traceName(sa *ike.SA) string {
	if sa == nil {
		return ""
	}
	if s := e.sas[sa]; s != nil {
		return s.conn.name
	}
	if p := e.probes[sa]; p != nil {
		return p.name
	}
	if name := sa.Info().Name; e.conns[name] != nil {
		return name
	}
	return ""
}

// Exchanges implements api.Backend.
func (e *Engine) Exchanges(ctx context.Context, name string, limit int) ([]api.Message, error) {
	var out []api.Message
	err := e.onLoop(ctx, func() error {
		if name != "" && e.exchanges.trails[name] == nil {
			e.reload()
			if e.conns[name] == nil {
				return explain.Explain(fmt.Errorf("%w: %s", profile.ErrNotFound, name), explain.Context{Connection: name})
			}
		}
		out = e.exchanges.newest(name, limit)
		return nil
	})
	return out, err
}
