package message

// FromStranger reports whether a datagram is the first word of somebody who has
// heard nothing from us: a request for a new IKE SA without a cookie, which comes
// first where there is one (RFC 7296, section 2.6). Whoever only claims to have
// heard us costs no more than a look at the cookie, or for the SPI.
func FromStranger(datagram []byte) bool {
	h, first, err := parseHeader(datagram)
	return err == nil && !h.Response() && h.ResponderSPI == 0 && first != PayloadNotify &&
		(h.Exchange == IKESAInit || h.Exchange == IKESessionResume)
}
