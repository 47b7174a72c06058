// Sallyport is the command line of the VPN client.
package main

import (
	"os"

	"sallyport/app/cli"
	"sallyport/app/demo"
)

func main() { os.Exit(cli.Main(demo.Run)) }
