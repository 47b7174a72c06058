package kit

import (
	"fyne.io/fyne/v2"

	"sallyport/app/i18n"
	"sallyport/app/model"
	apptheme "sallyport/app/theme"
)

// markIcons are made once: a resource of its own for each list row would be
// drawn anew for each.
var markIcons = [...]fyne.Resource{
	model.Off:     apptheme.IconOf(model.Off),
	model.Safe:    apptheme.IconOf(model.Safe),
	model.Busy:    apptheme.IconOf(model.Busy),
	model.Partly:  apptheme.IconOf(model.Partly),
	model.Blocked: apptheme.IconOf(model.Blocked),
	model.Fault:   apptheme.IconOf(model.Fault),
}

// MarkIcon returns the icon of a mark, in its colour.
func MarkIcon(m model.Mark) fyne.Resource {
	if m < 0 || int(m) >= len(markIcons) {
		m = model.Fault
	}
	return markIcons[m]
}

// MarkWord returns a mark in a word of the user's language.
func MarkWord(m model.Mark) string {
	switch m {
	case model.Off:
		return i18n.T("mark.off")
	case model.Safe:
		return i18n.T("mark.safe")
	case model.Busy:
		return i18n.T("mark.busy")
	case model.Partly:
		return i18n.T("mark.partly")
	case model.Blocked:
		return i18n.T("mark.blocked")
	}
	return i18n.T("mark.fault")
}
