package policies

import (
	"context"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"sallyport/app/i18n"
	"sallyport/app/policydraft"
	"sallyport/app/ui/kit"
	"sallyport/core/api"
)

// assign shows what assigning a policy would change, and does it when the user
// agrees.
func (v *View) assign(name string) {
	var res api.AssignResult
	v.env.Run(func(ctx context.Context) (err error) {
		res, err = v.service().Assign(ctx, name, true)
		return err
	}, func(err error) {
		if err != nil {
			v.refused(name, err)
			return
		}
		v.preview(name, res)
	})
}

// refused says why a policy cannot be assigned, and leads to the place.
func (v *View) refused(name string, err error) {
	e := api.AsError(err)
	p, _ := v.find(name)
	if e.Position == nil || p.Predefined {
		kit.ShowError(v.env, err)
		return
	}
	var d *kit.Dialog
	show := kit.NewPrimary(i18n.T("policies.problem.show"), theme.DocumentCreateIcon(), func() {
		d.Hide()
		if v.detail.name == name {
			v.detail.edit(e.Position.Field)
		}
	})
	d = newDialog(v.env, i18n.T("policies.assign.refused"), kit.Column(kit.NewErrorCard(e), kit.Text(reason(e))),
		kit.NewButton(i18n.T("common.close"), nil, func() { d.Hide() }), show)
	d.Focus = show
	d.Show()
}

func (v *View) preview(name string, res api.AssignResult) {
	objects := []fyne.CanvasObject{}
	a := v.snap.Assignment
	switch {
	case a == nil:
		objects = append(objects, kit.Text(i18n.T("policies.assign.first", "Name", kit.Clean(name))))
	case a.Policy == name:
		objects = append(objects, kit.Text(i18n.T("policies.assign.same", "Name", kit.Clean(name))))
	default:
		objects = append(objects, kit.Text(i18n.T("policies.assign.other", "Name", kit.Clean(name), "Old", kit.Clean(a.Policy))))
	}
	const mostWarnings = 5
	for _, w := range res.Warnings[:min(len(res.Warnings), mostWarnings)] {
		objects = append(objects, kit.Warning(kit.Clean(w)))
	}
	if more := len(res.Warnings) - mostWarnings; more > 0 {
		objects = append(objects, kit.Muted(i18n.T("policies.assign.warnings", "Count", more)))
	}
	objects = append(objects, section(i18n.T("policies.changes"), i18n.T("policies.changes.none"), changeLines(res.Changes)),
		section(i18n.T("policies.order"), i18n.T("policies.order.none"), orderLines(res.Order)))
	var d *kit.Dialog
	do := kit.NewPrimary(i18n.T("policies.assign.verb"), theme.MediaPlayIcon(), func() {
		d.Hide()
		v.env.Run(func(ctx context.Context) error {
			_, err := v.service().Assign(ctx, name, false)
			return err
		}, func(err error) {
			if err != nil {
				v.refused(name, err)
			}
			v.refresh()
		})
	})
	cancel := kit.NewButton(i18n.T("common.cancel"), nil, func() { d.Cancel() })
	d = newDialog(v.env, i18n.T("policies.assign.title"), kit.Column(objects...), cancel, do)
	d.Width, d.Focus = 46, do
	d.Show()
}

// A line is one of a long list, with a mark before it.
type line struct {
	sign string
	text string
	tone widget.Importance
}

// changeLines are the lines of a difference: "+ ...", "- ...", "~ ...".
func changeLines(changes []string) []line {
	out := make([]line, len(changes))
	for i, c := range changes {
		out[i] = line{text: kit.Clean(c)}
		sign, rest, ok := strings.Cut(c, " ")
		if !ok {
			continue
		}
		switch sign {
		case "+":
			out[i] = line{i18n.T("policies.change.new"), kit.Clean(rest), widget.SuccessImportance}
		case "-":
			out[i] = line{i18n.T("policies.change.gone"), kit.Clean(rest), widget.DangerImportance}
		case "~":
			out[i] = line{i18n.T("policies.change.changed"), kit.Clean(rest), widget.WarningImportance}
		}
	}
	return out
}

func orderLines(order []string) []line {
	out := make([]line, len(order))
	for i, o := range order {
		out[i] = line{i18n.Number(i + 1), kit.Clean(o), widget.LowImportance}
	}
	return out
}

// section shows lines below a title, of which only those in sight cost anything.
func section(title, none string, lines []line) fyne.CanvasObject {
	head := kit.Caption(title)
	if len(lines) == 0 {
		return kit.Tight(head, kit.Muted(none))
	}
	const few = 8
	if len(lines) <= few {
		objects := []fyne.CanvasObject{}
		for _, l := range lines {
			objects = append(objects, newLine(l, true))
		}
		return kit.Tight(head, kit.Tight(objects...))
	}
	l := widget.NewList(func() int { return len(lines) }, func() fyne.CanvasObject { return newLine(line{}, false) },
		func(i widget.ListItemID, o fyne.CanvasObject) { o.(*lineRow).set(lines[i]) })
	l.HideSeparators = true
	return kit.Column(head, container.New(tall{9}, l))
}

// tall is as high as so many lines of text.
type tall struct{ lines float32 }

func (t tall) MinSize(o []fyne.CanvasObject) fyne.Size {
	return fyne.NewSize(o[0].MinSize().Width, t.lines*theme.TextSize()*1.9)
}

func (t tall) Layout(o []fyne.CanvasObject, s fyne.Size) {
	o[0].Move(fyne.Position{})
	o[0].Resize(s)
}

// A lineRow is a line with its sign in a column of its own.
type lineRow struct {
	widget.BaseWidget
	sign, text *widget.Label
	box        *fyne.Container
}

func newLine(l line, wrap bool) *lineRow {
	r := &lineRow{sign: kit.Text(""), text: kit.Text("")}
	r.sign.Wrapping = fyne.TextWrapOff
	r.text.Selectable = wrap
	if !wrap {
		r.text.Wrapping, r.text.Truncation = fyne.TextWrapOff, fyne.TextTruncateEllipsis
	}
	r.sign.TextStyle.Bold = true
	r.box = container.New(signLayout{}, r.sign, r.text)
	r.ExtendBaseWidget(r)
	r.set(l)
	return r
}

func (r *lineRow) set(l line) {
	r.sign.Importance = l.tone
	r.sign.SetText(l.sign)
	kit.SetText(r.text, l.text)
}

// CreateRenderer implements fyne.Widget.
func (r *lineRow) CreateRenderer() fyne.WidgetRenderer { return widget.NewSimpleRenderer(r.box) }

type signLayout struct{}

func (signLayout) width() float32 { return theme.TextSize() * 6 }

func (l signLayout) MinSize(o []fyne.CanvasObject) fyne.Size {
	w := max(l.width(), o[0].MinSize().Width)
	m := o[1].MinSize()
	return fyne.NewSize(w+m.Width, max(o[0].MinSize().Height, m.Height))
}

func (l signLayout) Layout(o []fyne.CanvasObject, s fyne.Size) {
	w := max(l.width(), o[0].MinSize().Width)
	o[0].Move(fyne.Position{})
	o[0].Resize(fyne.NewSize(w, o[0].MinSize().Height))
	o[1].Move(fyne.NewPos(w, 0))
	o[1].Resize(fyne.NewSize(s.Width-w, s.Height))
}

// unassign ends the assigned policy. Where traffic may lose its protection the
// user is asked first.
func (v *View) unassign(name string, draft *policydraft.Draft) {
	do := func() {
		v.env.Run(func(ctx context.Context) error { return v.service().Unassign(ctx) }, func(err error) {
			if err != nil {
				kit.ShowError(v.env, err)
			}
			v.refresh()
		})
	}
	if draft != nil && !protects(draft.Policy()) {
		do()
		return
	}
	kit.Confirm(v.env, i18n.T("policies.unassign.title"), i18n.T("policies.unassign.text", "Name", kit.Clean(name)), i18n.T("policies.unassign.verb"), true, do)
}

// compare shows how another policy differs from one.
func (v *View) compare(name string) {
	var others []option
	for _, p := range v.policies {
		if p.Name != name {
			others = append(others, option{p.Name, kit.Clean(p.Name)})
		}
	}
	result := container.NewStack()
	busy := kit.NewBusy("")
	var d *kit.Dialog
	asked := 0
	ask := func(other string) {
		asked++
		mine := asked
		var changes []string
		busy.Start(i18n.T("policies.compare.busy"))
		v.env.Run(func(ctx context.Context) (err error) {
			changes, err = v.service().DiffPolicies(ctx, name, other)
			return err
		}, func(err error) {
			if mine != asked {
				return
			}
			busy.Stop()
			result.Objects = []fyne.CanvasObject{section(i18n.T("policies.changes"), i18n.T("policies.compare.same"), changeLines(changes))}
			if err != nil {
				result.Objects[0] = kit.NewErrorCard(api.AsError(err))
			}
			result.Refresh()
			d.Refit()
		})
	}
	choose := selection(others, "", ask)
	choose.PlaceHolder = i18n.T("policies.compare.choose")
	d = newDialog(v.env, i18n.T("policies.compare.title"),
		kit.Column(kit.Text(i18n.T("policies.compare.text", "Name", kit.Clean(name))), choose, busy, result),
		kit.NewPrimary(i18n.T("common.close"), nil, func() { d.Hide() }))
	d.Width, d.Focus = 44, choose
	d.Show()
}
