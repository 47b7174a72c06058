package profile

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"sallyport/core/api"
)

// The formats that Detect tells apart.
const (
	FormatSallyport = "sallyport"
	FormatSwanctl   = "swanctl"
	FormatIPsecConf = "ipsec.conf" // recognised to say that it is not read yet
	FormatUnknown   = ""
)

// The bounds on what one import reads.
const (
	maxImportFiles = 1024
	maxImportBytes = 8 << 20
)

// A Result is what an import found. While Missing is not empty there are no
// bundles.
type Result struct {
	Missing []string
	Format  string
	Bundles []Bundle
	Refused []string
}

// ErrRequest is wrapped by the errors about the request itself rather than a
// file.
var ErrRequest = errors.New("the import request is not usable")

// Import reads the connections of the files of r. It opens no file: what it
// wants to see beside the files of r it names in Missing (see
// api.ImportRequest). Its errors are *Error, joined, or wrap ErrRequest.
func Import(r api.ImportRequest) (*Result, error) {
	if len(r.Files) == 0 {
		return nil, fmt.Errorf("%w: it holds no file", ErrRequest)
	}
	total := 0
	for _, f := range r.Files {
		total += len(f.Data)
	}
	if len(r.Files) > maxImportFiles || total > maxImportBytes {
		return nil, fmt.Errorf("%w: %d files of %d bytes are too many (limits %d and %d)", ErrRequest, len(r.Files), total, maxImportFiles, maxImportBytes)
	}
	if r.Name != "" {
		if err := CheckName(r.Name); err != nil {
			return nil, fmt.Errorf("%w: the name %w", ErrRequest, err)
		}
	}
	src := newSource(r)
	res := &Result{Format: Detect(r.Files[0].Data)}
	var err error
	switch res.Format {
	case FormatSallyport:
		err = importTOML(src, res)
	case FormatSwanctl:
		err = importSwanctl(src, res)
	case FormatIPsecConf:
		err = &Error{File: src.name, Msg: "this is an ipsec.conf, which cannot be imported yet; strongSwan's swanctl.conf can", Unsupported: true}
	default:
		if b := r.Files[0].Data; bytes.HasPrefix(b, []byte{0xff, 0xfe}) || bytes.HasPrefix(b, []byte{0xfe, 0xff}) {
			err = &Error{File: src.name, Msg: "the text is UTF-16: save it as UTF-8"}
			break
		}
		err = &Error{File: src.name, Msg: "the format is not recognised; Sallyport profiles (TOML) and strongSwan's swanctl.conf can be imported", Unsupported: true}
	}
	if err != nil {
		return nil, err
	}
	if len(src.missing) > 0 {
		return &Result{Missing: src.missing, Format: res.Format}, nil
	}
	if r.Name != "" && len(res.Bundles) > 1 {
		return nil, fmt.Errorf("%w: the file holds %d connections, and only one can get the name %s", ErrRequest, len(res.Bundles), shown(r.Name))
	}
	return res, nil
}

// The first telling line of each format, without comments.
var (
	swanctlLine = regexp.MustCompile(`^([^\s.,:{}="#\[\]]+\s*(:[^={}"]*)?\{|include\s+[^=\s]|[A-Za-z0-9_%@-]+$)`)
	tomlLine    = regexp.MustCompile(`^(\[|["'A-Za-z0-9_.-]+\s*=\s*(["'\[{]|[0-9+-]|true\b|false\b))`)
	assignment  = regexp.MustCompile(`^[A-Za-z0-9_-]+\s*=`)
	ipsecLine   = regexp.MustCompile(`^(conn|ca|config)\s+[^\s={]+$`)
)

// Detect tells the format of a file by its first telling line. A file without
// one is taken for TOML when it assigns at all, so that its faults are told.
func Detect(data []byte) string {
	undecided := FormatUnknown
	for line := range bytes.Lines(bytes.TrimPrefix(data, []byte("\ufeff"))) {
		if i := bytes.IndexByte(line, '#'); i >= 0 {
			line = line[:i]
		}
		line = bytes.TrimSpace(line)
		switch {
		case len(line) == 0:
		case ipsecLine.Match(line):
			return FormatIPsecConf
		case swanctlLine.Match(line):
			return FormatSwanctl
		case tomlLine.Match(line):
			return FormatSallyport
		case assignment.Match(line):
			undecided = FormatSallyport
		default:
			return undecided
		}
	}
	return undecided
}

// A source is what the caller handed over, by place.
type source struct {
	req     api.ImportRequest
	name    string // of the first file, as messages say it
	dir     string // of the first file
	files   map[string][]byte
	asked   map[string]bool
	missing []string
}

func newSource(r api.ImportRequest) *source {
	first := slashed(r.Files[0].Path)
	s := &source{
		req: r, name: path.Base(first), dir: path.Dir(first),
		files: make(map[string][]byte, len(r.Files)), asked: make(map[string]bool, len(r.Asked)),
	}
	s.files[path.Clean(first)] = r.Files[0].Data
	for _, f := range r.Files[1:] {
		s.files[s.place(f.Path)] = f.Data
	}
	for _, p := range r.Asked {
		s.asked[p] = true
	}
	return s
}

// slashed writes a path of any system with slashes.
func slashed(p string) string {
	if len(p) > 2 && p[1] == ':' || strings.HasPrefix(p, `\\`) || !strings.Contains(p, "/") {
		p = strings.ReplaceAll(p, `\`, "/")
	}
	return p
}

// place returns where a path lies that is absolute or relative to the folder
// of the first file.
func (s *source) place(p string) string {
	p = slashed(p)
	if isAbsolute(p) {
		return path.Clean(p)
	}
	return path.Join(s.dir, p)
}

func isAbsolute(p string) bool {
	return strings.HasPrefix(p, "/") || len(p) > 2 && p[1] == ':' && p[2] == '/'
}

// A found file has the name that messages use for it.
type found struct {
	name string // relative to the folder of the first file where it lies below
	data []byte
}

// find returns the files that a pattern means, sorted. A pattern that the
// caller has not looked for yet is put on the missing list, unless it names a
// file that is here; known is false then.
func (s *source) find(pattern string) (files []found, known bool) {
	at := s.place(pattern)
	if data, ok := s.files[at]; ok {
		return []found{{s.show(at), data}}, true
	}
	if !s.asked[pattern] {
		if !slices.Contains(s.missing, pattern) {
			s.missing = append(s.missing, pattern)
		}
		return nil, false
	}
	for p, data := range s.files {
		// A malformed pattern matches nothing, as in a shell.
		if ok, err := path.Match(at, p); ok && err == nil {
			files = append(files, found{s.show(p), data})
		}
	}
	slices.SortFunc(files, func(a, b found) int { return strings.Compare(a.name, b.name) })
	return files, true
}

// findAny joins what several patterns find; known when every one is.
func (s *source) findAny(patterns ...string) (files []found, known bool) {
	known = true
	for _, p := range patterns {
		f, k := s.find(p)
		files, known = append(files, f...), known && k
	}
	return files, known
}

func (s *source) show(place string) string {
	if rest, ok := strings.CutPrefix(place, strings.TrimSuffix(s.dir, "/")+"/"); ok && s.dir != "." {
		return rest
	}
	return place
}
