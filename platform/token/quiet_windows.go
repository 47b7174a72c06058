package token

import (
	"os"

	"golang.org/x/sys/windows"
)

// quiet leads what is printed into nothing, and returns the standard output that
// was.
func quiet() (*os.File, error) {
	out := os.Stdout
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	// It stays open: the handle is the module's from now on.
	return out, windows.SetStdHandle(windows.STD_OUTPUT_HANDLE, windows.Handle(null.Fd()))
}
