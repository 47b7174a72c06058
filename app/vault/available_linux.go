package vault

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/godbus/dbus/v5"
)

// secrets is the Secret Service's name on the session's bus.
const secrets = "org.freedesktop.secrets"

// patience is how long the bus may take to say who is on it.
const patience = 2 * time.Second

// available reports whether somebody offers the Secret Service, or would when
// asked. A bus that does not run is not started: a session without one has no
// keyring either, and the one that would be started belongs to no session.
func available() bool {
	if os.Getenv("DBUS_SESSION_BUS_ADDRESS") == "" {
		if _, err := os.Stat(filepath.Join("/run/user", strconv.Itoa(os.Getuid()), "bus")); err != nil {
			return false
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := dbus.ConnectSessionBus(dbus.WithContext(ctx))
	if err != nil {
		return false
	}
	defer conn.Close()
	for _, method := range []string{"ListNames", "ListActivatableNames"} {
		var names []string
		if conn.BusObject().CallWithContext(ctx, "org.freedesktop.DBus."+method, 0).Store(&names) == nil && slices.Contains(names, secrets) {
			return true
		}
	}
	return false
}
