package policies

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"

	"sallyport/app/policydraft"
	"sallyport/core/api"
)

// A session is a policy that is being edited. It lives until it is saved or
// discarded, whatever the window shows meanwhile.
type session struct {
	name string // under which it is stored; of a new one: under which it will be
	new  bool   // the service does not have it yet
	base []byte // what the service has
	// text is what will be stored; draft is what it says, and while fault is set,
	// what it said before.
	text  []byte
	draft *policydraft.Draft
	fault *policydraft.Fault
	undo  []step

	findings []api.Finding // of the last check
	checking bool
	stale    bool // the text has changed since the check under way began
	saved    bool // it was saved here, and stands as it was saved
}

// A step is what undo goes back to.
type step struct {
	text  []byte
	draft *policydraft.Draft
	fault *policydraft.Fault
}

// maxUndo bounds the steps back.
const maxUndo = 100

// newSession begins with a text that the service has, or of a new policy.
func newSession(name string, text []byte, isNew bool) *session {
	s := &session{name: name, base: text, new: isNew}
	s.put(text)
	s.undo = nil
	return s
}

// dirty reports whether there is something to save.
func (s *session) dirty() bool { return s.new || !bytes.Equal(s.text, s.base) }

// put makes text what is edited.
func (s *session) put(text []byte) {
	if bytes.Equal(text, s.text) && s.draft != nil {
		return
	}
	s.remember()
	s.text = bytes.Clone(text)
	d, err := policydraft.Parse(text)
	if err == nil {
		s.draft, s.fault = d, nil
		return
	}
	if !errors.As(err, &s.fault) {
		s.fault = &policydraft.Fault{Detail: err.Error()}
	}
	if s.draft == nil {
		s.draft = policydraft.New(s.name)
	}
}

// apply makes a draft what is edited.
func (s *session) apply(d *policydraft.Draft) {
	s.remember()
	s.text, s.draft, s.fault = d.Text(), d, nil
}

func (s *session) remember() {
	s.saved = false
	s.undo = append(s.undo, step{s.text, s.draft, s.fault})
	if len(s.undo) > maxUndo {
		s.undo = slices.Delete(s.undo, 0, len(s.undo)-maxUndo)
	}
}

// back takes the last change back.
func (s *session) back() {
	if n := len(s.undo); n > 0 {
		last := s.undo[n-1]
		s.undo = s.undo[:n-1]
		s.text, s.draft, s.fault = last.text, last.draft, last.fault
	}
}

// problems are what is wrong: of a text that is no TOML the place, else what the
// service has found, errors first.
func (s *session) problems() []api.Finding {
	if s.fault != nil {
		return []api.Finding{{Error: true, Text: s.fault.Detail, Position: api.Position{Line: s.fault.Line, Field: s.fault.Field}}}
	}
	out := slices.Clone(s.findings)
	slices.SortStableFunc(out, func(a, b api.Finding) int {
		switch {
		case a.Error == b.Error:
			return 0
		case a.Error:
			return -1
		}
		return 1
	})
	return out
}

// at returns what is wrong with the field at path, or with what is within it
// when deep.
func (s *session) at(path string, deep bool) string {
	if s.fault != nil {
		return ""
	}
	for _, f := range s.findings {
		if f.Position.Field == path || deep && within(f.Position.Field, path) {
			return f.Text
		}
	}
	return ""
}

// faulty reports whether something is wrong at path or within.
func (s *session) faulty(path string) bool {
	return s.fault == nil && slices.ContainsFunc(s.findings, func(f api.Finding) bool { return f.Error && within(f.Position.Field, path) })
}

func within(field, path string) bool {
	rest, ok := strings.CutPrefix(field, path)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// check asks the service what it makes of the text; then is called when the
// answer is in. While one check is under way no other begins.
func (v *View) check(s *session, then func()) {
	if s.fault != nil {
		then()
		return
	}
	if s.checking {
		s.stale = true
		return
	}
	s.checking = true
	text := s.text
	var p api.Policy
	v.env.Run(func(ctx context.Context) (err error) {
		p, err = v.service().StorePolicy(ctx, api.PolicyFile{Text: text, Check: true})
		return err
	}, func(err error) {
		s.checking = false
		if err == nil {
			s.findings = p.Findings
			if len(s.findings) == 0 && p.Problem != nil {
				s.findings = []api.Finding{finding(p.Problem)}
			}
		}
		if s.stale {
			s.stale = false
			v.check(s, then)
		}
		then()
	})
}

// finding is an error of the service as a finding.
func finding(e *api.Error) api.Finding {
	f := api.Finding{Error: true, Text: e.Why}
	if f.Text == "" {
		f.Text = e.What
	}
	if e.Position != nil {
		f.Position = *e.Position
	}
	return f
}

// save stores the text; then is called with how it went.
func (v *View) save(s *session, then func(error)) {
	text := s.text
	name := s.draft.Policy().Name
	replace := !s.new && name == s.name
	v.env.Run(func(ctx context.Context) error {
		p, err := v.service().StorePolicy(ctx, api.PolicyFile{Text: text, Replace: replace})
		if err == nil {
			name = p.Name
		}
		return err
	}, func(err error) {
		if err == nil {
			if name != s.name {
				delete(v.sessions, s.name)
				s.name = name
				v.sessions[name] = s
			}
			s.base, s.new, s.saved = text, false, true
			v.want = name
			v.detail.forget(name)
			v.load()
		} else if e := api.AsError(err); e.Code == api.CodePolicyInvalid {
			s.findings = []api.Finding{finding(e)}
		}
		then(err)
	})
}
