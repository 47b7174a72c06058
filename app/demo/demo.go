// Package demo is "sallyport demo": a gateway, a client and the wire between
// them, in namespaces of their own, so that everyone can see the product work
// on one machine, without touching it.
package demo

import (
	"flag"
	"fmt"
	"io"

	"sallyport/core/api"
)

// A Summary is what --json prints.
type Summary struct {
	OK     bool    `json:"ok"`
	Checks []Check `json:"checks"`
	// ConnectMS is the time from the call to the tunnel that carries traffic.
	ConnectMS float64      `json:"connect_ms"`
	Download  *Download    `json:"download,omitempty"`
	Wire      Wire         `json:"wire"`
	Dynamic   *api.Dynamic `json:"dynamic,omitempty"` // the client's SAs
}

// A Check is one statement that the demo proves.
type Check struct {
	What string  `json:"what"`
	OK   bool    `json:"ok"`
	Seen string  `json:"seen,omitempty"`
	MS   float64 `json:"ms"`
}

// A Download is a transfer through the tunnel.
type Download struct {
	Bytes   int64   `json:"bytes"`
	Seconds float64 `json:"seconds"`
}

// A Wire counts the packets that crossed the wire between client and gateway.
type Wire struct {
	IKE      int            `json:"ike"`
	ESP      int            `json:"esp"`
	ESPBytes int            `json:"esp_bytes"`
	Infra    int            `json:"infrastructure"` // ARP, IPv6 neighbour discovery
	Clear    map[string]int `json:"clear"`          // everything else, by what it is
	Secret   int            `json:"secret"`         // packets in which the page's text could be read
	Missed   int            `json:"missed"`         // not seen for want of buffers
}

type options struct {
	json, keep bool
	noWindow   bool
}

func parse(args []string, out io.Writer) (o options, help bool, err error) {
	f := flag.NewFlagSet("demo", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.BoolVar(&o.json, "json", false, "")
	f.BoolVar(&o.keep, "keep", false, "")
	f.BoolVar(&o.noWindow, "no-window", false, "")
	f.String("socket", "", "") // of every verb; the demo has services of its own
	switch err := f.Parse(args); {
	case err == flag.ErrHelp:
		fmt.Fprint(out, usage)
		return o, true, nil
	case err != nil:
		return o, false, &api.Error{Code: api.CodeUsage, What: fmt.Sprintf("The demo does not know this: %v.", err), Next: "`sallyport demo --help` shows how to use it."}
	case f.NArg() > 0:
		return o, false, &api.Error{Code: api.CodeUsage, What: fmt.Sprintf("The demo takes no arguments, and got %q.", f.Arg(0)), Next: "`sallyport demo --help` shows how to use it."}
	}
	return o, false, nil
}

const usage = `Show it all on this machine alone: a gateway, a client, and what the wire sees.

The demo makes two network namespaces joined by a virtual cable, starts the
service in each, connects, fetches a web page through the tunnel, and reads
every packet on the cable. Nothing of the machine is touched, and everything is
gone when the demo ends. It needs root, or user namespaces, and /dev/net/tun.

Usage:
  sallyport demo [flags]

Flags:
  --keep       leave gateway and client running until Ctrl-C, to look around
  --no-window  do not open the window on the client, although there is a display
  --json       answer in JSON

Where there is a display and the program of the window, that opens on the
client; the demo ends when it is quit, or with Ctrl-C.
`
