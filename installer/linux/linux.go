// Package linux holds what is installed on a Linux machine beside the binaries.
package linux

import _ "embed"

// Unit is the systemd unit of the service, as packages install it.
//
//go:embed sallyportd.service
var Unit string
