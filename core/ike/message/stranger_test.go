package message

import "testing"

func TestFromStranger(t *testing.T) {
	nonce, cookie := &Nonce{Data: make([]byte, 16)}, &Notify{Kind: NotifyCookie, Data: make([]byte, 8)}
	for name, c := range map[string]struct {
		m    Message
		want bool
	}{
		"request":            {Message{Header{InitiatorSPI: 1, Exchange: IKESAInit, Flags: FlagInitiator}, []Payload{nonce}}, true},
		"resumption":         {Message{Header{InitiatorSPI: 1, Exchange: IKESessionResume, Flags: FlagInitiator}, []Payload{nonce}}, true},
		"with a cookie":      {Message{Header{InitiatorSPI: 1, Exchange: IKESAInit, Flags: FlagInitiator}, []Payload{cookie, nonce}}, false},
		"answer":             {Message{Header{InitiatorSPI: 1, ResponderSPI: 2, Exchange: IKESAInit, Flags: FlagResponse}, []Payload{nonce}}, false},
		"answer without SPI": {Message{Header{InitiatorSPI: 1, Exchange: IKESAInit, Flags: FlagResponse}, []Payload{cookie}}, false},
		"informational":      {Message{Header{InitiatorSPI: 1, ResponderSPI: 2, Exchange: Informational, Flags: FlagInitiator}, []Payload{cookie}}, false},
	} {
		b, err := c.m.AppendTo(nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := FromStranger(b); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
		if FromStranger(b[:len(b)-1]) {
			t.Errorf("%s: cut off, and taken for one", name)
		}
	}
}
