package server

import (
	"fmt"
	"os/user"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"sallyport/core/api"
	"sallyport/platform/ipc"
)

// DefaultGroup is the group whose members may use the service unless Access
// names others.
const DefaultGroup = "sallyport"

// Access says who may use the service beside root and the user it runs as.
// There is one right, to do everything: whoever may connect a tunnel moves the
// machine's traffic, and whoever reads the state learns where it goes.
// Group membership is what the caller's process held when it connected.
type Access struct {
	UIDs []uint32
	// Groups are names or numbers; nil means DefaultGroup. A name is looked up
	// for each caller, so a group may be created while the service runs.
	Groups []string
}

func (a Access) groups() []string {
	if a.Groups == nil {
		return []string{DefaultGroup}
	}
	return a.Groups
}

func (s *Server) allows(p ipc.Peer) bool {
	if p.Vetted || p.UID == 0 || p.UID == s.self || slices.Contains(s.access.UIDs, p.UID) {
		return true
	}
	return slices.ContainsFunc(s.access.groups(), func(name string) bool {
		gid, ok := s.lookupGID(name)
		return ok && slices.Contains(p.GIDs, gid)
	})
}

func lookupGID(name string) (uint32, bool) {
	if g, err := user.LookupGroup(name); err == nil {
		name = g.Gid
	}
	gid, err := strconv.ParseUint(name, 10, 32)
	return uint32(gid), err == nil
}

// refuse tells a caller who may not how to be allowed.
func (s *Server) refuse(who caller, known bool) *api.Error {
	e := &api.Error{Code: api.CodeNotAllowed, What: "You may not use the Sallyport service.",
		Why: "It cannot tell who you are."}
	if !known {
		return e
	}
	name := s.lookupUser(who.UID)
	if name == "" {
		name = "USER"
	}
	e.Params = map[string]string{"uid": strconv.FormatUint(uint64(who.UID), 10)}
	if s.refusals.first(who.UID, time.Now()) {
		s.log(api.LogWarn, fmt.Sprintf("turned away %s: neither root nor permitted", who))
	}
	groups := s.access.groups()
	if len(groups) == 0 {
		e.Why = fmt.Sprintf("User %d is neither root nor on the service's list.", who.UID)
		e.Next = fmt.Sprintf("Use sudo, or ask an administrator to start the service with --allow-uid %d.", who.UID)
		return e
	}
	e.Why = fmt.Sprintf("User %d is neither root nor in the group %s.", who.UID, strings.Join(groups, " or "))
	e.Params["group"] = groups[0]
	_, exists := s.lookupGID(groups[0])
	e.Next = joinGroup(runtime.GOOS, name, groups[0], exists)
	return e
}

// joinGroup says how an administrator puts a user into a group.
func joinGroup(goos, name, group string, exists bool) string {
	var cmd string
	if goos == "darwin" {
		cmd = fmt.Sprintf("sudo dseditgroup -o edit -a %s -t user %s", name, group)
		if !exists {
			cmd = fmt.Sprintf("sudo dseditgroup -o create %s && %s", group, cmd)
		}
	} else {
		cmd = fmt.Sprintf("sudo usermod -aG %s %s", group, name)
		if !exists {
			cmd = fmt.Sprintf("sudo groupadd --system %s && %s", group, cmd)
		}
	}
	return fmt.Sprintf("Use sudo, or let an administrator run `%s`; then log out and in again.", cmd)
}

// refusals keeps one user from filling the log.
type refusals struct {
	mu   sync.Mutex // guards last
	last map[uint32]time.Time
}

// first reports whether this is the first refusal of uid for a minute.
func (r *refusals) first(uid uint32, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t, ok := r.last[uid]; ok && now.Sub(t) < time.Minute {
		return false
	}
	if r.last == nil || len(r.last) >= 64 {
		r.last = map[uint32]time.Time{}
	}
	r.last[uid] = now
	return true
}
