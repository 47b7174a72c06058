// Package atomicfile writes files so that a reader, or a machine that lost
// power, finds either the old content or the new one.
package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// prefix marks files that are not complete yet. Names of Files never start
// with a dot.
const prefix = ".new-"

// Write replaces the file path by one that holds data.
func Write(path string, data []byte, perm fs.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), prefix)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err := f.Chmod(perm); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// Sweep removes what Writes that never ended left in a folder.
func Sweep(dir string) error {
	left, err := filepath.Glob(filepath.Join(dir, prefix+"*"))
	for _, f := range left {
		err = errors.Join(err, os.Remove(f))
	}
	return err
}
