package connections

import (
	"fmt"
	"strings"
	"time"

	"sallyport/app/i18n"
	"sallyport/app/model"
	"sallyport/app/ui/kit"
	"sallyport/core/api"
)

// mostLines is how many networks or addresses are listed before they are counted.
const mostLines = 8

// tickFacts shows the facts, of which some change with the time.
func (d *detail) tickFacts() {
	c := d.conn
	since := ""
	if (up(c) || c.State == api.Connecting) && !c.Since.IsZero() {
		time := passed(d.env.Now().Sub(c.Since))
		since = i18n.T("connections.elapsed", "Duration", time)
		if c.State == api.Connected {
			since = i18n.T("connections.for", "Duration", time)
		}
	}
	kit.SetText(d.since, since)
	kit.SetShown(d.since, since != "")
	fields := facts(c)
	d.facts.Set(fields...)
	kit.SetShown(d.factCard, d.facts.Visible())
}

// facts are the named values of a connection; those without a value are left out.
func facts(c *model.Connection) []kit.Field {
	fields := []kit.Field{
		{Label: i18n.T("connections.fact.gateway"), Value: strings.Join(c.Gateway, "\n")},
		{Label: i18n.T("connections.fact.peer"), Value: kit.Clean(c.PeerID)},
		{Label: i18n.T("connections.fact.address"), Value: lines(c.Addresses), Copy: true},
		{Label: i18n.T("connections.fact.dns"), Value: lines(c.DNS), Copy: true},
		{Label: i18n.T("connections.fact.networks"), Value: lines(c.Routes)},
		{Label: i18n.T("connections.fact.path"), Value: kit.Clean(c.Path)},
		{Label: i18n.T("connections.fact.transport"), Value: transportText(c.Transport)},
		{Label: i18n.T("connections.fact.mtu"), Value: mtuText(c.PathMTU)},
	}
	if up(c) {
		n := c.Counters
		fields = append(fields,
			kit.Field{Label: i18n.T("connections.fact.received"), Value: i18n.T("connections.packets", "Size", i18n.Bytes(n.InBytes), "Number", i18n.Count(n.InPackets), "Count", few(n.InPackets))},
			kit.Field{Label: i18n.T("connections.fact.sent"), Value: i18n.T("connections.packets", "Size", i18n.Bytes(n.OutBytes), "Number", i18n.Count(n.OutPackets), "Count", few(n.OutPackets))})
	}
	if !c.Since.IsZero() {
		fields = append(fields, kit.Field{Label: i18n.T("connections.fact.since"), Value: i18n.DateTime(c.Since)})
	}
	return fields
}

// few makes an int of a number for the choice of a plural form.
func few(n uint64) int { return int(min(n, 1_000_000)) }

// passed says a time that passes: to the second in the first minute, and then
// to the minute. A window is drawn anew with each change, which without a
// graphics processor is what a tunnel at rest would cost most.
func passed(d time.Duration) string {
	if d > time.Minute {
		d = d.Truncate(time.Minute)
	}
	return i18n.Duration(d)
}

// lines lists values, a line each, and counts those beyond mostLines.
func lines[T fmt.Stringer](list []T) string {
	var b strings.Builder
	for i, v := range list {
		if i == mostLines {
			b.WriteString("\n" + i18n.T("connections.more", "Count", len(list)-i))
			break
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(v.String())
	}
	return b.String()
}
