package token

import (
	"path/filepath"
	"strings"
)

var libraries = []string{"/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"}

// places returns where modules may lie. p11-kit knows all that are registered
// with it; where nothing is, they are looked for one by one.
func places() []string {
	for _, pattern := range []string{"/etc/pkcs11/modules/*.module", "/usr/share/p11-kit/modules/*.module"} {
		registered, err := filepath.Glob(pattern)
		if err != nil {
			continue
		}
		for _, r := range registered {
			if !strings.HasPrefix(filepath.Base(r), "p11-kit-") { // the authorities that the system trusts
				if p := first(libraries, "p11-kit-proxy.so"); p != nil {
					return p
				}
			}
		}
	}
	return append(first(libraries, "opensc-pkcs11.so"), first(libraries, "softhsm/libsofthsm2.so")...)
}
