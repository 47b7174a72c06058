package service

import (
	"fmt"
	"os"
	"strings"

	kardianos "github.com/kardianos/service"

	"sallyport/core/host"
	"sallyport/installer/linux"
)

// packagedPath is where packages put the binary that their unit starts.
const packagedPath = "/usr/bin/sallyportd"

// options hand our unit to the library, whose own has no hardening.
func options() kardianos.KeyValue { return kardianos.KeyValue{"SystemdScript": unitTemplate()} }

// unitTemplate is the packaged unit with the binary's path left to the library.
func unitTemplate() string {
	return strings.ReplaceAll(linux.Unit, packagedPath, "{{Path | cmdEscape}}")
}

// checkInstall keeps from installing over a package: a unit in /etc would
// shadow the package's own, also after an upgrade.
func checkInstall() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: run it as root", host.ErrPrivilege)
	}
	for _, dir := range []string{"/etc/systemd/system/", "/usr/lib/systemd/system/", "/lib/systemd/system/"} {
		if _, err := os.Lstat(dir + Name + ".service"); err == nil {
			return fmt.Errorf("%w: %s%s.service", ErrInstalled, dir, Name)
		}
	}
	return nil
}
