//go:build !amd64 || purego

package gcm

import "crypto/cipher"

// wide is a variable because it is one where there is a choice.
var wide = false

func newWide([]byte) cipher.AEAD { panic("gcm: not built in") }
