// Package i18n is the catalogue: every string that a user reads, by key, in
// every language we speak.
//
// It stands on Fyne's own catalogue, which chooses a language by the system's
// settings and offers no way to choose another. So our texts, and ours of
// Fyne's few words, are given to it under the one tag that it has chosen,
// whatever language they are in: that works on every system, at any time.
package i18n

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"sync"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/lang"

	"sallyport/app/model"
	"sallyport/assets"
)

// A Language is one that we speak.
type Language struct {
	Tag  string // "de"
	Name string // in its own words
}

// Languages returns the languages that we speak, English first.
func Languages() []Language {
	return []Language{{"en", "English"}, {"de", "Deutsch"}, {"es", "Español"}, {"fr", "Français"}, {"zh", "简体中文"}}
}

// System stands for the language that the system's settings ask for.
const System = ""

// tagKey is the key under which each tag of Fyne's catalogue tells its name.
const tagKey = "i18n.tag"

var (
	mu      sync.RWMutex // guards what follows, and the catalogue of Fyne against us
	tag     string       // that Fyne has chosen
	current string       // the language in use
)

func init() {
	if err := lang.AddTranslationsFS(assets.Tags, "tags"); err != nil {
		panic(err) // compiled in; a test reads all of it
	}
	tag = lang.LocalizeKey(tagKey, "en")
	Use(System)
}

// Use speaks a language from now on: a tag of Languages or System, which also
// stands for those that we do not speak. It is called on the user interface's
// goroutine; what has been said already stays as it is.
func Use(language string) {
	if !spoken(language) {
		language, _, _ = strings.Cut(tag, "-")
	}
	if !spoken(language) {
		language = "en"
	}
	mu.Lock()
	defer mu.Unlock()
	if language == current {
		return
	}
	texts, err := catalogue(language)
	if err == nil {
		var b []byte
		if b, err = json.Marshal(texts); err == nil {
			err = lang.AddTranslationsForLocale(b, fyne.Locale(tag))
		}
	}
	if err != nil {
		panic(err) // compiled in; a test uses all of it
	}
	current = language
}

// Current returns the language in use.
func Current() string {
	mu.RLock()
	defer mu.RUnlock()
	return current
}

func spoken(language string) bool {
	for _, l := range Languages() {
		if l.Tag == language {
			return true
		}
	}
	return false
}

// catalogue returns all texts of a language by key, in English where it has
// none. A plural form stands under the key, # and its name.
func catalogue(language string) (map[string]string, error) {
	texts := map[string]string{}
	for _, l := range []string{"en", language} {
		files, err := fs.Glob(assets.Translations, "translations/*."+l+".json")
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			if err := read(f, texts); err != nil {
				return nil, err
			}
		}
	}
	return texts, nil
}

// read adds the texts of a file to texts.
func read(file string, texts map[string]string) error {
	b, err := assets.Translations.ReadFile(file)
	if err != nil {
		return err
	}
	var entries map[string]any
	if err := json.Unmarshal(b, &entries); err != nil {
		return fmt.Errorf("%s: %w", path.Base(file), err)
	}
	for key, v := range entries {
		switch v := v.(type) {
		case string:
			texts[key] = v
		case map[string]any:
			for form, text := range v {
				s, ok := text.(string)
				if !ok {
					return fmt.Errorf("%s: %s: the form %q is not a text", path.Base(file), key, form)
				}
				texts[key+"#"+form] = s
			}
		default:
			return fmt.Errorf("%s: %s is neither a text nor plural forms", path.Base(file), key)
		}
	}
	return nil
}

// plural returns the form of n things.
func plural(language string, n int) string {
	switch {
	case language == "zh":
		return "#other"
	case n == 1, n == 0 && language == "fr":
		return "#one"
	}
	return "#other"
}

// T returns the text of a key. pairs alternate the names and the values of its
// gaps: T("connections.since", "Time", t). An int named "Count" chooses the
// plural form. Values are put into the user's language as Say tells. Keys are
// written as literals, so that a test finds them.
func T(key string, pairs ...any) string {
	var params map[string]any
	for i := 0; i+1 < len(pairs); i += 2 {
		if params == nil {
			params = make(map[string]any, len(pairs)/2)
		}
		params[pairs[i].(string)] = pairs[i+1]
	}
	return Say(model.Text{Key: key, Params: params})
}

// Say returns a text of the model in the user's language. A gap that is filled
// with a Text, a time, a duration or a whole number shows it in that language
// too. The empty Text is the empty string.
func Say(t model.Text) string {
	if t.Key == "" {
		return ""
	}
	key := t.Key // which is what is said when there is no such text
	var params map[string]any
	if len(t.Params) > 0 {
		params = make(map[string]any, len(t.Params))
		for name, v := range t.Params {
			params[name] = local(v)
		}
	}
	mu.RLock()
	defer mu.RUnlock()
	if n, ok := t.Params["Count"].(int); ok {
		if s := lang.LocalizeKey(key+plural(current, n), key, params); s != key {
			return s
		}
	}
	return lang.LocalizeKey(key, key, params)
}
