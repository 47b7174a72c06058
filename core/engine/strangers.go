package engine

import (
	"sync/atomic"

	"sallyport/core/datapath"
)

// Bounds of what waits of strangers: a burst that comes while the loop is busy
// fits in, and answering all of it takes a small part of a second.
const (
	strangerQueue = 1024
	strangerBytes = 4 << 20
)

// strangers is the queue for the first words of peers whom we have not answered
// (message.FromStranger). It is beside that of all others, so that no flood of them
// drowns those that we have spoken to.
type strangers struct {
	queue chan datapath.Datagram
	bytes *atomic.Int64 // that wait, or are about to
}

func newStrangers() strangers {
	return strangers{make(chan datapath.Datagram, strangerQueue), new(atomic.Int64)}
}

// add reports whether there is room for one more. It never blocks.
func (s strangers) add(d datapath.Datagram) bool {
	n := int64(len(d.Data))
	if s.bytes.Add(n) > strangerBytes {
		s.bytes.Add(-n)
		return false
	}
	select {
	case s.queue <- d:
		return true
	default:
		s.bytes.Add(-n)
		return false
	}
}

// took returns what has left the queue.
func (s strangers) took(d datapath.Datagram) datapath.Datagram {
	s.bytes.Add(-int64(len(d.Data)))
	return d
}
