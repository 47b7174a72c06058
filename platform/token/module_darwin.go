package token

// places returns where modules may lie.
func places() []string {
	return append(first([]string{"/Library/OpenSC/lib", "/usr/local/lib", "/opt/homebrew/lib"}, "opensc-pkcs11.so"),
		first([]string{"/usr/local/lib/softhsm", "/opt/homebrew/lib/softhsm"}, "libsofthsm2.so")...)
}
