//go:build linux || darwin

package cryptoki

import "github.com/ebitengine/purego"

// load loads a library, and returns where it begins to answer.
func load(path string) (uintptr, error) {
	lib, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return 0, err
	}
	return purego.Dlsym(lib, "C_GetFunctionList")
}
