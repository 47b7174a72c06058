package paths

import (
	"path/filepath"

	"golang.org/x/sys/windows"
)

// ConfigDir holds connection profiles, certificates and secrets.
func ConfigDir() string { return filepath.Join(programData(), "Sallyport", "Config") }

// StateDir holds the journals that undo changes of the machine.
func StateDir() string { return filepath.Join(programData(), "Sallyport", "State") }

// Socket is where the service listens to front ends: a named pipe, under the
// prefix where only administrators can create one.
func Socket() string { return `\\.\pipe\ProtectedPrefix\Administrators\sallyport` }

// programData asks the system rather than the environment, which the caller of
// a front end controls.
func programData() string {
	dir, err := windows.KnownFolderPath(windows.FOLDERID_ProgramData, windows.KF_FLAG_DEFAULT)
	if err != nil {
		return `C:\ProgramData`
	}
	return dir
}
