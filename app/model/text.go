package model

// A Text is a sentence before its translation: a key of the catalogue and what
// fills its gaps. The model decides what is said, the front end in which
// language.
type Text struct {
	Key string
	// Params fill the gaps by name. "Count", an int, chooses the plural form.
	Params map[string]any
}

// say returns a Text; pairs alternate names and values.
func say(key string, pairs ...any) Text {
	t := Text{Key: key}
	for i := 0; i+1 < len(pairs); i += 2 {
		if t.Params == nil {
			t.Params = make(map[string]any, len(pairs)/2)
		}
		t.Params[pairs[i].(string)] = pairs[i+1]
	}
	return t
}
