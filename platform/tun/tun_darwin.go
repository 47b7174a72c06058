package tun

import (
	"fmt"

	"golang.org/x/sys/unix"
	wgtun "golang.zx2c4.com/wireguard/tun"
)

const driverAdvice = "utun is part of the system"

func openDevice(name string, mtu int) (wgtun.Device, error) { return wgtun.CreateTUN(name, mtu) }

func isNoDriver(error) bool { return false }

// SetMTU implements host.TUN.
func (d *Device) SetMTU(mtu int) error {
	err := checkMTU(mtu)
	if err == nil {
		err = ioctlMTU(d.name, mtu)
	}
	if err != nil {
		return fmt.Errorf("set MTU %d of TUN device %s: %w", mtu, d.name, err)
	}
	return nil
}

func ioctlMTU(name string, mtu int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr := unix.IfreqMTU{MTU: int32(mtu)}
	copy(ifr.Name[:len(ifr.Name)-1], name)
	return unix.IoctlSetIfreqMTU(fd, &ifr)
}
