package model

import "sallyport/core/api"

// weight orders the marks by how much they press; Safe and Off least of all.
var weight = map[Mark]int{Off: 0, Safe: 1, Busy: 2, Partly: 3, Blocked: 4, Fault: 5}

// overall sums up a snapshot for the tray: the worst that matters. A connection
// that failed and is wanted by nobody any more does not hide those in use.
func overall(s *Snapshot) (Mark, Text) {
	switch s.Link {
	case Linking:
		return Busy, say("model.link.linking")
	case Missing:
		return Fault, say("model.link.missing")
	case Stopped:
		return Fault, say("model.link.stopped")
	case Older:
		return Fault, say("model.link.older")
	case Newer:
		return Fault, say("model.link.newer")
	case Refused:
		return Fault, say("model.link.refused")
	case Lost:
		return Fault, say("model.link.lost")
	}
	worst, count, name := Off, 0, ""
	used := false
	for i := range s.Connections {
		used = used || inUse(&s.Connections[i])
	}
	for i := range s.Connections {
		c := &s.Connections[i]
		if used && !inUse(c) {
			continue
		}
		switch w := weight[c.Mark] - weight[worst]; {
		case w > 0:
			worst, count, name = c.Mark, 1, c.Name
		case w == 0:
			count, name = count+1, c.Name
		}
	}
	return worst, headline(s, worst, count, name)
}

// inUse reports whether a connection is up, on its way, or asked for.
func inUse(c *Connection) bool {
	return c.State != api.Disconnected && c.State != api.Listening || c.Protection != "" || c.Mark == Partly || c.Mark == Blocked
}

// headline is the overall mark in words; one connection is named, several are
// counted.
func headline(s *Snapshot, worst Mark, count int, name string) Text {
	if len(s.Prompts) > 0 {
		return say("model.head.prompt", "Name", s.Prompts[0].Connection)
	}
	one := count == 1
	switch worst {
	case Safe:
		if one {
			return say("model.head.safe", "Name", name)
		}
		return say("model.heads.safe", "Count", count)
	case Busy:
		if one {
			return say("model.head.busy", "Name", name, "Word", s.Find(name).Word)
		}
		return say("model.heads.busy", "Count", count)
	case Partly:
		if one {
			return say("model.head.partly", "Name", name)
		}
		return say("model.heads.partly", "Count", count)
	case Blocked:
		if one {
			return say("model.head.blocked", "Name", name)
		}
		return say("model.heads.blocked", "Count", count)
	case Fault:
		if one {
			return say("model.head.fault", "Name", name)
		}
		return say("model.heads.fault", "Count", count)
	}
	if s.Assignment != nil {
		return say("model.head.assigned", "Policy", s.Assignment.Policy)
	}
	return say("model.head.off")
}
