package token

import (
	"io"
	"os"
	"time"

	"sallyport/platform/token/internal/helper"
)

// Help is the main function of the helper: it serves the module at path until
// the service is gone.
func Help(path string) error {
	out, err := quiet() // what the module prints is no answer of ours
	if err != nil {
		return err
	}
	r, w := io.Pipe()
	go func() {
		_, err := io.Copy(w, os.Stdin)
		_ = w.CloseWithError(err) // never fails
		// A module that hangs now would stay for ever.
		time.AfterFunc(2*time.Second, func() { os.Exit(1) })
	}()
	return helper.New(path).Serve(r, out)
}
