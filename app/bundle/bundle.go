// Package bundle writes what somebody needs to understand a problem from afar
// into one archive: how the service stands, its log, its exchanges. The
// contract with the service has no field for a secret, so none can be in it;
// who and where somebody is, is replaced by pseudonyms.
package bundle

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"
	"time"

	"sallyport/core/api"
)

// Limits of what is asked of the service, and of one section.
const (
	maxLog      = 8192
	maxMessages = 2000
	askTimeout  = 10 * time.Second
)

// Options say what goes into a bundle.
type Options struct {
	// Plain leaves addresses, names and identities as they are.
	Plain bool
	// Facts are what the front end knows of the machine and of itself, beside
	// the system's name that Write adds.
	Facts []Fact
	Now   time.Time // zero: time.Now
}

// A Fact is a line about the machine: "desktop", "GNOME".
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// A section is one file of the bundle.
type section struct {
	name string
	what string // for the reader
	ask  func(context.Context) (any, error)
}

// Write writes a zip archive to w. What the service does not answer becomes a
// file that says why: a bundle of a service that is down is worth having too.
// It fails when w does, or ctx ends.
func Write(ctx context.Context, w io.Writer, b api.Backend, o Options) error {
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	sections := []section{
		{"version.json", "versions, and the system", func(ctx context.Context) (any, error) { return about(ctx, b, o), nil }},
		{"status.json", "the connections and their state", func(ctx context.Context) (any, error) { return b.State(ctx) }},
		{"dynamic.json", "the security associations and what was dropped", func(ctx context.Context) (any, error) { return b.Dynamic(ctx) }},
		{"security.json", "the security monitor: coverage, failures, the firewall", func(ctx context.Context) (any, error) { return b.Security(ctx) }},
		{"traffic.json", "the counters of the tunnels", func(ctx context.Context) (any, error) { return traffic(ctx, b) }},
		{"policies.json", "the names of the policies, without their rules", func(ctx context.Context) (any, error) { return policyNames(ctx, b) }},
		{"log.txt", "the log", func(ctx context.Context) (any, error) { return b.Log(ctx, maxLog) }},
		{"exchanges.json", "the IKE messages, decoded, without keys, nonces and proofs", func(ctx context.Context) (any, error) { return b.Exchanges(ctx, "", maxMessages) }},
	}
	// Everything is asked first, so that identities which one section names are
	// known when another mentions them in passing.
	answers := make([]any, len(sections))
	r := newRedactor()
	for i, s := range sections {
		v, err := ask(ctx, s)
		if ctx.Err() != nil {
			return api.AsError(ctx.Err())
		}
		if err != nil {
			v = struct {
				Error *api.Error `json:"error"`
			}{api.AsError(err)}
		}
		answers[i] = v
		r.learn(v)
	}
	z := zip.NewWriter(w)
	if err := add(z, "README.txt", o.Now, []byte(readme(sections, o))); err != nil {
		return err
	}
	for i, s := range sections {
		text, err := render(answers[i], o.Plain, r)
		if err != nil {
			return fmt.Errorf("write %s: %w", s.name, err)
		}
		if err := add(z, s.name, o.Now, text); err != nil {
			return err
		}
	}
	return z.Close()
}

// ask asks for one section, for a bounded time.
func ask(ctx context.Context, s section) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return s.ask(ctx)
}

func add(z *zip.Writer, name string, now time.Time, text []byte) error {
	f, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: now.UTC()})
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return err
}

// An aboutFile is version.json.
type aboutFile struct {
	Written time.Time    `json:"written"`
	Program string       `json:"program"`
	API     int          `json:"api_version"`
	Service *api.Service `json:"service"` // null when it does not answer
	Error   *api.Error   `json:"error,omitempty"`
	OS      string       `json:"os"`
	Arch    string       `json:"arch"`
	CPUs    int          `json:"cpus"`
	Go      string       `json:"go"`
	Facts   []Fact       `json:"facts,omitempty"`
}

func about(ctx context.Context, b api.Backend, o Options) aboutFile {
	a := aboutFile{Written: o.Now.UTC(), Program: api.Version, API: api.APIVersion, OS: runtime.GOOS, Arch: runtime.GOARCH,
		CPUs: runtime.NumCPU(), Go: runtime.Version(), Facts: o.Facts}
	if s, err := b.State(ctx); err != nil {
		a.Error = api.AsError(err)
	} else {
		a.Service = &s.Service
	}
	return a
}

// A carried is what a tunnel that is up has carried.
type carried struct {
	Connection string       `json:"connection"`
	Counters   api.Counters `json:"counters"`
}

func traffic(ctx context.Context, b api.Backend) ([]carried, error) {
	m, err := b.Traffic(ctx)
	out := make([]carried, 0, len(m))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		out = append(out, carried{name, m[name]})
	}
	return out, err
}

// A policyName is what a bundle tells of a policy.
type policyName struct {
	Name       string     `json:"name"`
	Predefined bool       `json:"predefined,omitempty"`
	Assigned   bool       `json:"assigned,omitempty"`
	Rules      int        `json:"rules"`
	Problem    *api.Error `json:"problem,omitempty"`
}

func policyNames(ctx context.Context, b api.Backend) ([]policyName, error) {
	list, err := b.Policies(ctx)
	out := make([]policyName, 0, len(list))
	for _, p := range list {
		out = append(out, policyName{p.Name, p.Predefined, p.Assigned, p.Rules, p.Problem})
	}
	return out, err
}

// render writes an answer: a log as lines, everything else as JSON.
func render(v any, plain bool, r *redactor) ([]byte, error) {
	if log, ok := v.([]api.LogEntry); ok {
		return renderLog(log, plain, r), nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	if !plain {
		if b, err = r.json(b); err != nil {
			return nil, err
		}
	}
	var out bytes.Buffer
	if err := json.Indent(&out, b, "", "  "); err != nil {
		return nil, err
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

func renderLog(log []api.LogEntry, plain bool, r *redactor) []byte {
	var out bytes.Buffer
	for _, e := range log {
		text, name := e.Text, e.Connection
		if !plain {
			text, name = r.text(text), r.text(name)
		}
		fmt.Fprintf(&out, "%s %-5s %-8s", e.Time.UTC().Format("2006-01-02T15:04:05.000Z"), e.Level, e.Topic)
		if name != "" {
			fmt.Fprintf(&out, " %q:", name)
		}
		// A line of the log stays a line, whatever a peer had in its names.
		fmt.Fprintf(&out, " %s\n", strings.Map(printable, text))
	}
	return out.Bytes()
}

func printable(c rune) rune {
	if c < ' ' || c == 0x7f {
		return ' '
	}
	return c
}

func readme(sections []section, o Options) string {
	var b strings.Builder
	b.WriteString("A diagnostics bundle of Sallyport, written " + o.Now.UTC().Format(time.RFC3339) + ".\n\n")
	for _, s := range sections {
		fmt.Fprintf(&b, "  %-16s %s\n", s.name, s.what)
	}
	b.WriteString("\nIt holds no password, no pre-shared key and no private key: the service never gives these out.\n")
	if o.Plain {
		b.WriteString("Addresses, names and identities are in it as they are.\n")
	} else {
		b.WriteString("Addresses, host names, identities and users' names are replaced by pseudonyms such as ip4-public-1 or\n" +
			"name-2: the same value has the same pseudonym everywhere in this bundle, and another one in the next.\n" +
			"The names of connections, rules and policies are kept, unless they are such a value themselves.\n")
	}
	return b.String()
}
