package wizard

import (
	"context"
	"os"
	"path/filepath"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/dialog"
	"fyne.io/fyne/v2/storage"

	"sallyport/app/gather"
	"sallyport/app/i18n"
	"sallyport/app/ui/kit"
	"sallyport/core/api"
)

// A picker lets the user choose files and folders. It calls then with what was
// chosen, and not at all when the user gives up.
type picker interface {
	file(then func(path string))
	folder(then func(path string))
}

// dialogs are the toolkit's own file dialogs.
type dialogs struct{ env *kit.Env }

// lastFolder remembers where the user was while the program runs. Only Fyne's
// goroutine touches it.
var lastFolder string

func (d dialogs) file(then func(string)) {
	fd := dialog.NewFileOpen(func(r fyne.URIReadCloser, err error) {
		if err != nil || r == nil {
			return
		}
		path := r.URI().Path()
		_ = r.Close() // it is read again, in bounds
		lastFolder = filepath.Dir(path)
		then(path)
	}, d.env.Window)
	d.show(fd)
}

func (d dialogs) folder(then func(string)) {
	fd := dialog.NewFolderOpen(func(u fyne.ListableURI, err error) {
		if err != nil || u == nil {
			return
		}
		lastFolder = u.Path()
		then(u.Path())
	}, d.env.Window)
	d.show(fd)
}

func (d dialogs) show(fd *dialog.FileDialog) {
	at := lastFolder
	if at == "" {
		at, _ = os.UserHomeDir() // without a home the dialog starts where it likes
	}
	if l, err := storage.ListerForURI(storage.NewFileURI(at)); err == nil {
		fd.SetLocation(l)
	}
	s := d.env.Window.Canvas().Size()
	fd.Resize(fyne.NewSize(s.Width*0.9, s.Height*0.9))
	fd.Show()
}

// maxFile bounds a certificate or key.
const maxFile = 4 << 20

// readFile reads a file that the user chose, beside Fyne's goroutine.
func readFile(env *kit.Env, path string, then func(data []byte, fault string)) {
	var data []byte
	env.Run(func(context.Context) (err error) {
		data, err = gather.Named(path, maxFile)
		return err
	}, func(err error) {
		if err == nil {
			then(data, "")
			return
		}
		why := api.AsError(err).Why
		if why == "" {
			why = i18n.T("wizard.fault.tooLarge")
		}
		then(nil, i18n.T("wizard.fault.unreadable", "File", filepath.Base(path), "Why", why))
	})
}
