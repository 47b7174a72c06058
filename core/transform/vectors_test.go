package transform

import (
	"encoding/hex"
	"strings"
	"testing"
)

// unhex decodes hex with any white space.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// counting is a source of reproducible bytes.
type counting byte

func (c *counting) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(*c)
		*c++
	}
	return len(b), nil
}

func encr(id ID, bits uint16) Transform { return Transform{TypeEncr, id, bits} }
func prf(id ID) Transform               { return Transform{TypePRF, id, 0} }
func integ(id ID) Transform             { return Transform{TypeInteg, id, 0} }
func ke(id ID) Transform                { return Transform{TypeKE, id, 0} }
func esn(id ID) Transform               { return Transform{TypeESN, id, 0} }
