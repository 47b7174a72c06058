package wizard

import (
	"context"
	"image/color"
	"path/filepath"
	"slices"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"

	"sallyport/app/draft"
	"sallyport/app/gather"
	"sallyport/app/i18n"
	"sallyport/app/model"
	"sallyport/app/ui/kit"
	"sallyport/core/api"
)

// Import opens the import with these files, which were chosen, dropped on the
// window or named on the command line. Without files it asks for them. While
// an import is open, the files join it.
func Import(env *kit.Env, files []string) { importFiles(env, files, dialogs{env}) }

func importFiles(env *kit.Env, files []string, pick picker) *importer {
	for _, o := range env.Window.Canvas().Overlays().List() {
		if s, ok := o.(*sheet); ok {
			if im, ok := s.owner.(*importer); ok {
				im.add(files)
				return im
			}
		}
	}
	im := &importer{env: env, pick: pick}
	im.cancel = kit.NewQuiet(i18n.T("common.cancel"), nil, im.leave)
	im.more = kit.NewButton(i18n.T("wizard.import.choose"), theme.FolderOpenIcon(), im.choose)
	im.do = kit.NewPrimary("", theme.DownloadIcon(), im.store)
	im.connect = kit.NewButton("", theme.LoginIcon(), im.connectNow)
	im.busy = kit.NewBusy("")
	im.body = kit.Spread()
	im.sheet = newSheet(env, i18n.T("wizard.import.title"), nil, nil, kit.Column(im.body, im.busy), im.cancel, im.more, im.connect, im.do)
	im.sheet.owner = im
	im.sheet.onEscape = im.leave
	im.sheet.onEnter = func() {
		if im.do.Visible() && !im.do.Disabled() {
			im.do.OnTapped()
		}
	}
	im.sheet.open()
	im.add(files)
	if len(files) == 0 {
		im.choose()
	}
	return im
}

// maxSources bounds how many files one import takes: what someone drops by
// mistake is a whole folder.
const maxSources = 50

// An importer is the import while it is open.
type importer struct {
	env     *kit.Env
	pick    picker
	sheet   *sheet
	body    *fyne.Container
	busy    *kit.Busy
	sources []*source
	working int
	tooMany bool

	cancel, more, do, connect *kit.Button
}

// A source is one file with what it holds.
type source struct {
	im      *importer
	path    string
	files   *gather.Files
	result  api.ImportResult
	err     *api.Error
	clash   []string // names of it that connections have already
	name    string   // to import it under, when it holds one connection
	renamed bool
	replace bool
	done    bool
	stale   bool // the name has changed since the preview
	busy    bool // the service is asked about it

	password *kit.Entry
	secret   []byte
	box      *fyne.Container
}

func (im *importer) choose() { im.pick.file(func(path string) { im.add([]string{path}) }) }

// add reads and previews files that are not there yet.
func (im *importer) add(paths []string) {
	for _, path := range paths {
		if slices.ContainsFunc(im.sources, func(s *source) bool { return s.path == path }) {
			continue
		}
		if len(im.sources) == maxSources {
			im.tooMany = true
			break
		}
		s := &source{im: im, path: path, box: kit.Column(), password: kit.NewSecretEntry()}
		s.password.OnSubmitted = func(string) { s.unlock() }
		im.sources = append(im.sources, s)
		s.preview()
	}
	im.refresh()
}

// preview asks the service what would become of the file.
func (s *source) preview() {
	if s.busy {
		return // the answer that comes decides what is next
	}
	s.busy = true
	s.im.work(i18n.T("wizard.import.reading"))
	var clash []string
	var res api.ImportResult
	files := s.files
	req := api.ImportRequest{DryRun: true, Name: s.wanted(), Password: slices.Clone(s.secret), Replace: s.replace}
	s.im.env.Run(func(ctx context.Context) (err error) {
		defer clear(req.Password)
		if files == nil {
			if files, err = gather.Open(s.path); err != nil {
				return err
			}
		}
		again := req
		again.Password = slices.Clone(req.Password) // Import wipes what it gets
		service := s.im.env.Model.Backend()
		res, err = files.Import(ctx, service, req)
		if e := api.AsError(err); e != nil && e.Code == api.CodeExists {
			again.Replace = true
			res, err = files.Import(ctx, service, again)
			clear(again.Password)
		}
		return files.Annotate(err)
	}, func(err error) {
		s.files, s.result, s.err, s.stale, s.busy = files, res, api.AsError(err), false, false
		for _, c := range res.Imported {
			if s.im.exists(c.Name) {
				clash = append(clash, c.Name)
			}
		}
		s.clash = clash
		if s.name == "" && len(res.Imported) == 1 {
			s.name = res.Imported[0].Name
		}
		s.im.rest()
	})
}

// wanted is the name that the request asks for, empty when the file's own is
// kept.
func (s *source) wanted() string {
	if s.renamed {
		return s.name
	}
	return ""
}

func (im *importer) exists(name string) bool {
	return slices.ContainsFunc(im.env.Model.Snapshot().Connections, func(c model.Connection) bool { return strings.EqualFold(c.Name, name) })
}

// unlock previews again with the secret that the user has typed.
func (s *source) unlock() {
	clear(s.secret)
	if s.secret = []byte(s.password.Text); len(s.secret) > 0 {
		s.preview()
	}
}

// needsPassword reports whether the file can be taken once a secret is given.
func (s *source) needsPassword() bool {
	return s.err != nil && s.err.Code == api.CodeLocalCredential && s.err.Params["needs"] == "password"
}

// ready reports whether the file can be stored as it stands.
func (s *source) ready() bool {
	if s.done || s.busy || s.err != nil || len(s.result.Imported) == 0 || s.stale {
		return false
	}
	return s.replace || len(s.clash) == 0
}

func (im *importer) work(what string) {
	im.working++
	im.busy.Start(what)
	im.refresh()
}

func (im *importer) rest() {
	if im.working--; im.working == 0 {
		im.busy.Stop()
	}
	im.refresh()
}

// store imports every file that is ready.
func (im *importer) store() {
	if im.working > 0 {
		return
	}
	if im.allDone() {
		im.finish()
		return
	}
	for _, s := range im.sources {
		if !s.ready() {
			continue
		}
		req := api.ImportRequest{Name: s.wanted(), Password: slices.Clone(s.secret), Replace: s.replace}
		var res api.ImportResult
		s.busy = true
		im.work(i18n.T("wizard.import.storing"))
		im.env.Run(func(ctx context.Context) (err error) {
			defer clear(req.Password)
			res, err = s.files.Import(ctx, im.env.Model.Backend(), req)
			return s.files.Annotate(err)
		}, func(err error) {
			s.busy = false
			if s.err = api.AsError(err); err == nil {
				s.result.Imported, s.result.Refused = res.Imported, res.Refused
				s.done = true
				clear(s.secret)
				s.password.SetText("")
			}
			im.rest()
		})
	}
}

func (im *importer) names() (names []string) {
	for _, s := range im.sources {
		if s.done {
			for _, c := range s.result.Imported {
				names = append(names, c.Name)
			}
		}
	}
	return names
}

// allDone reports whether nothing is left that could be imported.
func (im *importer) allDone() bool {
	return len(im.sources) > 0 && im.working == 0 && !slices.ContainsFunc(im.sources, func(s *source) bool { return !s.done })
}

func (im *importer) finish() {
	im.close()
	if names := im.names(); len(names) > 0 {
		im.env.Go(kit.Connections, names[0])
	}
}

func (im *importer) connectNow() {
	names := im.names()
	im.finish()
	if len(names) == 1 {
		im.env.Run(func(ctx context.Context) error { return im.env.Model.Connect(ctx, names[0]) }, func(error) {
			// Why it did not connect stands in the connection's own page.
		})
	}
}

// leave closes the import, and asks first when something previewed would be lost.
func (im *importer) leave() {
	waiting := slices.ContainsFunc(im.sources, func(s *source) bool { return s.ready() || s.needsPassword() })
	if !waiting {
		im.finish()
		return
	}
	kit.Confirm(im.env, i18n.T("wizard.import.leave"), i18n.T("wizard.import.leave.text"), i18n.T("wizard.leave.yes"), true, im.finish)
}

func (im *importer) close() {
	for _, s := range im.sources {
		clear(s.secret)
	}
	im.sheet.close()
}

// refresh shows the files as they stand.
func (im *importer) refresh() {
	im.body.Objects = nil
	if len(im.sources) == 0 {
		im.body.Objects = []fyne.CanvasObject{tall(im.sheet, kit.Empty(theme.NewThemedResource(theme.DownloadIcon()), i18n.T("wizard.import.empty"), i18n.T("wizard.import.empty.text")))}
	}
	n := 0
	for _, s := range im.sources {
		s.show()
		im.body.Objects = append(im.body.Objects, s.box)
		if s.ready() {
			n += len(s.result.Imported)
		}
	}
	if im.tooMany {
		im.body.Objects = append(im.body.Objects, kit.Warning(i18n.T("wizard.import.tooMany", "Max", maxSources)))
	}
	done := im.allDone()
	switch {
	case done:
		im.do.SetText(i18n.T("wizard.import.done"))
		im.do.SetIcon(theme.ConfirmIcon())
	case n == 0:
		im.do.SetText(i18n.T("wizard.import.none"))
		im.do.SetIcon(theme.DownloadIcon())
	default:
		im.do.SetText(i18n.T("wizard.import.do", "Count", n))
		im.do.SetIcon(theme.DownloadIcon())
	}
	if im.working > 0 || n == 0 && !done {
		im.do.Disable()
	} else {
		im.do.Enable()
	}
	kit.SetShown(im.do, len(im.sources) > 0)
	kit.SetShown(im.cancel, !done)
	kit.SetShown(im.more, !done)
	names := im.names()
	if kit.SetShown(im.connect, done && len(names) == 1); len(names) == 1 {
		im.connect.SetText(i18n.T("wizard.import.connect", "Name", names[0]))
	}
	im.sheet.relayout()
}

// show draws the card of a file.
func (s *source) show() {
	name := kit.Subheading(kit.Clean(filepath.Base(s.path)))
	rows := []fyne.CanvasObject{name}
	switch {
	case s.err != nil:
		rows = append(rows, s.failure()...)
	case s.done:
		for _, c := range s.result.Imported {
			rows = append(rows, kit.Text(i18n.T("wizard.import.stored", "Name", c.Name)))
		}
	case len(s.result.Imported) == 0 && len(s.result.Refused) == 0 && s.result.Format == "":
		// The answer is still awaited.
	default:
		rows = append(rows, s.found()...)
	}
	rows = append(rows, s.leftOut()...)
	s.box.Objects = []fyne.CanvasObject{kit.CardBox(rows...)}
	s.box.Refresh()
}

// failure says why the file cannot be taken, and asks for the secret that it
// lacks.
func (s *source) failure() []fyne.CanvasObject {
	if s.files == nil { // it did not get as far as the service
		why := s.err.Why
		if why == "" {
			why = i18n.T("wizard.fault.tooLarge")
		}
		f := newFault()
		f.set(i18n.T("wizard.fault.unreadable", "File", kit.Clean(s.path), "Why", why))
		return []fyne.CanvasObject{f.box}
	}
	if !s.needsPassword() {
		rows := []fyne.CanvasObject{kit.NewErrorCard(s.err)}
		if p := s.err.Position; p != nil && p.Field != "" {
			rows = append(rows, kit.Muted(i18n.T("wizard.import.field", "Field", kit.Clean(p.Field))))
		}
		return rows
	}
	text := i18n.T("wizard.import.secret.text")
	if len(s.secret) > 0 {
		text = i18n.T("wizard.import.secret.wrong")
	}
	open := kit.NewButton(i18n.T("wizard.import.secret.open"), theme.ConfirmIcon(), s.unlock)
	return []fyne.CanvasObject{kit.Text(text), labelled(i18n.T("wizard.import.secret.label"), "", s.password, nil), kit.Flow(open)}
}

// found previews the connections of the file.
func (s *source) found() []fyne.CanvasObject {
	var rows []fyne.CanvasObject
	if len(s.result.Imported) == 0 {
		rows = append(rows, kit.Warning(i18n.T("wizard.import.nothing")))
	}
	for _, c := range s.result.Imported {
		rows = append(rows, preview(c)...)
	}
	return append(rows, s.named()...)
}

// named offers another name, or to replace what has the name already.
func (s *source) named() []fyne.CanvasObject {
	if len(s.clash) == 0 && !s.replace && !s.renamed {
		return nil
	}
	var rows []fyne.CanvasObject
	if len(s.clash) > 0 {
		rows = append(rows, kit.Warning(i18n.T("wizard.import.clash", "Names", strings.Join(s.clash, ", "))))
	}
	options := []kit.Option{{ID: "replace", Title: i18n.T("wizard.import.replace"), Text: i18n.T("wizard.import.replace.text")}}
	one := len(s.result.Imported) == 1
	if one {
		options = append([]kit.Option{{ID: "rename", Title: i18n.T("wizard.import.rename"), Text: i18n.T("wizard.import.rename.text")}}, options...)
	}
	choice := kit.NewChoice(options, func(id string) {
		s.replace, s.renamed = id == "replace", id == "rename"
		if s.renamed {
			d := draft.Draft{Gateways: []string{s.name}}
			s.name = d.SuggestName(s.im.exists)
		} else {
			s.name = ""
		}
		s.preview()
	})
	if s.busy {
		choice.Disable()
	}
	if s.replace {
		choice.SetSelected("replace")
	} else if s.renamed {
		choice.SetSelected("rename")
	}
	rows = append(rows, choice)
	if s.renamed {
		rows = append(rows, s.nameField())
	}
	return rows
}

func (s *source) nameField() fyne.CanvasObject {
	e, f := kit.NewEntry(), newFault()
	e.SetText(s.name)
	try := kit.NewButton(i18n.T("wizard.import.tryName"), theme.ConfirmIcon(), nil)
	try.OnTapped = func() {
		if k := draft.CheckName(s.name); k != "" {
			f.set(faultText(draft.Fault{Field: draft.FieldName, Kind: k}))
			s.im.sheet.relayout()
			return
		}
		s.preview()
	}
	e.OnSubmitted = func(string) { try.OnTapped() }
	e.OnChanged = func(text string) {
		if s.name = text; !s.stale {
			s.stale = true
			s.im.do.Disable() // what it would do is not known any more
		}
		f.set("")
		kit.SetShown(try, true)
	}
	return kit.Column(labelled(i18n.T("wizard.name.label"), i18n.T("wizard.name.hint"), e, f), kit.Flow(try))
}

// leftOut lists connections that are refused and files that were not readable.
func (s *source) leftOut() []fyne.CanvasObject {
	var rows []fyne.CanvasObject
	add := func(title string, lines []string) {
		if len(lines) == 0 {
			return
		}
		rows = append(rows, kit.Caption(title))
		for i, l := range lines {
			if i == maxLines {
				rows = append(rows, kit.Muted(i18n.T("wizard.import.moreLines", "Count", len(lines)-i)))
				break
			}
			rows = append(rows, kit.WithIcon(theme.NewErrorThemedResource(theme.CancelIcon()), kit.Text(kit.Clean(l))))
		}
	}
	add(i18n.T("wizard.import.refused"), s.result.Refused)
	if s.files != nil {
		add(i18n.T("wizard.import.unreadable"), s.files.Unreadable())
		if beside := s.files.Beside(); len(beside) > 0 {
			rows = append(rows, kit.Muted(i18n.T("wizard.import.beside", "Files", kit.Clean(strings.Join(beside, ", ")))))
		}
	}
	return rows
}

// maxLines bounds what one list of the preview shows.
const maxLines = 100

// tall gives o two thirds of the height that the sheet has.
func tall(s *sheet, o fyne.CanvasObject) fyne.CanvasObject {
	room := canvas.NewRectangle(color.Transparent)
	room.SetMinSize(fyne.NewSize(1, s.env.Window.Canvas().Size().Height*2/3))
	return container.NewStack(room, o)
}
