//go:build !amd64 || purego

package gcm

import "crypto/cipher"

// lanes is a variable because it is one where there is a choice.
var lanes = 1

func newWide([]byte) cipher.AEAD { panic("gcm: not built in") }
