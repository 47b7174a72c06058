package secret

import (
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

// privateACL lets LocalSystem and administrators in, and nobody else; files in
// the folder inherit it.
const privateACL = "D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)"

// protect sets the access control list of a private folder.
func protect(dir string, private bool) error {
	if !private {
		return nil
	}
	sd, err := windows.SecurityDescriptorFromString(privateACL)
	if err != nil {
		return err
	}
	dacl, _, err := sd.DACL()
	if err != nil {
		return err
	}
	return windows.SetNamedSecurityInfo(dir, windows.SE_FILE_OBJECT,
		windows.DACL_SECURITY_INFORMATION|windows.PROTECTED_DACL_SECURITY_INFORMATION, nil, nil, dacl, nil)
}

// check has nothing to do: the mode of a file says nothing here, and protect
// has set the folder's list.
func check(string, fs.FileInfo, bool) error { return nil }

func openNoFollow(path string) (*os.File, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	return os.Open(path)
}
