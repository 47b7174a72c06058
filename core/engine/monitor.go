package engine

import (
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"sallyport/core/api"
	"sallyport/core/explain"
	"sallyport/core/ts"
)

// state builds the whole truth for a front end.
func (e *Engine) state() api.State {
	s := api.State{
		Service: api.Service{Version: e.opt.Version, APIVersion: api.APIVersion, Started: e.started},
		Seq:     e.journal.seq(),
	}
	if e.net != nil {
		s.Service.Ports = e.net.addresses()
		if !e.net.wellKnown {
			s.Service.Warnings = append(s.Service.Warnings, "Another program has UDP port 500 or 4500: peers cannot reach this machine.")
		}
	}
	for _, c := range e.sortedConns() {
		s.Connections = append(s.Connections, e.view(c))
	}
	return s
}

// view is a connection as front ends see it.
func (e *Engine) view(c *conn) api.Connection {
	v := api.Connection{Name: c.name, Role: "initiator", Profile: c.mode, Problem: c.problem, Warnings: c.warnings}
	v.State, v.Since = c.state()
	if c.profile != nil {
		v.Gateway = c.profile.Gateways
		if c.responder() {
			v.Role = "responder"
		}
	}
	if v.State == api.Connected {
		v.Problem = nil
	}
	v.Counters = c.carried
	for _, s := range e.sessions() {
		if s.conn == c {
			for _, k := range s.kids {
				if counters, err := e.net.dp.Counters(k.sa.InSPI); err == nil {
					addCounters(&v.Counters, counters)
				}
			}
		}
	}
	if s := c.current; s != nil && s.est != nil {
		if w := weakAuth(s.est); w != "" {
			v.Warnings = append(slices.Clip(v.Warnings), w)
		}
		v.Path = s.sa.Path().String()
		v.PeerID = s.est.PeerID.String()
		v.Addresses = s.est.Addresses
		v.DNS = s.est.DNS
		v.Routes = c.protected()
	}
	return v
}

// protected lists the networks that the tunnel protects.
func (c *conn) protected() []netip.Prefix {
	var out []netip.Prefix
	for _, p := range c.policies {
		out = append(out, p.remote.Prefixes()...)
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return slices.Compact(out)
}

// sameView reports whether two views differ in counters only: those do not
// make an event.
func sameView(a, b *api.Connection) bool {
	x, y := *a, *b
	x.Counters, y.Counters = api.Counters{}, api.Counters{}
	return reflect.DeepEqual(x, y)
}

// dynamic lists the SAs as they stand.
func (e *Engine) dynamic() api.Dynamic {
	d := api.Dynamic{IKESAs: []api.IKESA{}, ChildSAs: []api.ChildSA{}, Drops: e.drops()}
	if e.ep == nil {
		return d
	}
	for _, sa := range e.ep.SAs() {
		i := sa.Info()
		d.IKESAs = append(d.IKESAs, api.IKESA{
			Connection: i.Name, Initiator: i.Initiator, State: i.State.String(),
			LocalSPI: fmt.Sprintf("%016x", i.LocalSPI), RemoteSPI: fmt.Sprintf("%016x", i.RemoteSPI),
			Local: i.Path.Local.String(), Remote: i.Path.Remote.String(),
			LocalID: i.LocalID.String(), RemoteID: i.PeerID.String(),
			Proposal: i.Suite.String(), LocalAuth: i.LocalAuth, RemoteAuth: i.PeerAuth,
			NATLocal: i.NATLocal, NATRemote: i.NATRemote,
			Established: i.Established, RekeyAt: i.RekeyAt, Rekeys: i.Rekeys,
		})
		for _, c := range sa.Children() {
			d.ChildSAs = append(d.ChildSAs, e.childView(i.Name, c.InSPI, c.RekeyAt))
		}
	}
	for _, g := range e.graces {
		if k := e.kids[g.inSPI]; k != nil {
			d.ChildSAs = append(d.ChildSAs, e.childView(k.session.conn.name, g.inSPI, time.Time{}))
		}
	}
	d.ChildSAs = slices.DeleteFunc(d.ChildSAs, func(c api.ChildSA) bool { return c.InSPI == "" })
	return d
}

// childView describes an installed Child SA; empty when it is not installed.
func (e *Engine) childView(name string, inSPI uint32, rekeyAt time.Time) api.ChildSA {
	k := e.kids[inSPI]
	if k == nil {
		return api.ChildSA{}
	}
	v := api.ChildSA{
		Connection: name, Child: k.sa.Name, State: "installed",
		InSPI: fmt.Sprintf("%08x", k.sa.InSPI), OutSPI: fmt.Sprintf("%08x", k.sa.OutSPI),
		Proposal: k.sa.Suite.String(), LocalTS: texts(k.sa.Local), RemoteTS: texts(k.sa.Remote),
		Established: k.since, RekeyAt: rekeyAt,
	}
	if k.retired {
		v.State = "rekeyed"
	}
	if counters, err := e.net.dp.Counters(inSPI); err == nil {
		addCounters(&v.Counters, counters)
	}
	return v
}

func texts(l ts.List) []string {
	out := make([]string, 0, len(l))
	for _, s := range l {
		out = append(out, s.String())
	}
	return out
}

// drops returns what was dropped since the service started, by reason.
func (e *Engine) drops() map[string]uint64 {
	out := maps.Clone(e.lost)
	if e.net == nil {
		return out
	}
	for reason, n := range e.ep.Drops() {
		out["ike: "+reason] += n
	}
	for reason, n := range e.net.dp.Stats().Drops {
		out["esp: "+reason] += n
	}
	return out
}

// addDrops keeps the counts of a network that is about to close.
func (e *Engine) addDrops() { e.lost = e.drops() }

// explain makes a failure of a connection an api.Error.
func (e *Engine) explain(c *conn, err error) *api.Error {
	x := explain.Context{Connection: c.name}
	if c.profile != nil {
		x.Gateway = c.profile.Gateways
		x.Profile = c.mode
	}
	return explain.Explain(err, x)
}

func logEntry(level api.LogLevel, topic, connection, format string, args ...any) api.LogEntry {
	return api.LogEntry{Level: level, Topic: topic, Connection: connection, Text: fmt.Sprintf(format, args...)}
}
