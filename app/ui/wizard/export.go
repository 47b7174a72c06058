package wizard

import (
	"context"
	"errors"
	"image"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
	"github.com/skip2/go-qrcode"

	"sallyport/app/draft"
	"sallyport/app/gather"
	"sallyport/app/i18n"
	"sallyport/app/ui/kit"
	"sallyport/core/api"
)

// Export asks where to and writes a connection as a file, without its secrets.
func Export(env *kit.Env, name string) { export(env, name, dialogs{env}) }

func export(env *kit.Env, name string, pick picker) {
	fetch(env, name, func(x api.Export) { saveAs(env, name, x, pick) })
}

// fetch asks the service for a connection as a file.
func fetch(env *kit.Env, name string, then func(api.Export)) {
	var x api.Export
	env.Run(func(ctx context.Context) (err error) {
		x, err = env.Model.Backend().Export(ctx, name)
		return err
	}, func(err error) {
		if err != nil {
			kit.ShowError(env, err)
			return
		}
		then(x)
	})
}

// saveAs asks where to write an export, and writes it.
func saveAs(env *kit.Env, name string, x api.Export, pick picker) {
	// The name is the service's: it names a file here and no folder.
	file := filepath.Base(filepath.FromSlash(x.Name))
	path, wrong := kit.NewEntry(), newFault()
	folder := lastFolder
	if folder == "" {
		folder, _ = os.UserHomeDir() // without a home the user writes the folder
	}
	path.SetText(filepath.Join(folder, file))
	var d *kit.Dialog
	browse := kit.NewButton(i18n.T("wizard.export.folder"), theme.FolderOpenIcon(), func() {
		pick.folder(func(dir string) { path.SetText(filepath.Join(dir, filepath.Base(path.Text))) })
	})
	write := func(replace bool) {
		at := strings.TrimSpace(path.Text)
		env.Run(func(context.Context) error { return writeFile(at, x.Text, replace) }, func(err error) {
			switch {
			case err == nil:
				d.Hide()
			case errors.Is(err, fs.ErrExist):
				kit.Confirm(env, i18n.T("wizard.export.exists.title"), i18n.T("wizard.export.exists", "File", at), i18n.T("wizard.export.overwrite"), true, func() {
					env.Run(func(context.Context) error { return writeFile(at, x.Text, true) }, func(err error) {
						if err == nil {
							d.Hide()
							return
						}
						wrong.set(i18n.T("wizard.export.failed", "Why", gather.Reason(err)))
						d.Refit()
					})
				})
			default:
				wrong.set(i18n.T("wizard.export.failed", "Why", gather.Reason(err)))
				d.Refit()
			}
		})
	}
	save := kit.NewPrimary(i18n.T("wizard.save"), theme.DocumentSaveIcon(), func() { write(false) })
	path.OnChanged = func(string) { wrong.set("") }
	path.OnSubmitted = func(string) { write(false) }
	content := kit.Column(kit.Text(i18n.T("wizard.export.text")), leftOutNote(x),
		labelled(i18n.T("wizard.export.to"), "", path, wrong), kit.Flow(browse))
	d = kit.NewDialog(env, i18n.T("wizard.export.title", "Name", name), content, kit.NewButton(i18n.T("common.cancel"), nil, func() { d.Cancel() }), save)
	d.Focus = path
	d.Show()
}

// leftOutNote says which secrets are not in an export.
func leftOutNote(x api.Export) fyne.CanvasObject {
	if len(x.Missing) == 0 {
		return kit.Info(i18n.T("wizard.export.nothingLeft"))
	}
	words := make([]string, len(x.Missing))
	for i, m := range x.Missing {
		words[i] = kit.Clean(secretName(m))
	}
	return kit.Info(i18n.T("wizard.export.left", "What", strings.Join(words, ", ")))
}

// secretName puts the service's name of a secret into the user's language, as
// far as it is known.
func secretName(s string) string {
	switch s {
	case "the pre-shared key":
		return i18n.T("wizard.asks.secret")
	case "the pre-shared key of the remote end":
		return i18n.T("wizard.left.remote")
	case "the private key of the certificate":
		return i18n.T("wizard.left.key")
	case "the encrypted private key of the certificate":
		return i18n.T("wizard.left.sealed")
	}
	return s
}

// writeFile writes a file that only this user can read. Without replace it
// writes no file that is there already; with it the old one stays until the
// new one is complete.
func writeFile(path string, data []byte, replace bool) (err error) {
	if !replace {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		return finish(f, data)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".sallyport-*") // made with 0600
	if err != nil {
		return err
	}
	if err := finish(f, data); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		_ = os.Remove(f.Name()) // the error that leads here is the one to tell
		return err
	}
	return nil
}

// finish writes and closes a new file, or removes it.
func finish(f *os.File, data []byte) error {
	_, err := f.Write(data)
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		_ = os.Remove(f.Name()) // the error that leads here is the one to tell
	}
	return err
}

// QR shows a connection, without its secrets, as a QR code.
func QR(env *kit.Env, name string) {
	fetch(env, name, func(x api.Export) { showQR(env, name, x, dialogs{env}) })
}

// maxQR bounds what goes into a code: a version above 25, with 117 modules a
// side, no telephone reads from a screen at arm's length.
const maxQR = 1273 // bytes at version 25, error correction L (ISO/IEC 18004)

// codeOf returns the code of a profile, and whether its certificates had to be
// left out. Without a code the profile is too large.
func codeOf(text []byte) (code image.Image, without bool) {
	small := text
	if len(text) > maxQR {
		d, err := draft.Parse(text)
		if err != nil {
			return nil, false
		}
		if small = d.WithoutCertificates(); len(small) > maxQR {
			return nil, false
		}
		without = len(text) > len(small) && d.Method != draft.PSK
	}
	level := qrcode.Medium
	if len(small) > 997 { // of version 25 with M
		level = qrcode.Low
	}
	q, err := qrcode.New(string(small), level)
	if err != nil {
		return nil, false
	}
	return q.Image(-4), without // four pixels a module, with the quiet zone
}

func showQR(env *kit.Env, name string, x api.Export, pick picker) {
	code, without := codeOf(x.Text)
	var d *kit.Dialog
	done := kit.NewButton(i18n.T("common.close"), nil, func() { d.Hide() })
	if code == nil {
		save := kit.NewPrimary(i18n.T("wizard.export"), theme.DocumentSaveIcon(), func() {
			d.Hide()
			saveAs(env, name, x, pick)
		})
		d = kit.NewDialog(env, i18n.T("wizard.qr.title", "Name", name), kit.Text(i18n.T("wizard.qr.tooLarge")), done, save)
		d.Focus = save
		d.Show()
		return
	}
	picture := canvas.NewImageFromImage(code)
	picture.ScaleMode = canvas.ImageScalePixels
	picture.FillMode = canvas.ImageFillContain
	side := min(float32(code.Bounds().Dx()), env.Window.Canvas().Size().Height*0.55)
	picture.SetMinSize(fyne.NewSquareSize(side))
	content := kit.Column(container.NewCenter(picture), kit.Text(i18n.T("wizard.qr.text")), leftOutNote(x))
	if without {
		content.Add(kit.Warning(i18n.T("wizard.qr.without")))
	}
	d = kit.NewDialog(env, i18n.T("wizard.qr.title", "Name", name), content, done)
	d.Focus = done
	d.Show()
}
