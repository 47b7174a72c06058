package api

import "time"

// A Message is one IKE message as it was sent or received, decoded for people.
// It holds no key, no secret and nothing from which one could be derived:
// nonces, public values, proofs of identity and passwords are given by their
// length alone.
type Message struct {
	Time       time.Time `json:"time"`
	Connection string    `json:"connection,omitempty"`
	Sent       bool      `json:"sent"`
	Local      string    `json:"local"` // address and port
	Remote     string    `json:"remote"`
	Exchange   string    `json:"exchange"` // "IKE_SA_INIT"
	Request    bool      `json:"request"`
	MessageID  uint32    `json:"message_id"`
	SPIi       string    `json:"spi_i"` // 16 hex digits
	SPIr       string    `json:"spi_r"`
	Size       int       `json:"size"`                 // bytes of IKE on the wire, of all fragments
	Fragments  int       `json:"fragments,omitempty"`  // 0: not fragmented
	Retransmit int       `json:"retransmit,omitempty"` // 1 for the first repetition
	Encrypted  bool      `json:"encrypted,omitempty"`
	Payloads   []Payload `json:"payloads"`
	// Problem says why the message was dropped or could not be decoded.
	Problem string `json:"problem,omitempty"`
}

// A Payload is one payload of a Message.
type Payload struct {
	Name   string  `json:"name"` // "SA", "N(NAT_DETECTION_SOURCE_IP)"
	Size   int     `json:"size"` // bytes with its header
	Fields []Field `json:"fields,omitempty"`
}

// A Field is a named value of a Payload, in words.
type Field struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}
