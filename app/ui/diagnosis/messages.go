package diagnosis

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"sallyport/app/i18n"
	"sallyport/app/model"
	"sallyport/app/ui/kit"
	"sallyport/core/api"
)

// How the IKE messages are asked for: once a second, and less often when the
// answers take long.
const (
	maxMessages  = 1000
	messageEvery = time.Second
	messageShare = 20 // of the time, a twentieth
	messageLimit = 10 * time.Second
)

// messagesTab is the page of the IKE messages.
type messagesTab struct {
	env *kit.Env

	connection *widget.Select
	problems   *kit.Check
	count      *widget.Label
	save       *kit.Button
	failed     *kit.Note

	head     *seqHead
	list     *widget.List
	title    *widget.Label
	facts    *kit.Fields
	payloads *fyne.Container
	inner    *container.Scroll
	panel    *kit.Panel
	split    *container.Split
	body     *fyne.Container
	empty    fyne.CanvasObject
	none     fyne.CanvasObject
	root     fyne.CanvasObject
	all      []api.Message
	rows     []*api.Message
	chosen   string // key of the selected message
	quiet    bool

	stop context.CancelFunc // of the asking; nil: nobody asks
}

func newMessagesTab(env *kit.Env) *messagesTab {
	t := &messagesTab{env: env, count: kit.Muted(""), failed: kit.Info("")}
	t.failed.Hide()
	t.count.Wrapping = fyne.TextWrapOff
	t.connection = widget.NewSelect([]string{i18n.T("diagnosis.all_connections")}, func(string) { t.restart() })
	t.connection.Selected = t.connection.Options[0]
	t.connection.PlaceHolder = t.connection.Options[0] // it is as wide as this
	t.problems = kit.NewCheck(i18n.T("diagnosis.problems"), func(bool) { t.sift() })
	t.save = kit.NewQuiet(i18n.T("diagnosis.copy_text"), theme.ContentCopyIcon(), func() { fyne.CurrentApp().Clipboard().SetContent(t.text()) })

	t.head = newSeqHead()
	t.list = widget.NewList(func() int { return len(t.rows) }, func() fyne.CanvasObject { return newSeqRow() }, func(i int, o fyne.CanvasObject) {
		if i < len(t.rows) {
			o.(*seqRow).set(t.rows[i], t.env.Now())
		}
	})
	t.list.HideSeparators = true
	t.list.OnSelected = t.choose
	t.title, t.facts = kit.Subheading(""), kit.NewFields()
	t.payloads = kit.Column()
	t.inner = container.NewVScroll(kit.Column(t.title, t.facts, t.payloads))
	shut := kit.NewQuiet("", theme.CancelIcon(), t.close)
	t.panel = kit.NewPanel(container.NewBorder(nil, nil, nil, container.NewVBox(shut), t.inner))
	t.panel.Hide()
	t.split = container.NewHSplit(kit.Below(t.head, t.list), t.panel)
	t.split.Offset = 1
	t.empty = kit.Empty(theme.MailComposeIcon(), i18n.T("diagnosis.messages_empty"), i18n.T("diagnosis.messages_empty_text"))
	t.none = kit.Empty(theme.ConfirmIcon(), i18n.T("diagnosis.problems_none"), i18n.T("diagnosis.problems_none_text"))
	t.body = container.NewStack(t.empty)
	bar := kit.Column(kit.Flow(kit.Framed(t.connection), t.problems, t.save, t.count), t.failed)
	t.root = kit.Below(bar, container.New(turnLayout{t.split}, t.body))
	return t
}

// turnLayout sets the two halves of a split beside each other where there is
// room, else one below the other.
type turnLayout struct{ split *container.Split }

func (l turnLayout) MinSize(o []fyne.CanvasObject) fyne.Size {
	return fyne.NewSize(theme.TextSize()*16, theme.TextSize()*12)
}

func (l turnLayout) Layout(o []fyne.CanvasObject, s fyne.Size) {
	if beside := s.Width > theme.TextSize()*44; l.split.Horizontal != beside {
		l.split.Horizontal = beside
		l.split.Refresh()
	}
	o[0].Resize(s)
}

// update offers the connections to choose from.
func (t *messagesTab) update(s *model.Snapshot) { offer(t.connection, s) }

func (t *messagesTab) selectConnection(name string) {
	if name == "" {
		t.connection.SetSelectedIndex(0)
		return
	}
	if !slices.Contains(t.connection.Options, name) {
		t.connection.SetOptions(append(slices.Clone(t.connection.Options), name))
	}
	t.connection.SetSelected(name)
}

// follow asks the service for what is new, or asks no more.
func (t *messagesTab) follow(on bool) {
	switch {
	case on && t.stop == nil:
		ctx, stop := context.WithCancel(t.env.Context)
		t.stop = stop
		t.ask(ctx)
	case !on && t.stop != nil:
		t.stop()
		t.stop = nil
	}
}

func (t *messagesTab) restart() {
	if t.stop != nil {
		t.follow(false)
		t.follow(true)
	}
}

func (t *messagesTab) ask(ctx context.Context) {
	name := ""
	if t.connection.SelectedIndex() > 0 {
		name = t.connection.Selected
	}
	var messages []api.Message
	began := time.Now()
	t.env.Run(func(context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, messageLimit)
		defer cancel()
		var err error
		messages, err = t.env.Model.Backend().Exchanges(ctx, name, maxMessages)
		return err
	}, func(err error) {
		if ctx.Err() != nil {
			return
		}
		t.take(messages, err)
		took := time.Since(began)
		again := time.AfterFunc(max(messageEvery-took, took*(messageShare-1)), func() {
			t.env.Do(func() {
				if ctx.Err() == nil {
					t.ask(ctx)
				}
			})
		})
		context.AfterFunc(ctx, func() { again.Stop() })
	})
}

func (t *messagesTab) take(messages []api.Message, err error) {
	if e := api.AsError(err); e != nil {
		what, why, _ := model.ErrorText(e)
		t.failed.SetText(strings.TrimSpace(i18n.Say(what) + " " + i18n.Say(why)))
		t.root.Refresh()
		return
	}
	if t.failed.Visible() {
		t.failed.SetText("")
		t.root.Refresh()
	}
	if len(messages) == len(t.all) && (len(messages) == 0 || reflect.DeepEqual(messages[len(messages)-1], t.all[len(t.all)-1]) && messages[0].Time.Equal(t.all[0].Time)) {
		return
	}
	t.all = messages
	t.sift()
}

// sift shows the messages that are to be seen.
func (t *messagesTab) sift() {
	atEnd := len(t.rows) == 0 || t.list.GetScrollOffset() > 0 && t.chosen == ""
	t.rows = t.rows[:0]
	for i := range t.all {
		if m := &t.all[i]; !t.problems.Checked || odd(m) {
			t.rows = append(t.rows, m)
		}
	}
	kit.SetText(t.count, i18n.T("diagnosis.messages", "Count", len(t.rows)))
	want := fyne.CanvasObject(t.split)
	switch {
	case len(t.all) == 0:
		want = t.empty
	case len(t.rows) == 0:
		want = t.none
	}
	if t.body.Objects[0] != want {
		t.body.Objects[0] = want
		t.body.Refresh()
	}
	t.list.Refresh()
	t.reselect()
	if atEnd && len(t.rows) > 0 && t.list.Size().Height > 0 {
		t.list.ScrollToBottom()
	}
}

// odd reports whether a message was repeated, dropped, or brings an error.
func odd(m *api.Message) bool {
	return m.Problem != "" || m.Retransmit > 0 || errorNotify(m) != ""
}

// errorNotify returns the error that a message carries: notifies of errors are
// those that are neither a status nor a capability.
func errorNotify(m *api.Message) string {
	for _, p := range m.Payloads {
		name, ok := strings.CutPrefix(p.Name, "N(")
		if name = strings.TrimSuffix(name, ")"); ok && errorNotifies[name] {
			return name
		}
	}
	return ""
}

// errorNotifies are the notify types below 16384 (RFC 7296, section 3.10.1).
var errorNotifies = map[string]bool{
	"UNSUPPORTED_CRITICAL_PAYLOAD": true, "INVALID_IKE_SPI": true, "INVALID_MAJOR_VERSION": true, "INVALID_SYNTAX": true,
	"INVALID_MESSAGE_ID": true, "INVALID_SPI": true, "NO_PROPOSAL_CHOSEN": true, "INVALID_KE_PAYLOAD": true,
	"AUTHENTICATION_FAILED": true, "SINGLE_PAIR_REQUIRED": true, "NO_ADDITIONAL_SAS": true, "INTERNAL_ADDRESS_FAILURE": true,
	"FAILED_CP_REQUIRED": true, "TS_UNACCEPTABLE": true, "INVALID_SELECTORS": true, "TEMPORARY_FAILURE": true, "CHILD_SA_NOT_FOUND": true,
}

// key names a message for good.
func key(m *api.Message) string {
	return fmt.Sprint(m.Time.UnixNano(), m.Sent, m.SPIi, m.Exchange, m.MessageID, m.Request, m.Retransmit)
}

func (t *messagesTab) reselect() {
	if t.chosen == "" {
		return
	}
	for i, m := range t.rows {
		if key(m) == t.chosen {
			t.quiet = true
			offset := t.list.GetScrollOffset()
			t.list.Select(i)
			t.list.ScrollToOffset(offset)
			t.quiet = false
			return
		}
	}
	t.close()
}

func (t *messagesTab) choose(i int) {
	if t.quiet || i >= len(t.rows) {
		return
	}
	m := t.rows[i]
	t.chosen = key(m)
	kit.SetText(t.title, title(m))
	t.facts.Set(facts(m, t.env.Now())...)
	t.payloads.Objects = payloads(m)
	t.payloads.Refresh()
	t.inner.ScrollToTop()
	if !t.panel.Visible() {
		t.panel.Show()
		t.split.Offset = 0.56
		t.split.Refresh()
	}
	t.panel.Refresh()
}

func (t *messagesTab) close() {
	t.chosen = ""
	t.list.UnselectAll()
	t.panel.Hide()
	t.split.Offset = 1
	t.split.Refresh()
}

// Limits of the details: they are laid out at once, and the peer chooses how
// much there is. The text has all of it.
const (
	maxPayloads = 60
	maxFields   = 300
)

// payloads lists the payloads of a message, each with its fields.
func payloads(m *api.Message) []fyne.CanvasObject {
	var out []fyne.CanvasObject
	left := maxFields
	for i, p := range m.Payloads {
		if i == maxPayloads || left <= 0 {
			return append(out, kit.Muted(i18n.T("diagnosis.more_payloads", "Count", len(m.Payloads)-i)))
		}
		name := kit.Text(kit.Clean(p.Name) + "  ·  " + i18n.Bytes(uint64(max(0, p.Size))))
		name.TextStyle.Bold = true
		fields := make([]kit.Field, 0, len(p.Fields))
		for _, f := range p.Fields[:min(left, len(p.Fields))] {
			fields = append(fields, kit.Field{Label: kit.Clean(f.Name), Value: kit.Clean(f.Value)})
		}
		left -= len(fields) + 1
		out = append(out, name)
		if len(fields) > 0 {
			out = append(out, kit.NewFields(fields...))
		}
	}
	return out
}

// title names a message: "IKE_AUTH request 1".
func title(m *api.Message) string {
	if m.Request {
		return i18n.T("diagnosis.request", "Exchange", kit.Clean(m.Exchange), "ID", fmt.Sprint(m.MessageID))
	}
	return i18n.T("diagnosis.response", "Exchange", kit.Clean(m.Exchange), "ID", fmt.Sprint(m.MessageID))
}

// remarks says in words what is remarkable of a message.
func remarks(m *api.Message) []string {
	var out []string
	if m.Retransmit > 0 {
		out = append(out, i18n.T("diagnosis.repeated", "N", fmt.Sprint(m.Retransmit)))
	}
	if n := errorNotify(m); n != "" {
		out = append(out, n)
	}
	if m.Problem != "" {
		out = append(out, i18n.T("diagnosis.dropped", "Why", kit.Clean(m.Problem)))
	}
	return out
}

// facts are the rest of a message's header. (No arrow stands between the two
// addresses: Fyne 2.8 draws a space after one as a missing glyph. SPIi and SPIr
// are what RFC 7296 calls them, in every language.)
func facts(m *api.Message, now time.Time) []kit.Field {
	way := i18n.T("diagnosis.received")
	if m.Sent {
		way = i18n.T("diagnosis.sent")
	}
	return []kit.Field{
		{Label: i18n.T("diagnosis.field.remark"), Value: strings.Join(remarks(m), "\n")},
		{Label: way, Value: m.Time.In(now.Location()).Format("15:04:05.000") + ", " + size(m)},
		{Label: i18n.T("diagnosis.us"), Value: kit.Clean(m.Local)},
		{Label: i18n.T("diagnosis.peer"), Value: kit.Clean(m.Remote)},
		{Label: "SPIi", Value: kit.Clean(m.SPIi), Mono: true},
		{Label: "SPIr", Value: kit.Clean(m.SPIr), Mono: true},
	}
}

func size(m *api.Message) string {
	s := i18n.Bytes(uint64(max(0, m.Size)))
	if m.Fragments > 0 {
		s += ", " + i18n.T("diagnosis.fragments", "Count", m.Fragments)
	}
	if m.Encrypted {
		s += ", " + i18n.T("diagnosis.encrypted")
	}
	return s
}

// text writes the messages on show as text, for who helps: in English, as the
// names of the protocol are.
func (t *messagesTab) text() string {
	var b strings.Builder
	for _, m := range t.rows {
		arrow, kind := "<-", "response"
		if m.Sent {
			arrow = "->"
		}
		if m.Request {
			kind = "request"
		}
		fmt.Fprintf(&b, "%s %s %s %s %d, %d bytes", m.Time.UTC().Format("2006-01-02T15:04:05.000Z"), arrow, kit.Clean(m.Exchange), kind, m.MessageID, m.Size)
		if m.Fragments > 0 {
			fmt.Fprintf(&b, " in %d fragments", m.Fragments)
		}
		if m.Retransmit > 0 {
			fmt.Fprintf(&b, ", retransmission %d", m.Retransmit)
		}
		fmt.Fprintf(&b, "\n   %s / %s, SPIs %s %s", kit.Clean(m.Local), kit.Clean(m.Remote), kit.Clean(m.SPIi), kit.Clean(m.SPIr))
		if m.Connection != "" {
			fmt.Fprintf(&b, ", %s", kit.Clean(m.Connection))
		}
		b.WriteByte('\n')
		if m.Problem != "" {
			fmt.Fprintf(&b, "   PROBLEM: %s\n", kit.Clean(m.Problem))
		}
		for _, p := range m.Payloads {
			fmt.Fprintf(&b, "   %s (%d bytes)\n", kit.Clean(p.Name), p.Size)
			for _, f := range p.Fields {
				fmt.Fprintf(&b, "      %s: %s\n", kit.Clean(f.Name), kit.Clean(f.Value))
			}
		}
	}
	return b.String()
}
