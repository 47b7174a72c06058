package tray

import (
	"context"
	"fmt"
	"time"

	"github.com/godbus/dbus/v5"
)

// patience is how long the session's bus may take to answer.
const patience = 2 * time.Second

// Available reports whether this session has a panel that shows the icon: a
// StatusNotifier host. GNOME has none without an extension.
func Available() bool {
	ok := false
	_ = withBus(func(ctx context.Context, c *dbus.Conn) error {
		v, err := c.Object("org.kde.StatusNotifierWatcher", "/StatusNotifierWatcher").
			GetProperty("org.kde.StatusNotifierWatcher.IsStatusNotifierHostRegistered")
		if err == nil {
			ok, _ = v.Value().(bool)
		}
		return err
	})
	return ok
}

// Notify shows a notification through the session's bus
// (org.freedesktop.Notifications): it needs no window.
func Notify(title, body string) error {
	return withBus(func(ctx context.Context, c *dbus.Conn) error {
		call := c.Object("org.freedesktop.Notifications", "/org/freedesktop/Notifications").CallWithContext(ctx,
			"org.freedesktop.Notifications.Notify", 0, "Sallyport", uint32(0), "sallyport", title, body,
			[]string{}, map[string]dbus.Variant{}, int32(-1))
		return call.Err
	})
}

// withBus calls f with a connection of its own: the tray closes the shared one.
func withBus(f func(context.Context, *dbus.Conn) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := dbus.ConnectSessionBus(dbus.WithContext(ctx))
	if err != nil {
		return fmt.Errorf("session bus: %w", err)
	}
	defer c.Close()
	return f(ctx, c)
}
