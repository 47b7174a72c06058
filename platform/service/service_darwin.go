package service

import (
	"fmt"
	"os"

	kardianos "github.com/kardianos/service"

	"sallyport/core/host"
)

// options start the service at boot, which launchd does not by itself.
func options() kardianos.KeyValue { return kardianos.KeyValue{"RunAtLoad": true, "KeepAlive": true} }

func checkInstall() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: run it as root", host.ErrPrivilege)
	}
	return nil
}
