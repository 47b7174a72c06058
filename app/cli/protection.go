package cli

import (
	"fmt"
	"strings"
	"time"

	"sallyport/core/api"
)

// stateText says in one line how a connection stands and what becomes of its
// traffic: "connected, protected", "reconnecting, IN CLEAR until 14:05",
// "blocked: nothing leaves".
func (c *command) stateText(conn api.Connection) string {
	switch {
	case conn.Protection == "":
		return string(conn.State)
	case conn.Protection == api.Stopped && conn.State == api.Blocked:
		return protectionText(api.Stopped)
	case conn.Protection == api.Clear:
		return string(conn.State) + ", " + c.clearText(conn)
	}
	return string(conn.State) + ", " + protectionText(conn.Protection)
}

// protectionText says what becomes of traffic. What leaves unprotected is in
// capitals: colours are lost in logs, pipes and on many eyes.
func protectionText(p api.Protection) string {
	switch p {
	case api.Clear:
		return "IN CLEAR"
	case api.Held:
		return "held: traffic waits for protection"
	case api.Stopped:
		return "blocked: nothing leaves"
	}
	return string(p)
}

// clearText says that traffic is in clear, and until when if that has an end.
func (c *command) clearText(conn api.Connection) string {
	return protectionText(api.Clear) + c.untilText(conn.ClearUntil)
}

// untilText is " until 14:05", with the day unless it is today's, and nothing
// for the zero time.
func (c *command) untilText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	now := c.Now()
	t = t.In(now.Location())
	if t.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return " until " + t.Format("15:04")
	}
	return " until " + t.Format("2006-01-02 15:04")
}

// connStyle emphasises how a connection stands: what is not protected above all.
func connStyle(conn api.Connection) string {
	if s := protectionStyle(conn.Protection); s != "" {
		return s
	}
	return stateStyle(conn.State)
}

func protectionStyle(p api.Protection) string {
	switch p {
	case api.Clear, api.Held:
		return yellow
	case api.Stopped:
		return red
	}
	return ""
}

// addProtection adds what becomes of a connection's traffic, and what its user
// must decide.
func (c *command) addProtection(t *table, conn api.Connection) {
	if conn.Protection != "" {
		text := protectionText(conn.Protection)
		if conn.Protection == api.Clear {
			text = c.clearText(conn)
		}
		t.add("Protection", text)
		t.style(1, protectionStyle(conn.Protection))
	}
}

func (t *table) addQuestion(conn api.Connection) {
	if conn.Question == "" {
		return
	}
	t.add("Question", conn.Question)
	t.style(0, yellow)
	t.add("Answer", fmt.Sprintf("`sallyport allow-clear %s` lets its traffic leave in clear for a while; otherwise it stays blocked.", shellName(conn.Name)))
}

// inClear puts first of all that the traffic of a connection which could not
// be protected leaves in clear.
func (c *command) inClear(conn api.Connection, e *api.Error) *api.Error {
	if e == nil {
		e = &api.Error{Code: api.CodeTimeout, What: "The service goes on trying to protect it."}
		if conn.Problem != nil {
			e = conn.Problem
		}
	}
	out := *e
	out.What = fmt.Sprintf("%q is not protected: ITS TRAFFIC LEAVES IN CLEAR%s.", conn.Name, c.untilText(conn.ClearUntil))
	out.Why = strings.TrimSpace(e.What + "\n" + e.Why)
	out.Next = strings.TrimSpace(e.Next + fmt.Sprintf("\n`sallyport connect %s --profile require` lets nothing leave unprotected.", shellName(conn.Name)))
	out.Params = map[string]string{"protection": string(api.Clear)}
	if !conn.ClearUntil.IsZero() {
		out.Params["clear_until"] = conn.ClearUntil.Format(time.RFC3339)
	}
	for k, v := range e.Params {
		out.Params[k] = v
	}
	return &out
}

// assignmentText says which policy is in force.
func (c *command) assignmentText(a *api.Assignment) string {
	if a == nil {
		return "No policy is assigned."
	}
	s := fmt.Sprintf("The policy %q is assigned", a.Policy)
	if a.By != "" {
		s += ", by " + a.By
	}
	if !a.Since.IsZero() {
		s += ", for " + c.since(a.Since)
	}
	return s + "."
}
