package diagnosis

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/dialog"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"sallyport/app/bundle"
	"sallyport/app/i18n"
	"sallyport/app/ui/kit"
	"sallyport/core/api"
)

// Limits of the preview.
const (
	maxPreview = 4 << 20 // bytes of one file
	maxColumns = 400     // of a line
)

// bundleTab makes the diagnostics bundle. What is saved is what was previewed,
// to the byte.
type bundleTab struct {
	env    *kit.Env
	redact *kit.Check
	warn   *kit.Note
	make   *kit.Button
	save   *kit.Button
	busy   *kit.Busy
	result *widget.Label

	files   *kit.Table
	lines   *widget.List
	preview *fyne.Container
	body    *fyne.Container
	what    fyne.CanvasObject
	root    fyne.CanvasObject

	data   []byte // the archive; nil: none is made
	list   []*zip.File
	text   []string // of the file on show
	making bool
	gen    int // of what was asked for last
}

func newBundleTab(env *kit.Env) *bundleTab {
	t := &bundleTab{env: env, warn: kit.Warning(i18n.T("diagnosis.bundle_plain")), busy: kit.NewBusy(""), result: kit.Text("")}
	t.warn.Hide()
	t.result.Hide()
	t.result.Selectable = true
	t.redact = kit.NewCheck(i18n.T("diagnosis.bundle_redact"), func(on bool) {
		kit.SetShown(t.warn, !on)
		if t.data != nil || t.making {
			t.build()
		}
		t.root.Refresh()
	})
	t.redact.Checked = true
	t.make = kit.NewPrimary(i18n.T("diagnosis.bundle_make"), theme.VisibilityIcon(), t.build)
	t.save = kit.NewPrimary(i18n.T("diagnosis.bundle_save"), theme.DocumentSaveIcon(), t.askWhere)
	t.save.Hide()

	t.files = kit.NewTable([]kit.TableColumn{
		{Title: i18n.T("diagnosis.bundle_file"), Width: 10, Grow: true},
		{Title: i18n.T("diagnosis.bundle_size"), Width: 5, Right: true},
	}, func() int { return len(t.list) }, func(row, col int) kit.Cell {
		if col == 0 {
			return kit.Cell{Text: t.list[row].Name, Icon: theme.DocumentIcon()}
		}
		return kit.Cell{Text: i18n.Bytes(t.list[row].UncompressedSize64)}
	}, func(row int) string { return t.list[row].Name })
	t.files.OnSelected = t.open
	t.lines = widget.NewList(func() int { return len(t.text) }, func() fyne.CanvasObject { return canvas.NewText("", nil) },
		func(i int, o fyne.CanvasObject) {
			if i < len(t.text) {
				l, settings := o.(*canvas.Text), fyne.CurrentApp().Settings()
				l.Text, l.TextSize, l.TextStyle.Monospace = t.text[i], theme.TextSize()*0.93, true
				l.Color = settings.Theme().Color(theme.ColorNameForeground, settings.ThemeVariant())
				l.Refresh()
			}
		})
	t.lines.HideSeparators = true
	split := container.NewHSplit(t.files, kit.NewPanel(t.lines))
	split.Offset = 0.36
	t.preview = container.New(turnLayout{split}, split)
	t.what = container.NewVScroll(kit.Measure(46, kit.Column(
		kit.WithIcon(theme.ConfirmIcon(), kit.Text(i18n.T("diagnosis.bundle_has"))),
		kit.WithIcon(theme.CancelIcon(), kit.Text(i18n.T("diagnosis.bundle_has_not"))),
		kit.WithIcon(theme.InfoIcon(), kit.Text(i18n.T("diagnosis.bundle_local"))))))
	t.body = container.NewStack(t.what)
	top := kit.Spread(kit.Muted(i18n.T("diagnosis.bundle_text")), t.redact, t.warn, kit.Flow(t.make, t.save), t.busy, t.result)
	t.root = kit.Below(top, t.body)
	return t
}

// build makes the archive anew.
func (t *bundleTab) build() {
	t.gen++
	gen, plain := t.gen, !t.redact.Checked
	t.making = true
	t.data = nil
	t.make.Disable()
	t.save.Disable()
	t.result.Hide()
	t.busy.Start(i18n.T("diagnosis.bundle_making"))
	var buf bytes.Buffer
	t.env.Run(func(ctx context.Context) error {
		return bundle.Write(ctx, &buf, t.env.Model.Backend(), bundle.Options{Plain: plain, Now: t.env.Now()})
	}, func(err error) {
		if gen != t.gen {
			return
		}
		t.making = false
		t.busy.Stop()
		t.make.Enable()
		if err == nil {
			err = t.take(buf.Bytes())
		}
		if err != nil {
			kit.ShowError(t.env, err)
		}
		t.root.Refresh()
	})
	t.root.Refresh()
}

// take shows what an archive holds.
func (t *bundleTab) take(data []byte) error {
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return err
	}
	t.data, t.list = data, z.File
	t.make.SetText(i18n.T("diagnosis.bundle_again"))
	t.make.Importance = widget.LowImportance
	t.make.Refresh()
	t.save.Enable()
	t.save.Show()
	t.body.Objects[0] = t.preview
	t.body.Refresh()
	row, ok := t.files.Selected()
	t.files.Update()
	if !ok {
		t.files.Select(0)
	} else {
		t.open(row)
	}
	return nil
}

// open shows a file of the archive.
func (t *bundleTab) open(row int) {
	text, err := read(t.list[row])
	if err != nil {
		kit.ShowError(t.env, err)
		return
	}
	t.text = text
	t.lines.Refresh()
	t.lines.ScrollToTop()
}

// read returns the lines of a file, as far as a person reads.
func read(f *zip.File) ([]string, error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, maxPreview))
	if err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
	for i, l := range lines {
		if runes := []rune(l); len(runes) > maxColumns {
			l = string(runes[:maxColumns]) + "…"
		}
		lines[i] = kit.Clean(l)
	}
	if f.UncompressedSize64 > maxPreview {
		lines = append(lines, "…")
	}
	return lines, nil
}

// askWhere asks where to save the archive.
func (t *bundleTab) askWhere() {
	if t.data == nil {
		return
	}
	d := dialog.NewFileSave(func(w fyne.URIWriteCloser, err error) {
		switch {
		case err != nil:
			kit.ShowError(t.env, err)
		case w != nil:
			path := w.URI().Path()
			_ = w.Close() // it is empty, and will be replaced
			t.saveTo(path)
		}
	}, t.env.Window)
	d.SetFileName("sallyport-diagnosis-" + t.env.Now().Format("20060102-1504") + ".zip")
	d.Show()
}

func (t *bundleTab) saveTo(path string) {
	data := t.data
	t.env.Run(func(context.Context) error { return writePrivate(path, data) }, func(err error) {
		if err != nil {
			kit.ShowError(t.env, &api.Error{Code: api.CodeInternal, What: fmt.Sprintf("%s could not be written.", path), Why: err.Error(),
				Params: map[string]string{"detail": err.Error()}})
			return
		}
		kit.SetText(t.result, i18n.T("diagnosis.bundle_saved", "Path", path))
		t.result.Show()
		t.root.Refresh()
	})
}

// writePrivate writes a file that only its owner can read (0600), whole or not
// at all, in the place of one that may be there.
func writePrivate(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".sallyport-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // nothing is there once it has its name
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	return err
}
