package settings

import (
	"fmt"
	"strings"
)

// Resolve returns the tree of root with all that its sections inherit. A
// section's own settings come first; of several references the first that has
// a key gives its value, and an empty assignment stops the search. Notes name
// the references to sections that do not exist, which strongSwan passes over.
//
// The result shares the keys of root.
func Resolve(root *Section) (tree *Section, notes []Error, err error) {
	r := resolver{root: root}
	tree, err = r.section(root, 0)
	return tree, r.notes, err
}

// maxResolved bounds the keys and sections of a resolved tree: a chain of
// sections that each inherit twice from the next doubles at each step.
const maxResolved = 200_000

type resolver struct {
	root  *Section
	open  []*Section // sections being resolved, outermost first
	count int
	notes []Error
}

func (r *resolver) spend(pos Pos) error {
	if r.count++; r.count > maxResolved {
		return &Error{pos, "the sections inherit too much from one another"}
	}
	return nil
}

// section returns s with what it inherits.
func (r *resolver) section(s *Section, depth int) (*Section, error) {
	for _, o := range r.open {
		if o == s {
			return nil, &Error{s.Pos, fmt.Sprintf("section %q inherits from itself", short(s.Name))}
		}
	}
	// Each level of nesting may follow references that nest again.
	if len(r.open) >= 4*maxDepth || depth > maxDepth {
		return nil, &Error{s.Pos, "sections nested too deep"}
	}
	if s != r.root {
		r.open = append(r.open, s)
		defer func() { r.open = r.open[:len(r.open)-1] }()
	}
	out := &Section{Pos: s.Pos, Name: s.Name}
	for _, k := range s.Keys {
		if err := r.spend(k.Pos); err != nil {
			return nil, err
		}
		out.Keys = append(out.Keys, k)
	}
	for _, c := range s.Sections {
		if err := r.spend(c.Pos); err != nil {
			return nil, err
		}
		sub, err := r.section(c, depth+1)
		if err != nil {
			return nil, err
		}
		out.Sections = append(out.Sections, sub)
	}
	for _, ref := range s.refs {
		target := r.lookup(ref.path)
		if target == nil {
			r.note(ref)
			continue
		}
		base, err := r.section(target, depth)
		if err != nil {
			return nil, err
		}
		if err := r.inherit(out, base); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (r *resolver) note(ref ref) {
	n := Error{ref.Pos, fmt.Sprintf("there is no section %q to inherit from", short(strings.Join(ref.path, ".")))}
	for _, o := range r.notes {
		if o == n {
			return
		}
	}
	if len(r.notes) < 50 {
		r.notes = append(r.notes, n)
	}
}

// lookup finds a section from the root.
func (r *resolver) lookup(path []string) *Section {
	at := r.root
	for _, name := range path {
		if at = at.Section(name); at == nil {
			return nil
		}
	}
	return at
}

// inherit adds to out what base has and out has not.
func (r *resolver) inherit(out, base *Section) error {
	own := make(map[string]bool, len(out.Keys))
	for _, k := range out.Keys {
		own[k.Name] = true
	}
	for _, k := range base.Keys {
		if err := r.spend(k.Pos); err != nil {
			return err
		}
		if !own[k.Name] {
			out.Keys = append(out.Keys, k)
		}
	}
	for _, c := range base.Sections {
		if err := r.spend(c.Pos); err != nil {
			return err
		}
		sub := out.Section(c.Name)
		if sub == nil {
			sub = &Section{Pos: c.Pos, Name: c.Name}
			out.Sections = append(out.Sections, sub)
		}
		if err := r.inherit(sub, c); err != nil {
			return err
		}
	}
	return nil
}
