package ui

import (
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"

	"sallyport/app/i18n"
	"sallyport/app/model"
	"sallyport/app/ui/kit"
	"sallyport/app/ui/prompts"
)

// banners are what stands above every page: what the service has to say of
// itself, a decision that waits, and, where the page shows what was known
// before, that the service does not answer.
type banners struct {
	env  *kit.Env
	root *fyne.Container
	said string
}

func newBanners(env *kit.Env) *banners {
	b := &banners{env: env, root: kit.Column()}
	b.root.Hide()
	return b
}

// manyWarnings is how many warnings of the service are told; more are counted.
const manyWarnings = 3

func (b *banners) update(s *model.Snapshot, needs bool) {
	var notes []fyne.CanvasObject
	var said strings.Builder
	if s.Link != model.Linked {
		if !needs && s.Link != model.Linking {
			text := i18n.Say(s.Headline)
			said.WriteString(text)
			notes = append(notes, kit.Warning(text))
		}
	} else {
		for i, w := range s.Service.Warnings {
			if i == manyWarnings {
				w = i18n.T("ui.warnings.more", "Count", len(s.Service.Warnings)-manyWarnings)
			} else if i > manyWarnings {
				break
			}
			said.WriteString(w + "\n")
			notes = append(notes, kit.Warning(w))
		}
		for i := range s.Connections {
			c := &s.Connections[i]
			if c.Question == "" {
				continue
			}
			said.WriteString("? " + c.Name + "\n")
			name := c.Name
			decide := kit.NewButton(i18n.T("ui.question.decide"), nil, func() {
				if c := b.env.Model.Snapshot().Find(name); c != nil && c.Question != "" {
					prompts.AskClear(b.env, c)
				}
			})
			notes = append(notes, container.NewBorder(nil, nil, nil, container.NewCenter(decide), kit.Warning(i18n.T("ui.question", "Name", name))))
			break // the next one comes when this one is answered
		}
	}
	if said.String() == b.said {
		return
	}
	b.said = said.String()
	b.root.Objects = nil
	for _, n := range notes {
		b.root.Add(container.NewPadded(n))
	}
	kit.SetShown(b.root, len(notes) > 0)
	b.root.Refresh()
}
