package uitest

import (
	"reflect"
	"strings"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/test"
	"fyne.io/fyne/v2/widget"
)

// Objects returns everything that is shown below o, o first, in the order in
// which it is drawn.
func Objects(o fyne.CanvasObject) []fyne.CanvasObject {
	if o == nil || !o.Visible() {
		return nil
	}
	out := []fyne.CanvasObject{o}
	switch o := o.(type) {
	case *fyne.Container:
		for _, c := range o.Objects {
			out = append(out, Objects(c)...)
		}
	case fyne.Widget:
		for _, c := range test.WidgetRenderer(o).Objects() {
			out = append(out, Objects(c)...)
		}
	}
	return out
}

// On returns everything that a window shows: of its topmost overlay when one
// is open, since nothing else can be touched then.
func On(w fyne.Window) []fyne.CanvasObject {
	if top := w.Canvas().Overlays().Top(); top != nil {
		return Objects(top)
	}
	return Objects(w.Content())
}

// Text returns what a window says, a text a line.
func Text(w fyne.Window) string {
	var lines []string
	for _, o := range On(w) {
		switch o := o.(type) {
		case *canvas.Text:
			lines = append(lines, o.Text)
		case *widget.RichText:
			lines = append(lines, o.String())
		}
	}
	return strings.Join(lines, "\n")
}

// Says reports whether a text is somewhere in what a window says.
func Says(w fyne.Window, text string) bool {
	flat := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	return strings.Contains(flat(Text(w)), flat(text))
}

// Find returns the first object of a type, of those that are shown, for which
// is holds (nil: any), and fails the test when there is none.
func Find[T fyne.CanvasObject](t testing.TB, w fyne.Window, is func(T) bool) T {
	t.Helper()
	for _, o := range On(w) {
		if f, ok := o.(T); ok && (is == nil || is(f)) {
			return f
		}
	}
	var none T
	t.Fatalf("the window shows no such %T; it says:\n%s", none, Text(w))
	return none
}

// labelled reports whether an object is a widget with this label: its field
// Text or Label, or the words that it draws.
func labelled(o fyne.CanvasObject, label string) bool {
	v := reflect.Indirect(reflect.ValueOf(o))
	if v.Kind() == reflect.Struct {
		for _, name := range []string{"Text", "Label"} {
			if f := v.FieldByName(name); f.IsValid() && f.Kind() == reflect.String && f.String() == label {
				return true
			}
		}
	}
	for _, c := range Objects(o)[1:] {
		switch c := c.(type) {
		case *canvas.Text:
			if c.Text == label {
				return true
			}
		case fyne.Tappable:
			return false // the label is that one's
		}
	}
	return false
}

// Labelled returns what can be tapped and has this label.
func Labelled(t testing.TB, w fyne.Window, label string) fyne.Tappable {
	t.Helper()
	for _, o := range On(w) {
		if f, ok := o.(fyne.Tappable); ok && labelled(o, label) {
			return f
		}
	}
	t.Fatalf("nothing to tap is labelled %q; the window says:\n%s", label, Text(w))
	return nil
}

// Tap taps what has this label, and settles.
func Tap(t testing.TB, w fyne.Window, label string) {
	t.Helper()
	test.Tap(Labelled(t, w, label))
	Settle()
}

// Press taps what has this label, and does not wait for what it starts.
func Press(t testing.TB, w fyne.Window, label string) {
	t.Helper()
	test.Tap(Labelled(t, w, label))
}

// Type writes into the entry with this placeholder, or, with an empty one, into
// what has the focus.
func Type(t testing.TB, w fyne.Window, placeholder, text string) {
	t.Helper()
	if placeholder == "" {
		f := w.Canvas().Focused()
		if f == nil {
			t.Fatal("nothing has the focus")
		}
		test.Type(f, text)
		return
	}
	for _, o := range On(w) {
		v := reflect.Indirect(reflect.ValueOf(o))
		if v.Kind() != reflect.Struct {
			continue
		}
		p := v.FieldByName("PlaceHolder")
		if f, ok := o.(fyne.Focusable); ok && p.IsValid() && p.Kind() == reflect.String && p.String() == placeholder {
			w.Canvas().Focus(f)
			test.Type(f, text)
			Settle()
			return
		}
	}
	t.Fatalf("no entry has the placeholder %q; the window says:\n%s", placeholder, Text(w))
}

// Key types a key on what has the focus, or on the window.
func Key(w fyne.Window, name fyne.KeyName) {
	e := &fyne.KeyEvent{Name: name}
	switch f := w.Canvas().Focused(); {
	case f != nil:
		f.TypedKey(e)
	case w.Canvas().OnTypedKey() != nil:
		w.Canvas().OnTypedKey()(e)
	}
	Settle()
}
