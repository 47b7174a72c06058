// Package i18n is the catalogue: every string that a user reads, by key, in
// every language we speak.
package i18n

import (
	"sallyport/app/model"
	"sallyport/assets"

	"fyne.io/fyne/v2/lang"
)

func init() {
	if err := lang.AddTranslationsFS(assets.Translations, "translations"); err != nil {
		panic(err) // compiled in; a test reads all of it
	}
}

// T returns the text of a key. pairs alternate the names and the values of its
// gaps: T("connections.since", "Time", t). An int named "Count" chooses the
// plural form. Keys are written as literals, so that a test finds them.
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

// Say returns a text of the model in the user's language.
func Say(t model.Text) string {
	if n, ok := t.Params["Count"].(int); ok {
		return lang.LocalizePluralKey(t.Key, t.Key, n, t.Params)
	}
	return lang.LocalizeKey(t.Key, t.Key, t.Params)
}
