package ike

import "time"

// Slept tells that the machine has slept for d, a time in which its clock stood
// still and those of its peers did not. Lifetimes run on through the sleep; what
// waits for an answer does not.
func (e *Endpoint) Slept(d time.Duration, now time.Time) []Effect {
	for _, sa := range e.sas {
		after := func(list ...*time.Time) {
			for _, t := range list {
				if !t.IsZero() {
					*t = now.Add(t.Add(-d).Sub(now)) // also tells the right time of day
				}
			}
		}
		after(&sa.rekeyAt, &sa.expireAt, &sa.reauthAt, &sa.reauthBy, &sa.lastHeard, &sa.lastSent)
		for _, c := range sa.children {
			after(&c.rekeyAt, &c.expireAt)
		}
		sa.schedule(now)
	}
	return e.take()
}
