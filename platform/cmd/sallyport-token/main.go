// Sallyport-token loads one PKCS #11 module for the service and speaks with it,
// so that a module which breaks down or hangs takes this process with it and no
// tunnel. The service starts it, on standard input and output; it is of no use to
// anybody else.
package main

import (
	"fmt"
	"os"

	"sallyport/platform/token"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "sallyport-token is started by sallyportd")
		os.Exit(2)
	}
	if err := token.Help(os.Args[1]); err != nil {
		fmt.Fprintf(os.Stderr, "sallyport-token: %v\n", err)
		os.Exit(1)
	}
}
