package config

import (
	"encoding/json"
	"reflect"
	"strings"
)

// Docs describe the fields of a file format, for the schema and for the
// comments that Marshal writes. They are keyed by "Type.toml_name".
type Docs map[string]FieldDoc

// A FieldDoc describes one field.
type FieldDoc struct {
	Doc      string
	Default  string // in words
	Enum     []string
	Required bool
	MaxItems int // of a list; 0: 64
	Least    int // of a number
}

// MaxItems bounds a list that says nothing else.
const MaxItems = 64

func (d FieldDoc) maxItems() int {
	if d.MaxItems == 0 {
		return MaxItems
	}
	return d.MaxItems
}

func (d Docs) of(t reflect.Type, name string) FieldDoc { return d[t.Name()+"."+name] }

const durationPattern = `^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`

// Schema returns the JSON Schema of a struct's file format. What a schema
// cannot say (which fields exclude one another) Validate functions check.
func Schema(title string, t reflect.Type, docs Docs) []byte {
	s := docs.table(t)
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = title
	out, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		// Maps of strings, numbers and lists always marshal.
		panic("config: " + err.Error())
	}
	return append(out, '\n')
}

func (docs Docs) table(t reflect.Type) map[string]any {
	properties, required := map[string]any{}, []string{}
	for i, name := range fieldNames(t) {
		if name == "" {
			continue
		}
		d := docs.of(t, name)
		p := docs.value(t.Field(i).Type, d)
		p["description"] = d.Doc
		if d.Default != "" {
			p["description"] = d.Doc + " Default: " + strings.TrimSuffix(d.Default, ".") + "."
		}
		if d.Enum != nil {
			p["enum"] = d.Enum
		}
		if d.Required {
			required = append(required, name)
		}
		properties[name] = p
	}
	s := map[string]any{"type": "object", "additionalProperties": false, "properties": properties}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

func (docs Docs) value(t reflect.Type, d FieldDoc) map[string]any {
	if t == reflect.TypeFor[Duration]() {
		return map[string]any{"type": "string", "pattern": durationPattern}
	}
	switch t.Kind() {
	case reflect.Struct:
		return docs.table(t)
	case reflect.Slice:
		return map[string]any{"type": "array", "maxItems": d.maxItems(), "items": docs.value(t.Elem(), FieldDoc{})}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int, reflect.Uint64:
		return map[string]any{"type": "integer", "minimum": d.Least}
	}
	return map[string]any{"type": "string"}
}
