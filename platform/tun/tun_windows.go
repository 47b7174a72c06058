package tun

import (
	"errors"
	"fmt"

	"golang.org/x/sys/windows"
	wgtun "golang.zx2c4.com/wireguard/tun"

	"sallyport/core/host"
)

const driverAdvice = "put wintun.dll beside the service"

func openDevice(name string, mtu int) (wgtun.Device, error) { return wgtun.CreateTUN(name, mtu) }

func isNoDriver(err error) bool { return errors.Is(err, windows.ERROR_MOD_NOT_FOUND) }

// SetMTU implements host.TUN.
func (d *Device) SetMTU(mtu int) error {
	return fmt.Errorf("set MTU %d of TUN device %s: %w", mtu, d.name, host.ErrUnsupported)
}
