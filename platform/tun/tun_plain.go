//go:build windows || darwin

package tun

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	wgtun "golang.zx2c4.com/wireguard/tun"

	"sallyport/core/host"
)

// A Device is a TUN device: wintun on Windows, utun on macOS. It vanishes when
// it is closed, or when the process dies.
type Device struct {
	dev  wgtun.Device
	name string

	readBufs, writeBufs [1][]byte
	sizes               [1]int

	close    sync.Once
	closeErr error
	events   sync.WaitGroup // the goroutine that drains the device's events
}

// Open creates the device. On macOS name is "utun" or "utunN". The errors are
// host.ErrNoTUN, host.ErrPrivilege and host.ErrUnsupported.
func Open(name string, mtu int) (*Device, error) {
	if err := checkMTU(mtu); err != nil {
		return nil, fmt.Errorf("open TUN device %s: %w", name, err)
	}
	dev, err := openDevice(name, mtu)
	if err != nil {
		return nil, openError(name, err)
	}
	actual, err := dev.Name()
	if err != nil {
		dev.Close()
		return nil, openError(name, err)
	}
	d := &Device{dev: dev, name: actual}
	d.events.Go(func() {
		// Nobody here asks for them, but an undrained channel stops the sender.
		for range dev.Events() {
		}
	})
	return d, nil
}

func openError(name string, err error) error {
	switch {
	case isNoDriver(err):
		return fmt.Errorf("open TUN device %s: %w: %s (%w)", name, host.ErrNoTUN, driverAdvice, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("open TUN device %s: %w: run the service as administrator (%w)", name, host.ErrPrivilege, err)
	}
	return fmt.Errorf("open TUN device %s: %w", name, err)
}

// Name returns the name that the system gave the device.
func (d *Device) Name() string { return d.name }

// Offload implements host.TUN: there is none.
func (d *Device) Offload() (tcp, udp bool) { return false, false }

// Read implements host.TUN. The error is os.ErrClosed after Close.
func (d *Device) Read(b []byte) (int, error) {
	if len(b) < host.VNetLen {
		return 0, fmt.Errorf("read TUN device %s: buffer of %d bytes", d.name, len(b))
	}
	d.readBufs[0] = b
	_, err := d.dev.Read(d.readBufs[:], d.sizes[:], host.VNetLen)
	d.readBufs[0] = nil
	if err != nil {
		return 0, err
	}
	clear(b[:host.VNetLen]) // macOS leaves its own header there
	return host.VNetLen + d.sizes[0], nil
}

// Write implements host.TUN. It may scribble over the header in b.
func (d *Device) Write(b []byte) (int, error) {
	if len(b) <= host.VNetLen {
		return 0, fmt.Errorf("write TUN device %s: packet of %d bytes", d.name, len(b))
	}
	d.writeBufs[0] = b
	_, err := d.dev.Write(d.writeBufs[:], host.VNetLen)
	d.writeBufs[0] = nil
	if err != nil {
		return 0, err
	}
	return len(b), nil
}

// Close removes the device and unblocks Read.
func (d *Device) Close() error {
	d.close.Do(func() {
		d.closeErr = d.dev.Close()
		d.events.Wait()
	})
	if errors.Is(d.closeErr, os.ErrClosed) {
		return nil
	}
	return d.closeErr
}
