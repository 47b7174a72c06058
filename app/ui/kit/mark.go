package kit

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/theme"

	"sallyport/app/i18n"
	"sallyport/app/model"
)

// The marks differ in outline, so that they can be told apart without colour:
// a ring, a shield, a dotted ring, half a shield, a barred disc and a triangle.
const (
	shieldPath = "M12 2 4 5v6.1c0 5 3.4 9.6 8 10.9 4.6-1.3 8-5.9 8-10.9V5z"
	ringPath   = "M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17zm0 2.4a6.1 6.1 0 1 1 0 12.2 6.1 6.1 0 0 1 0-12.2z"
	dotsPath   = "M12 2.2a2.1 2.1 0 1 0 0 4.2 2.1 2.1 0 0 0 0-4.2zM18.9 6.2a2 2 0 1 0 0 4 2 2 0 0 0 0-4zM18.9 13.8a1.8 1.8 0 1 0 0 3.6 1.8 1.8 0 0 0 0-3.6z" +
		"M12 18a1.6 1.6 0 1 0 0 3.2 1.6 1.6 0 0 0 0-3.2zM5.1 14.2a1.4 1.4 0 1 0 0 2.8 1.4 1.4 0 0 0 0-2.8zM5.1 7a1.2 1.2 0 1 0 0 2.4 1.2 1.2 0 0 0 0-2.4z"
	tickPath     = "M10.7 16.3 6.9 12.5l1.6-1.6 2.2 2.2 4.9-4.9 1.6 1.6z"
	halfPath     = "M12 4.2v15.6c-3.4-1.2-5.9-4.7-5.9-8.7V6.4z"
	barPath      = "M12 2.5a9.5 9.5 0 1 0 0 19 9.5 9.5 0 0 0 0-19zM6.5 10.4h11v3.2h-11z"
	trianglePath = "M12 2.6 1.4 21h21.2zM10.9 9.3h2.2v6h-2.2zM10.9 16.8h2.2V19h-2.2z"
)

func markSVG(path string) string {
	return `<svg xmlns="http://www.w3.org/2000/svg" width="24" height="24" viewBox="0 0 24 24"><path fill="#000000" fill-rule="evenodd" d="` + path + `"/></svg>`
}

var markIcons = [...]fyne.Resource{
	model.Off:     markIcon(model.Off, ringPath),
	model.Safe:    markIcon(model.Safe, shieldPath+tickPath),
	model.Busy:    markIcon(model.Busy, dotsPath),
	model.Partly:  markIcon(model.Partly, shieldPath+halfPath),
	model.Blocked: markIcon(model.Blocked, barPath),
	model.Fault:   markIcon(model.Fault, trianglePath),
}

func markIcon(m model.Mark, path string) fyne.Resource {
	return theme.NewColoredResource(fyne.NewStaticResource("mark-"+m.String()+".svg", []byte(markSVG(path))), MarkColor(m))
}

// MarkIcon returns the icon of a mark, in its colour of the theme.
func MarkIcon(m model.Mark) fyne.Resource {
	if m < 0 || int(m) >= len(markIcons) {
		m = model.Fault
	}
	return markIcons[m]
}

// MarkColor returns the theme's name for the colour of a mark.
func MarkColor(m model.Mark) fyne.ThemeColorName {
	switch m {
	case model.Off:
		return theme.ColorNamePlaceHolder
	case model.Safe:
		return theme.ColorNameSuccess
	case model.Busy:
		return theme.ColorNamePrimary
	case model.Partly:
		return theme.ColorNameWarning
	}
	return theme.ColorNameError
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
