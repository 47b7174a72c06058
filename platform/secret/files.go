// Package secret keeps the service's small files: connection profiles,
// certificates, and the secrets that nobody else may read.
package secret

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"sallyport/core/host"
	"sallyport/platform/internal/atomicfile"
)

// Limits of what a name and a file may be. The largest file is the one with the
// assigned policy's text, of up to 2 MiB, in base64.
const (
	maxName = 128
	maxFile = 4 << 20
)

// Files is a flat folder of small files.
type Files struct {
	dir     string
	private bool
}

var _ host.Files = (*Files)(nil)

// Open opens a folder and creates it if need be. Of a private folder and its
// files, nobody but the owner may read anything; of any other, nobody else may
// write. A folder that is not so is refused with host.ErrUnsafe.
func Open(dir string, private bool) (*Files, error) {
	f := &Files{dir, private}
	if err := os.MkdirAll(dir, f.mode(0o755)); err != nil {
		return nil, fmt.Errorf("create folder: %w", err)
	}
	if err := protect(dir, private); err != nil {
		return nil, fmt.Errorf("protect folder %s: %w", dir, err)
	}
	if err := CheckFolder(dir, private); err != nil {
		return nil, err
	}
	if err := atomicfile.Sweep(dir); err != nil {
		return nil, fmt.Errorf("sweep folder %s: %w", dir, err)
	}
	return f, nil
}

// CheckFolder refuses, with host.ErrUnsafe, a folder that belongs to another
// user, or that others may write or (when it is private) read.
func CheckFolder(dir string, private bool) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a folder", dir)
	}
	return check(dir, info, private)
}

func (f *Files) mode(public fs.FileMode) fs.FileMode {
	if f.private {
		return public & 0o700
	}
	return public
}

// List implements host.Files. It leaves out folders and whatever a Write could
// not have made.
func (f *Files) List() ([]string, error) {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return nil, err
	}
	names := []string{}
	for _, e := range entries {
		if e.Type().IsRegular() && checkName(e.Name()) == nil {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// Read implements host.Files. It refuses links, and files that others may read
// (of a private folder) or write.
func (f *Files) Read(name string) ([]byte, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	path := filepath.Join(f.dir, name)
	file, err := openNoFollow(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	if err := check(path, info, f.private); err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxFile {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	}
	return b, nil
}

// Write implements host.Files.
func (f *Files) Write(name string, data []byte) error {
	if err := checkName(name); err != nil {
		return err
	}
	if len(data) > maxFile {
		return fmt.Errorf("write %s: %d bytes are more than %d", name, len(data), maxFile)
	}
	if err := atomicfile.Write(filepath.Join(f.dir, name), data, f.mode(0o644)); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// Remove implements host.Files.
func (f *Files) Remove(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(f.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// checkName takes names that are plain on every system: no path, no hidden
// file, no device or stream of Windows.
func checkName(name string) error {
	ok := name != "" && len(name) <= maxName && utf8.ValidString(name) &&
		name[0] != '.' && !strings.HasSuffix(name, ".") && !strings.HasSuffix(name, " ") &&
		!strings.ContainsAny(name, `/\:*?"<>|`) && !strings.ContainsFunc(name, unicode.IsControl)
	stem, _, _ := strings.Cut(strings.ToLower(name), ".")
	switch stem {
	case "con", "prn", "aux", "nul", "conin$", "conout$":
		ok = false
	}
	if len(stem) == 4 && (strings.HasPrefix(stem, "com") || strings.HasPrefix(stem, "lpt")) && unicode.IsDigit(rune(stem[3])) {
		ok = false
	}
	if !ok {
		return fmt.Errorf("%q is not a file name: %w", name, fs.ErrInvalid)
	}
	return nil
}
