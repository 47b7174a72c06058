package connections

import (
	"testing"

	"fyne.io/fyne/v2"

	"sallyport/app/ui/kit"
	"sallyport/app/ui/uitest"
)

func page(name string) func(env *kit.Env) fyne.CanvasObject {
	return func(env *kit.Env) fyne.CanvasObject {
		v := New(env)
		o := uitest.Show(env, v)
		if name != "" {
			v.Select(name)
		}
		return o
	}
}

func TestPages(t *testing.T) {
	uitest.Golden(t, uitest.Calm(t), "page", uitest.Page, page("berlin"), uitest.Everything...)
}

func TestStates(t *testing.T) {
	for _, c := range uitest.Connections() {
		uitest.Golden(t, uitest.Calm(t), c.Name, uitest.Page, page(c.Name))
	}
}
