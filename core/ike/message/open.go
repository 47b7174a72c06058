package message

import "fmt"

// Open authenticates, decrypts and parses a datagram whose only payload is an
// Encrypted payload, and returns its header and the payloads inside, which
// alias a new buffer. datagram is left as it was.
//
// Payloads in the clear before the Encrypted payload, which RFC 7296 allows
// and nobody sends, are refused: no caller can mix them up with protected ones.
//
// A *SyntaxError means that the message authenticated; the header that comes
// with it is then valid. After any other error drop the datagram.
func Open(datagram []byte, p Protection) (Message, error) {
	h, payload, err := parseProtected(datagram)
	if err != nil {
		return Message{}, err
	}
	sk, ok := payload.(*Encrypted)
	if !ok {
		return Message{}, fmt.Errorf("message: payload %v instead of SK: %w", payload.Type(), ErrMalformed)
	}
	plain, err := unseal(datagram, sk.Body, p)
	if err != nil {
		return Message{}, err
	}
	return openedMessage(h, sk.First, plain)
}

// parseProtected parses a datagram that has to hold one Encrypted or Fragment
// payload and nothing else.
func parseProtected(datagram []byte) (Header, Payload, error) {
	h, first, err := parseHeader(datagram)
	if err != nil {
		return Header{}, nil, err
	}
	if first != PayloadSK && first != PayloadSKF {
		return Header{}, nil, fmt.Errorf("message: payload %v is not protected: %w", first, ErrMalformed)
	}
	payloads, err := parseChain(first, datagram[HeaderLen:], false)
	if err != nil {
		return Header{}, nil, fmt.Errorf("message: %w", err)
	}
	return h, payloads[0], nil
}

// unseal opens body, the end of datagram, into a new buffer. All of the
// datagram before it is authenticated with it.
func unseal(datagram, body []byte, p Protection) ([]byte, error) {
	plain, err := p.Open(nil, datagram[:len(datagram)-len(body)], body)
	if err != nil {
		return nil, fmt.Errorf("message: %w: %w", ErrIntegrity, err)
	}
	return plain, nil
}

// openedMessage parses authenticated plaintext.
func openedMessage(h Header, first PayloadType, plain []byte) (Message, error) {
	payloads, err := parseChain(first, plain, true)
	if err != nil {
		return Message{Header: h}, &SyntaxError{err}
	}
	return Message{h, payloads}, nil
}
