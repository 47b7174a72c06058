// Sallyport is the command line of the VPN client.
package main

import (
	"os"

	"sallyport/app/cli"
)

func main() { os.Exit(cli.Main(nil)) }
