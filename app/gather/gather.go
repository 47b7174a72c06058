// Package gather reads the files that an import needs, with the rights of the
// user in front of it: the service opens no path that a caller names, and only
// says which names it misses. It knows no toolkit and no command line.
package gather

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"sallyport/core/api"
)

// Limits of one import. The bytes fit the service's limit as base64.
const (
	maxRounds   = 32 // an include in an include in an include ...
	maxFiles    = 512
	maxFile     = 8 << 20
	maxBytes    = 20 << 20
	maxPatterns = 512
	maxNames    = 10000 // names looked at in one folder
)

// Files are a file to import and what lies beside it that the service asked for.
type Files struct {
	dir   string // of the main file
	files []api.File
	asked []string
	bytes int
	// unreadable tells which wanted files exist and could not be read.
	unreadable []string
}

// Open reads the file that the user named.
func Open(path string) (*Files, error) {
	data, err := Named(path, maxFile)
	if err != nil {
		return nil, err
	}
	return &Files{dir: filepath.Dir(path), files: []api.File{{Path: path, Data: data}}, bytes: len(data)}, nil
}

// Path is the file that the user named.
func (g *Files) Path() string { return g.files[0].Path }

// Request returns req with the files as far as they are read.
func (g *Files) Request(req api.ImportRequest) api.ImportRequest {
	req.Files, req.Asked = g.files, g.asked
	return req
}

// Import asks the service to import, and brings what it misses until it is
// content.
func (g *Files) Import(ctx context.Context, service api.Backend, req api.ImportRequest) (api.ImportResult, error) {
	var res api.ImportResult
	err := g.bring(func() ([]string, error) {
		var err error
		res, err = service.Import(ctx, g.Request(req))
		return res.Missing, err
	})
	return res, err
}

// Test asks the service to test what it would import, in the same way.
func (g *Files) Test(ctx context.Context, service api.Backend, req api.ImportRequest) (api.TestResult, error) {
	var res api.TestResult
	err := g.bring(func() ([]string, error) {
		var err error
		res, err = service.Test(ctx, g.Request(req))
		return res.Missing, err
	})
	return res, err
}

// bring asks until nothing is missing any more.
func (g *Files) bring(ask func() (missing []string, err error)) error {
	for range maxRounds {
		missing, err := ask()
		if err != nil || len(missing) == 0 {
			return err
		}
		progress := false
		for _, pattern := range missing {
			if slices.Contains(g.asked, pattern) {
				continue
			}
			if len(g.asked) >= maxPatterns {
				return g.tooMuch(fmt.Sprintf("it refers to more than %d names", maxPatterns))
			}
			progress = true
			g.asked = append(g.asked, pattern)
			if err := g.add(pattern); err != nil {
				return err
			}
		}
		if !progress {
			return &api.Error{Code: api.CodeInternal, What: fmt.Sprintf("%s could not be imported.", g.files[0].Path),
				Why: "The service asks again for files that it has been told about.", Next: "Please report this, with the file if you can."}
		}
	}
	return g.tooMuch(fmt.Sprintf("files in it refer to each other more than %d deep", maxRounds))
}

// add reads the files that a pattern of the service's stands for.
func (g *Files) add(pattern string) error {
	names, err := expand(g.dir, pattern)
	if err != nil {
		return g.tooMuch(err.Error())
	}
	for _, name := range names {
		if slices.ContainsFunc(g.files, func(f api.File) bool { return f.Path == name }) {
			continue
		}
		if len(g.files) >= maxFiles {
			return g.tooMuch(fmt.Sprintf("it refers to more than %d files", maxFiles))
		}
		data, err := ReadFile(within(g.dir, name), min(maxFile, maxBytes-g.bytes))
		switch {
		case errors.Is(err, ErrTooLarge):
			return g.tooMuch(fmt.Sprintf("%s is too large: %d MB are taken for one file, and %d MB for all", name, maxFile>>20, maxBytes>>20))
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		case errors.Is(err, ErrNotRegular) && name != pattern: // a folder that a wildcard met
		case err != nil:
			g.unreadable = append(g.unreadable, fmt.Sprintf("%s: %s", name, Reason(err)))
		default:
			g.files = append(g.files, api.File{Path: name, Data: data})
			g.bytes += len(data)
		}
	}
	return nil
}

func (g *Files) tooMuch(why string) error {
	return &api.Error{Code: api.CodeProfileInvalid, What: fmt.Sprintf("%s could not be imported.", g.files[0].Path),
		Why: capital(why) + ".", Position: &api.Position{File: g.files[0].Path}}
}

// Annotate adds to a failure which files could not be read: often its cause.
func (g *Files) Annotate(err error) error {
	if len(g.unreadable) == 0 {
		return err
	}
	e := *api.AsError(err)
	lines := slices.Clone(g.unreadable)
	for i, l := range lines {
		lines[i] = "Could not read " + l + "."
	}
	e.Why = strings.TrimSpace(e.Why + "\n" + strings.Join(lines, "\n"))
	return &e
}

// Unreadable tells which files were wanted, are there, and could not be read,
// each with the reason.
func (g *Files) Unreadable() []string { return g.unreadable }

// Beside names the files that were read beside the first.
func (g *Files) Beside() []string {
	var names []string
	for _, f := range g.files[1:] {
		names = append(names, f.Path)
	}
	return names
}

// within returns where a name of the importer's lies.
func within(dir, name string) string {
	if name = filepath.FromSlash(name); filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(dir, name)
}

// expand returns the names that a pattern stands for, written as the pattern
// is, sorted. A pattern without wildcards stands for itself. As in a shell,
// wildcards match no leading dot.
func expand(dir, pattern string) ([]string, error) {
	names := []string{""}
	for i, segment := range strings.Split(filepath.ToSlash(pattern), "/") {
		var next []string
		for _, base := range names {
			if i > 0 {
				base += "/"
			}
			if !strings.ContainsAny(segment, `*?[`) {
				next = append(next, base+segment)
				continue
			}
			matches, err := matchIn(within(dir, orDot(base)), segment)
			if err != nil {
				return nil, err
			}
			for _, m := range matches {
				next = append(next, base+m)
			}
			if len(next) > maxFiles {
				return nil, fmt.Errorf("%s stands for more than %d files", pattern, maxFiles)
			}
		}
		names = next
	}
	return names, nil
}

func orDot(base string) string {
	if base == "" {
		return "."
	}
	return base
}

// matchIn returns the names in a folder that match a pattern. A folder that is
// missing, or may not be read, has none.
func matchIn(dir, pattern string) ([]string, error) {
	if _, err := filepath.Match(pattern, ""); err != nil {
		return nil, fmt.Errorf("%s is no valid pattern", pattern)
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, nil
	}
	defer f.Close()
	all, err := f.Readdirnames(maxNames + 1)
	if err != nil {
		return nil, nil
	}
	if len(all) > maxNames {
		return nil, fmt.Errorf("the folder %s holds more than %d names", dir, maxNames)
	}
	var names []string
	for _, name := range all {
		if ok, _ := filepath.Match(pattern, name); ok && (name[0] != '.' || pattern[0] == '.') {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// What else keeps a file from being read.
var (
	ErrNotRegular = errors.New("it is not a regular file")
	ErrTooLarge   = errors.New("it is too large")
)

// Named reads a file of at most limit bytes that the user named; its errors
// are explained.
func Named(path string, limit int) ([]byte, error) {
	data, err := ReadFile(path, limit)
	switch {
	case err == nil:
		return data, nil
	case errors.Is(err, ErrTooLarge):
		return nil, &api.Error{Code: api.CodeUsage, What: fmt.Sprintf("%s is larger than the %s that are taken.", path, size(limit))}
	}
	e := &api.Error{Code: api.CodeUsage, What: fmt.Sprintf("%s could not be read.", path), Why: capital(Reason(err)) + "."}
	if errors.Is(err, fs.ErrPermission) {
		e.Code = api.CodeNotAllowed
		e.Next = "Check who may read the file, or use sudo."
	}
	return nil, e
}

func size(n int) string {
	if n < 1<<20 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

// ReadFile reads a regular file of at most limit bytes. It looks before it
// opens: opening a named pipe would wait for its writer.
func ReadFile(path string, limit int) ([]byte, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, ErrNotRegular
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err = f.Stat(); err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, ErrNotRegular
	}
	data, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if err == nil && len(data) > limit {
		err = ErrTooLarge
	}
	return data, err
}

// Reason is the cause within a file error, whose path is told beside it.
func Reason(err error) string {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	}
	return err.Error()
}

func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
