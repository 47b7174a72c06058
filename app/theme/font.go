package theme

import (
	"fyne.io/fyne/v2"

	"sallyport/assets"
)

// cjk is made once: Fyne tells fonts apart by the resource.
var cjk = fyne.NewStaticResource("SallyportCJK.otf", assets.FontCJK)

// FontFor returns the font that the texts of a language need before the
// built-in one; nil when that has all of them.
func FontFor(language string) fyne.Resource {
	if language == "zh" {
		return cjk
	}
	return nil
}
