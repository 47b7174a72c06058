// Sallyport-gui is the window and the tray of the VPN client. It shows what the
// service says and asks the service for what the user wants; the service goes
// on without it.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"

	"sallyport/app/i18n"
	"sallyport/app/prefs"
	"sallyport/app/single"
	"sallyport/app/ui/kit"
	"sallyport/core/api"
	"sallyport/platform/ipc/client"
)

// The exit codes are those of the command line.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

const usage = `The window and the tray icon of Sallyport.

Usage:
  sallyport-gui [flags] [FILE...]

FILEs are profiles to import. Started twice, it brings up the window that is
there.

Flags:
  --socket PATH  where the service listens
  --page NAME    open on this page: connections, policies, monitor, diagnosis, settings
  --hidden       start in the tray
  --trace FILE   append what is shown, a line of JSON for each change (for tests)
  --version      print the version
`

// options are what the command line says.
type options struct {
	socket  string
	page    kit.Page
	hidden  bool
	trace   string
	version bool
	probe   bool // internal: see probe
	files   []string
}

func parse(args []string) (o options, err error) {
	f := flag.NewFlagSet("sallyport-gui", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&o.socket, "socket", client.DefaultSocket, "")
	page := f.String("page", "", "")
	f.BoolVar(&o.hidden, "hidden", false, "")
	f.StringVar(&o.trace, "trace", "", "")
	f.BoolVar(&o.version, "version", false, "")
	f.BoolVar(&o.probe, "probe-gl", false, "")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	o.page = kit.Page(*page)
	if known := []kit.Page{"", kit.Connections, kit.Policies, kit.Monitor, kit.Diagnosis, kit.Settings}; !slices.Contains(known, o.page) {
		return o, fmt.Errorf("there is no page %q", *page)
	}
	for _, p := range f.Args() {
		abs, err := filepath.Abs(p)
		if err != nil {
			return o, err
		}
		o.files = append(o.files, abs)
	}
	return o, nil
}

// spare is how much memory, in percent of what is in use, may wait to be
// collected. We allocate little while nothing happens, and much at once when a
// long log comes in: a quarter keeps us small for a rare moment's work.
const spare = 25

func main() {
	debug.SetGCPercent(spare)
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, out, errs io.Writer) int {
	o, err := parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(out, usage)
		return exitOK
	case err != nil:
		fmt.Fprintf(errs, "sallyport-gui: %v\n\n%s", err, usage)
		return exitUsage
	case o.version:
		fmt.Fprintf(out, "sallyport-gui %s\n", api.Version)
		return exitOK
	case o.probe:
		return probeGL(errs)
	}
	p, err := newProgram(o)
	if err != nil {
		fmt.Fprintf(errs, "sallyport-gui: %v\n", err)
		return exitFailed
	}
	defer p.close()
	i18n.Use(p.prefs.Get().Language)
	p.release, err = single.Claim(o.socket, single.Message{Page: string(o.page), Files: o.files, Quiet: o.hidden}, p.again)
	switch {
	case errors.Is(err, single.ErrRunning):
		return exitOK
	case err != nil:
		// Two windows are better than none.
		fmt.Fprintf(errs, "sallyport-gui: %s\n", i18n.T("app.twice", "Why", err.Error()))
	}
	return p.run(errs)
}

// openPrefs opens the choices of the user; without a place for them they hold
// for this run.
func openPrefs(errs io.Writer) *prefs.Store {
	path, err := prefs.Path()
	if err != nil {
		path = ""
	}
	s, err := prefs.Open(path)
	if err != nil && path != "" {
		fmt.Fprintf(errs, "sallyport-gui: %v\n", err)
	}
	return s
}
