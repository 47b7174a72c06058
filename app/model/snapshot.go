package model

import (
	"slices"
	"strings"

	"sallyport/core/api"
)

// A Link is how we stand with the service.
type Link int

// The values of Link.
const (
	Linking Link = iota // the first answer is awaited
	Linked              // State is the service's
	Missing             // it is not installed, as far as this user can see
	Stopped             // it is installed and does not run
	Lost                // it ran a moment ago and does not answer, or nothing that makes sense
	Older               // it speaks an older API than this front end
	Newer               // it speaks a newer one
	Refused             // it does not serve this user
)

// A Snapshot is everything a front end shows at one moment. It is immutable:
// the model replaces it and never changes it, and so must everybody else.
type Snapshot struct {
	Link        Link
	LinkProblem *api.Error // why Link is not Linked
	Seq         uint64     // the last event of the service that is folded in
	Service     api.Service
	Connections []Connection // sorted by name
	Assignment  *api.Assignment
	// Prompts are those that the user is to answer, oldest first: not one that
	// the vault is answering.
	Prompts []api.Prompt
	// CanRemember says that there is a vault: Answer may be asked to remember.
	CanRemember bool
	// Mark and Headline sum up all of it, for the tray.
	Mark     Mark
	Headline Text
}

// A Connection is a connection with what is to be said of it.
type Connection struct {
	api.Connection
	Mark Mark
	// State in a word: "Connected".
	Word Text
	// Story says in full sentences how it stands: what is protected, through
	// whom, and what is not. Why it is not better is the last.
	Story []Text
	// Verb is what the one large button does.
	Verb Verb
	// Pending is the verb that the user has asked for and that has not ended.
	Pending Verb
}

// Find returns the connection of that name, nil when there is none.
func (s *Snapshot) Find(name string) *Connection {
	i, ok := slices.BinarySearchFunc(s.Connections, name, func(c Connection, n string) int { return strings.Compare(c.Name, n) })
	if !ok {
		return nil
	}
	return &s.Connections[i]
}
