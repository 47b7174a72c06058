package model

// A Verb names something a user can do. Verbs lists all that the windows and
// the tray offer, each with the verb of the command line that does the same.
type Verb string

// The verbs on a connection that a Snapshot speaks of; Verbs has all.
const (
	None       Verb = ""
	Connect    Verb = "connect"
	Disconnect Verb = "disconnect"
	Cancel     Verb = "cancel" // the attempt that is under way
)
