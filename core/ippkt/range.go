package ippkt

// A Range is the numbers from From to To, both included: addresses, or whatever
// else is kept as an Addr. There are none in it when To is less than From.
type Range struct{ From, To Addr }

// Contains reports whether a lies in r.
func (r Range) Contains(a Addr) bool { return r.From.Compare(a) <= 0 && a.Compare(r.To) <= 0 }

// Covers reports whether all of o lies in r.
func (r Range) Covers(o Range) bool { return r.From.Compare(o.From) <= 0 && o.To.Compare(r.To) <= 0 }

// Meets reports whether r and o have a number in common.
func (r Range) Meets(o Range) bool { return r.From.Compare(o.To) <= 0 && o.From.Compare(r.To) <= 0 }

// Meet returns what r and o have in common, and whether that is anything.
func (r Range) Meet(o Range) (Range, bool) {
	if o.From.Compare(r.From) > 0 {
		r.From = o.From
	}
	if o.To.Compare(r.To) < 0 {
		r.To = o.To
	}
	return r, r.From.Compare(r.To) <= 0
}

// Hull returns the smallest range around both.
func (r Range) Hull(o Range) Range {
	if o.From.Compare(r.From) < 0 {
		r.From = o.From
	}
	if o.To.Compare(r.To) > 0 {
		r.To = o.To
	}
	return r
}
