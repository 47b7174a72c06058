package canary

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf16"

	//lint:ignore SA1019 the hash of a password that MSCHAPv2 works with
	"golang.org/x/crypto/md4"
)

const secret = "canary <\"Grüße\\\u2603🔑> of the mine"

// Whatever a careless program makes of a secret is found.
func TestFind(t *testing.T) {
	var wide []byte
	for _, u := range utf16.Encode([]rune(secret)) {
		wide = append(wide, byte(u), byte(u>>8))
	}
	h := md4.New()
	h.Write(wide)
	nested, err := json.Marshal(map[string]any{"text": secret})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"as it is":         "password: " + secret + "\n",
		"%q":               fmt.Sprintf("password %q", secret),
		"%+q":              fmt.Sprintf("password %+q", secret),
		"%v of bytes":      fmt.Sprintf("%v", []byte("x"+secret+"y")),
		"%#v of bytes":     fmt.Sprintf("%#v", []byte(secret)),
		"hex":              "0x" + hex.EncodeToString([]byte("ab"+secret)),
		"upper-case hex":   strings.ToUpper(hex.EncodeToString([]byte(secret))),
		"% x":              fmt.Sprintf("% x", secret),
		"JSON":             string(nested),
		"UTF-16":           string(wide),
		"UTF-16 in hex":    hex.EncodeToString(wide),
		"NT hash in hex":   hex.EncodeToString(h.Sum(nil)),
		"NT hash in bytes": string(h.Sum(nil)),
	} {
		if Find([]byte("so it says "+text+" and more"), []byte("something else"), []byte(secret)) == nil {
			t.Errorf("%s is not found", name)
		}
	}
	for shift := range 7 {
		for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.RawURLEncoding} {
			text := enc.EncodeToString(append(bytes.Repeat([]byte("?"), shift), secret+strings.Repeat("!", shift)...))
			if Find([]byte(text), []byte(secret)) == nil {
				t.Errorf("base64 after %d bytes is not found", shift)
			}
		}
	}
	if found := Find([]byte("canary of the mine, the secret is not told: 63616e617279"), []byte(secret)); found != nil {
		t.Errorf("found %v where it is not", found)
	}
}
