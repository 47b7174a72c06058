package engine

import (
	"fmt"
	"slices"

	"sallyport/core/api"
	"sallyport/core/ts"
)

// besideError explains why c cannot be wanted beside what is in force. Two
// connections that protect the same networks through different gateways are
// told in the words of their profiles: who wrote no policy knows no filters.
func (e *Engine) besideError(c *conn, err error) *api.Error {
	out := &api.Error{Code: api.CodePolicyInvalid, What: fmt.Sprintf("%q cannot be connected beside what is in force.", c.name), Why: err.Error() + ".",
		Next: "Disconnect the connection that it contradicts, or unassign the policy, and try again."}
	for _, o := range e.sortedConns() {
		if o == c || !o.wanted || !o.ruling() || o.responder() || c.responder() {
			continue
		}
		ours, theirs := asksFor(c), asksFor(o)
		// Of a part of the other's networks the narrower one decides, and nothing
		// contradicts (see policy.Validate).
		if i := slices.IndexFunc(ours, func(s ts.Selector) bool { return slices.Contains(theirs, s) }); i >= 0 {
			out.Why = fmt.Sprintf("%q protects %v already: the same traffic cannot take two tunnels.", o.name, ours[i])
			out.Next = fmt.Sprintf("Disconnect %q first, or let remote_ts of one of them name less.", o.name)
			break
		}
	}
	return out
}

// asksFor lists the networks behind the gateway that a connection asks for.
func asksFor(c *conn) (out ts.List) {
	if c.profile == nil {
		return nil
	}
	for i := range c.profile.Children {
		if list, _, err := selectors(orElse(c.profile.Children[i].RemoteTS, everything)); err == nil {
			out = append(out, list...)
		}
	}
	return out
}
