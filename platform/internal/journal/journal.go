// Package journal keeps the notes that undo a change of the machine after a
// crash: a small JSON file, written before the change and removed after the
// undoing.
package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"sallyport/platform/internal/atomicfile"
)

// limit bounds what is read of a file that may be damaged.
const limit = 4 << 20

// Save writes v to path.
func Save(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "\t")
	if err == nil {
		err = atomicfile.Write(path, append(b, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("write journal %s: %w", path, err)
	}
	return nil
}

// Load reads path into v, and reports whether there was something to read.
func Load(path string, v any) (found bool, err error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil && info.Size() > limit {
		err = fmt.Errorf("%d bytes long", info.Size())
	}
	var b []byte
	if err == nil {
		b, err = os.ReadFile(path)
	}
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		return false, fmt.Errorf("read journal %s: %w", path, err)
	}
	return true, nil
}

// Remove forgets the journal.
func Remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove journal: %w", err)
	}
	return nil
}
