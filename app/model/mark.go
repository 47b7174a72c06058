package model

// A Mark is the state of a connection, or of the whole machine, as an icon
// tells it: by shape and by colour, and always beside words.
type Mark int

// The marks, from the least to the most pressing.
const (
	Off     Mark = iota // disconnected, or listening: nothing asks for protection
	Safe                // everything that is to be protected is
	Busy                // connecting, reconnecting or disconnecting
	Partly              // up, or asked for, while some of its traffic may leave in clear
	Blocked             // not protected, and nothing leaves
	Fault               // it failed, or the service is out of reach
)

// String returns the mark's name, which is that of its icon and the last part
// of its catalogue key "mark.…".
func (m Mark) String() string {
	switch m {
	case Off:
		return "off"
	case Safe:
		return "safe"
	case Busy:
		return "busy"
	case Partly:
		return "partly"
	case Blocked:
		return "blocked"
	}
	return "fault"
}
