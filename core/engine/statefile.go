package engine

import (
	"encoding/json"
	"errors"
	"io/fs"

	"sallyport/core/host"
)

// loadState reads what is remembered under a name into v, which stays as it is when
// nothing is. After an error v holds nothing of use.
func loadState(files host.Files, name string, v any) error {
	b, err := files.Read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	return err
}

// saveState remembers v under a name.
func saveState(files host.Files, name string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return files.Write(name, b)
}
