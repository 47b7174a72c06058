package policy

import (
	"errors"
	"fmt"

	"sallyport/core/config"
)

// A Severity says what a finding means.
type Severity string

// The severities.
const (
	SeverityError   Severity = "error"   // the policy cannot be assigned
	SeverityWarning Severity = "warning" // it can, but may not do what was meant
)

// A Finding is something about a policy that its admin should know before it
// is assigned.
type Finding struct {
	Severity Severity `json:"severity"`
	File     string   `json:"file,omitempty"`
	Line     int      `json:"line,omitempty"` // 0 when the policy was not read from a file
	Field    string   `json:"field"`          // "filter_lists[0].filters[2].protocol"
	Text     string   `json:"text"`
}

// String says "FILE:LINE: FIELD: TEXT" as far as the parts are known, after the
// severity.
func (f Finding) String() string {
	e := config.Error{File: f.File, Line: f.Line, Field: f.Field, Msg: f.Text}
	return string(f.Severity) + ": " + e.Error()
}

// Findings are in the order of the policy file, as far as that is known.
type Findings []Finding

// Err joins the errors among the findings, each a *config.Error; nil when
// there are none.
func (l Findings) Err() error {
	var errs []error
	for _, f := range l {
		if f.Severity == SeverityError {
			errs = append(errs, &config.Error{File: f.File, Line: f.Line, Field: f.Field, Msg: f.Text})
		}
	}
	return errors.Join(errs...)
}

// maxFindings bounds how many findings of one policy are told.
const maxFindings = 100

func (p *Policy) finding(s Severity, field, format string, args ...any) Finding {
	f := Finding{Severity: s, Field: field, Text: fmt.Sprintf(format, args...)}
	if p.source != nil {
		f.File, f.Line = p.source.File(), p.source.Line(field)
	}
	return f
}

// shown cuts a value of the file for a message.
func shown(s string) string { return config.Shown(s) }
