package token

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// HelperName is the name of the program that loads modules. It lies beside the
// service's own.
const HelperName = "sallyport-token"

// maxModules bounds the modules of a service.
const maxModules = 8

// Configured returns the modules to use: those given, or else those that the
// file lists, or else what lies where such modules are installed. "none" alone
// stands for none.
func Configured(given []string, file string) ([]string, error) {
	if len(given) == 0 {
		listed, err := readList(file)
		if err != nil {
			return nil, err
		}
		if given = listed; listed == nil {
			return wellKnown(), nil
		}
	}
	if slices.Equal(given, []string{"none"}) {
		return nil, nil
	}
	if len(given) > maxModules {
		return nil, fmt.Errorf("%d PKCS #11 modules are too many (limit %d)", len(given), maxModules)
	}
	for _, m := range given {
		if !filepath.IsAbs(m) {
			return nil, fmt.Errorf("the PKCS #11 module %q is not a full path", m)
		}
	}
	return given, nil
}

// readList reads a file of one path a line; nil when there is no such file.
func readList(file string) ([]string, error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the list of PKCS #11 modules: %w", err)
	}
	list := []string{}
	for line := range strings.Lines(string(b)) {
		if line, _, _ = strings.Cut(line, "#"); strings.TrimSpace(line) != "" {
			list = append(list, strings.TrimSpace(line))
		}
	}
	if len(list) == 0 {
		list = []string{"none"}
	}
	return list, nil
}

// wellKnown returns the modules that are installed where the system's custom is.
func wellKnown() (out []string) {
	for _, m := range places() {
		if checkModule(m) == nil && !slices.ContainsFunc(out, func(o string) bool { return same(o, m) }) && len(out) < maxModules {
			out = append(out, m)
		}
	}
	return out
}

// same reports whether two paths are one file.
func same(a, b string) bool {
	x, err1 := os.Stat(a)
	y, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(x, y)
}

// first returns the first of the paths that is there.
func first(dirs []string, name string) []string {
	for _, d := range dirs {
		p := filepath.Join(d, name)
		if _, err := os.Stat(p); err == nil {
			return []string{p}
		}
	}
	return nil
}
