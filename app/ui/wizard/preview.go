package wizard

import (
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"sallyport/app/i18n"
	"sallyport/app/ui/kit"
	"sallyport/core/api"
)

// preview tells what a connection of a file will be here: what the gateway
// wanted, and what becomes of it.
func preview(c api.ImportedConnection) []fyne.CanvasObject {
	title := kit.Text(kit.Clean(c.Name))
	title.TextStyle.Bold = true
	about := kit.Clean(strings.Join(c.Gateway, ", "))
	if c.Auth != "" {
		about = strings.TrimPrefix(about+" · "+kit.Clean(c.Auth), " · ")
	}
	rows := []fyne.CanvasObject{widget.NewSeparator(), kit.Tight(title, kit.Muted(about))}
	if len(c.Plan) > 0 {
		rows = append(rows, planTable(c.Plan))
	}
	for i, w := range c.Warnings {
		if i == maxLines {
			break
		}
		rows = append(rows, kit.Warning(kit.Clean(w)))
	}
	if len(c.Plan) == 0 {
		for i, line := range c.Ignored {
			if i == maxLines {
				break
			}
			rows = append(rows, kit.Muted(i18n.T("wizard.import.ignored", "Line", kit.Clean(line))))
		}
	}
	if len(c.Asks) > 0 {
		rows = append(rows, kit.Info(asksText(c.Asks)))
	}
	return rows
}

// asksText says what the user will be asked for at each connect.
func asksText(asks []api.PromptKind) string {
	var words []string
	for _, k := range asks {
		switch k {
		case api.PromptPassword:
			words = append(words, i18n.T("wizard.asks.password"))
		case api.PromptCode:
			words = append(words, i18n.T("wizard.asks.code"))
		case api.PromptSecret:
			words = append(words, i18n.T("wizard.asks.secret"))
		case api.PromptPassphrase:
			words = append(words, i18n.T("wizard.asks.passphrase"))
		case api.PromptPIN:
			words = append(words, i18n.T("wizard.asks.pin"))
		}
	}
	return i18n.T("wizard.import.asks", "What", strings.Join(words, ", "))
}

// planTable sets the plan in three columns, or where they have no room each
// setting below its name.
func planTable(plan []api.PlanLine) *fyne.Container {
	box := container.New(&planLayout{})
	add := func(setting, wanted, becomes fyne.CanvasObject) {
		box.Objects = append(box.Objects, setting, wanted, becomes)
	}
	add(kit.Caption(i18n.T("wizard.plan.setting")), kit.Caption(i18n.T("wizard.plan.wanted")), kit.Caption(i18n.T("wizard.plan.becomes")))
	for i, l := range plan {
		if i == maxLines {
			more := kit.Muted(i18n.T("wizard.import.moreLines", "Count", len(plan)-i))
			add(more, kit.Muted(""), kit.Muted(""))
			break
		}
		wanted := mono(l.Wanted)
		var becomes fyne.CanvasObject
		note := kit.Muted(kit.Clean(l.Note))
		kit.SetShown(note, l.Note != "")
		switch {
		case l.Becomes == "":
			becomes = kit.WithIcon(theme.NewErrorThemedResource(theme.CancelIcon()), kit.Tight(kit.Text(i18n.T("wizard.plan.ignored")), note))
		case l.Weak:
			becomes = kit.WithIcon(theme.NewWarningThemedResource(theme.WarningIcon()), kit.Tight(mono(l.Becomes), kit.Text(i18n.T("wizard.plan.weak")), note))
		default:
			becomes = kit.WithIcon(theme.NewThemedResource(theme.NavigateNextIcon()), kit.Tight(mono(l.Becomes), note))
		}
		add(kit.Text(kit.Clean(l.Setting)), wanted, becomes)
	}
	return box
}

func mono(s string) *widget.Label {
	l := kit.Text(kit.Clean(s))
	l.TextStyle.Monospace = true
	l.Wrapping = fyne.TextWrapBreak
	return l
}

// planLayout lays out triples of setting, wanted and becomes.
type planLayout struct{ width float32 }

// columns are the widths of the three, or with no room for them one.
func (l *planLayout) columns() []float32 {
	if l.width < 40*theme.TextSize() {
		return []float32{l.width}
	}
	return []float32{l.width * 0.28, l.width * 0.34, l.width * 0.38}
}

func (l *planLayout) MinSize(o []fyne.CanvasObject) fyne.Size {
	if l.width == 0 {
		l.width = 45 * theme.TextSize()
	}
	return fyne.NewSize(10*theme.TextSize(), l.place(o))
}

func (l *planLayout) Layout(o []fyne.CanvasObject, s fyne.Size) {
	l.width = s.Width
	l.place(o)
}

func (l *planLayout) place(o []fyne.CanvasObject) float32 {
	cols, y := l.columns(), float32(0)
	for i := 0; i+2 < len(o); i += 3 {
		if len(cols) == 1 && i == 0 { // no table, no header
			for _, c := range o[:3] {
				c.Resize(fyne.Size{})
				c.Move(fyne.NewPos(-10000, 0))
			}
			continue
		}
		x, high := float32(0), float32(0)
		for j, c := range o[i : i+3] {
			w := cols[min(j, len(cols)-1)]
			indent := float32(0)
			if len(cols) == 1 && j > 0 {
				indent = theme.TextSize()
			}
			h := c.MinSize().Height
			c.Resize(fyne.NewSize(w-indent, h))
			if again := c.MinSize().Height; again != h {
				h = again
				c.Resize(fyne.NewSize(w-indent, h))
			}
			c.Move(fyne.NewPos(x+indent, y))
			if len(cols) == 1 {
				y += h - theme.InnerPadding()
			} else {
				x, high = x+w, max(high, h)
			}
		}
		if y += high; len(cols) > 1 {
			y -= theme.InnerPadding()
		} else {
			y += theme.InnerPadding()
		}
	}
	return y + theme.InnerPadding()
}
