package monitor

import (
	"strconv"
	"strings"
	"time"

	"sallyport/app/i18n"
	"sallyport/app/model"
	"sallyport/app/ui/kit"
	"sallyport/core/api"
)

// mainColumns are those of the main mode SAs.
func mainColumns() []column[api.IKESA] {
	return []column[api.IKESA]{
		{kit.TableColumn{Title: i18n.T("monitor.col.connection"), Width: 8, Grow: true},
			func(_ *kit.Env, sa *api.IKESA) kit.Cell {
				return kit.Cell{Text: kit.Clean(sa.Connection), Icon: kit.MarkIcon(mainMark(sa.State))}
			},
			func(a, b *api.IKESA) bool { return a.Connection < b.Connection }},
		{kit.TableColumn{Title: i18n.T("monitor.col.state"), Width: 9},
			func(_ *kit.Env, sa *api.IKESA) kit.Cell { return kit.Cell{Text: mainState(sa.State)} },
			func(a, b *api.IKESA) bool { return a.State < b.State }},
		{kit.TableColumn{Title: i18n.T("monitor.col.peer"), Width: 10, Grow: true},
			func(_ *kit.Env, sa *api.IKESA) kit.Cell { return kit.Cell{Text: kit.Clean(sa.RemoteID)} },
			func(a, b *api.IKESA) bool { return a.RemoteID < b.RemoteID }},
		{kit.TableColumn{Title: i18n.T("monitor.col.age"), Width: 7, Right: true},
			func(env *kit.Env, sa *api.IKESA) kit.Cell { return kit.Cell{Text: age(env, sa.Established)} },
			func(a, b *api.IKESA) bool { return a.Established.After(b.Established) }},
		{kit.TableColumn{Title: i18n.T("monitor.col.rekey"), Width: 7, Right: true},
			func(env *kit.Env, sa *api.IKESA) kit.Cell { return kit.Cell{Text: until(env, sa.RekeyAt)} },
			func(a, b *api.IKESA) bool { return sooner(a.RekeyAt, b.RekeyAt) }},
	}
}

// quickColumns are those of the quick mode SAs.
func quickColumns() []column[api.ChildSA] {
	return []column[api.ChildSA]{
		{kit.TableColumn{Title: i18n.T("monitor.col.connection"), Width: 8, Grow: true},
			func(_ *kit.Env, sa *api.ChildSA) kit.Cell {
				return kit.Cell{Text: kit.Clean(sa.Connection), Icon: kit.MarkIcon(quickMark(sa.State))}
			},
			func(a, b *api.ChildSA) bool { return a.Connection < b.Connection }},
		{kit.TableColumn{Title: i18n.T("monitor.col.state"), Width: 8},
			func(_ *kit.Env, sa *api.ChildSA) kit.Cell { return kit.Cell{Text: quickState(sa.State)} },
			func(a, b *api.ChildSA) bool { return a.State < b.State }},
		{kit.TableColumn{Title: i18n.T("monitor.col.networks"), Width: 9, Grow: true},
			func(_ *kit.Env, sa *api.ChildSA) kit.Cell {
				return kit.Cell{Text: kit.Clean(strings.Join(sa.RemoteTS, ", "))}
			},
			func(a, b *api.ChildSA) bool { return strings.Join(a.RemoteTS, " ") < strings.Join(b.RemoteTS, " ") }},
		{kit.TableColumn{Title: i18n.T("monitor.col.in"), Width: 5, Right: true},
			func(_ *kit.Env, sa *api.ChildSA) kit.Cell { return kit.Cell{Text: i18n.Bytes(sa.Counters.InBytes)} },
			func(a, b *api.ChildSA) bool { return a.Counters.InBytes < b.Counters.InBytes }},
		{kit.TableColumn{Title: i18n.T("monitor.col.out"), Width: 5, Right: true},
			func(_ *kit.Env, sa *api.ChildSA) kit.Cell { return kit.Cell{Text: i18n.Bytes(sa.Counters.OutBytes)} },
			func(a, b *api.ChildSA) bool { return a.Counters.OutBytes < b.Counters.OutBytes }},
		{kit.TableColumn{Title: i18n.T("monitor.col.rekey"), Width: 7, Right: true},
			func(env *kit.Env, sa *api.ChildSA) kit.Cell { return kit.Cell{Text: until(env, sa.RekeyAt)} },
			func(a, b *api.ChildSA) bool { return sooner(a.RekeyAt, b.RekeyAt) }},
	}
}

func mainKey(sa *api.IKESA) string { return sa.LocalSPI + "/" + sa.RemoteSPI }

func quickKey(sa *api.ChildSA) string { return sa.InSPI + "/" + sa.OutSPI }

// mainFields are all that is known of a main mode SA.
func mainFields(env *kit.Env, sa *api.IKESA) []kit.Field {
	side := i18n.T("monitor.responder")
	if sa.Initiator {
		side = i18n.T("monitor.initiator")
	}
	fields := []kit.Field{
		{Label: i18n.T("monitor.col.connection"), Value: kit.Clean(sa.Connection)},
		{Label: i18n.T("monitor.col.state"), Value: mainState(sa.State) + ", " + side},
		{Label: i18n.T("monitor.field.local"), Value: address(sa.Local, sa.NATLocal), Mono: true},
		{Label: i18n.T("monitor.field.remote"), Value: address(sa.Remote, sa.NATRemote), Mono: true},
		{Label: i18n.T("monitor.field.local_id"), Value: kit.Clean(sa.LocalID)},
		{Label: i18n.T("monitor.field.remote_id"), Value: kit.Clean(sa.RemoteID)},
		{Label: i18n.T("monitor.field.local_auth"), Value: kit.Clean(sa.LocalAuth)},
		{Label: i18n.T("monitor.field.remote_auth"), Value: kit.Clean(sa.RemoteAuth)},
		{Label: i18n.T("monitor.field.proposal"), Value: breakable(sa.Proposal), Mono: true},
		{Label: i18n.T("monitor.field.local_spi"), Value: sa.LocalSPI, Mono: true, Copy: true},
		{Label: i18n.T("monitor.field.remote_spi"), Value: sa.RemoteSPI, Mono: true, Copy: true},
		{Label: i18n.T("monitor.field.established"), Value: since(env, sa.Established)},
		{Label: i18n.T("monitor.field.rekey"), Value: rekey(env, sa.RekeyAt)},
		{Label: i18n.T("monitor.field.rekeys"), Value: strconv.Itoa(sa.Rekeys)},
	}
	if sa.Mobile {
		fields = append(fields, kit.Field{Label: i18n.T("monitor.field.moves"), Value: strconv.Itoa(sa.Moves)})
	}
	return fields
}

// quickFields are all that is known of a quick mode SA.
func quickFields(env *kit.Env, sa *api.ChildSA) []kit.Field {
	child := kit.Clean(sa.Child)
	if sa.Resource != 0 {
		child = i18n.T("monitor.of_resource", "Child", child, "Resource", strconv.Itoa(sa.Resource))
	}
	return []kit.Field{
		{Label: i18n.T("monitor.col.connection"), Value: kit.Clean(sa.Connection)},
		{Label: i18n.T("monitor.field.child"), Value: child},
		{Label: i18n.T("monitor.col.state"), Value: quickState(sa.State)},
		{Label: i18n.T("monitor.field.local_ts"), Value: kit.Clean(strings.Join(sa.LocalTS, ", ")), Mono: true},
		{Label: i18n.T("monitor.field.remote_ts"), Value: kit.Clean(strings.Join(sa.RemoteTS, ", ")), Mono: true},
		{Label: i18n.T("monitor.field.proposal"), Value: breakable(sa.Proposal), Mono: true},
		{Label: i18n.T("monitor.field.in_spi"), Value: sa.InSPI, Mono: true, Copy: true},
		{Label: i18n.T("monitor.field.out_spi"), Value: sa.OutSPI, Mono: true, Copy: true},
		{Label: i18n.T("monitor.field.received"), Value: traffic(sa.Counters.InBytes, sa.Counters.InPackets)},
		{Label: i18n.T("monitor.field.sent"), Value: traffic(sa.Counters.OutBytes, sa.Counters.OutPackets)},
		{Label: i18n.T("monitor.field.established"), Value: since(env, sa.Established)},
		{Label: i18n.T("monitor.field.rekey"), Value: rekey(env, sa.RekeyAt)},
	}
}

func address(a string, nat bool) string {
	a = kit.Clean(a)
	if nat {
		return i18n.T("monitor.behind_nat", "Address", a)
	}
	return a
}

// breakable lets a suite of algorithms wrap between them.
func breakable(suite string) string { return strings.ReplaceAll(kit.Clean(suite), "/", " / ") }

func traffic(bytes, packets uint64) string {
	return i18n.T("monitor.traffic", "Bytes", i18n.Bytes(bytes), "Packets", i18n.Count(packets))
}

func age(env *kit.Env, t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return i18n.Duration(env.Now().Sub(t))
}

func until(env *kit.Env, t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return i18n.Duration(t.Sub(env.Now()))
}

func since(env *kit.Env, t time.Time) string {
	if t.IsZero() {
		return ""
	}
	now := env.Now()
	return i18n.T("monitor.since", "Time", t, "Span", now.Sub(t))
}

func rekey(env *kit.Env, t time.Time) string {
	now := env.Now()
	switch {
	case t.IsZero():
		return i18n.T("monitor.rekey_none")
	case !t.After(now):
		return i18n.T("monitor.rekey_now")
	}
	return i18n.T("monitor.rekey_in", "Time", t, "Span", t.Sub(now))
}

// sooner orders times; no time at all comes last.
func sooner(a, b time.Time) bool {
	if a.IsZero() || b.IsZero() {
		return !a.IsZero() && b.IsZero()
	}
	return a.Before(b)
}

func mainState(s string) string {
	switch s {
	case "established":
		return i18n.T("monitor.state.established")
	case "rekeyed":
		return i18n.T("monitor.state.rekeyed")
	case "half-open":
		return i18n.T("monitor.state.half_open")
	case "deleting":
		return i18n.T("monitor.state.deleting")
	case "closed":
		return i18n.T("monitor.state.closed")
	case "IKE_SA_INIT sent", "IKE_AUTH sent", "connecting":
		return i18n.T("monitor.state.negotiating")
	}
	return kit.Clean(s)
}

func mainMark(s string) model.Mark {
	switch s {
	case "established":
		return model.Safe
	case "rekeyed", "closed":
		return model.Off
	}
	return model.Busy
}

func quickState(s string) string {
	switch s {
	case "installed":
		return i18n.T("monitor.state.installed")
	case "rekeyed":
		return i18n.T("monitor.state.rekeyed")
	}
	return kit.Clean(s)
}

func quickMark(s string) model.Mark {
	if s == "installed" {
		return model.Safe
	}
	return model.Off
}
