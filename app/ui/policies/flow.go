package policies

import (
	"context"
	"fmt"
	"io"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/dialog"
	"fyne.io/fyne/v2/storage"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"sallyport/app/i18n"
	"sallyport/app/ui/kit"
	"sallyport/core/api"
)

// maxFlow bounds what is asked about a flow; the service takes no more.
const maxFlow = 256

// A flow is the page that says what happens to traffic: to one flow now, or to
// those of a capture under some policy.
type flow struct {
	v    *View
	root fyne.CanvasObject
	page *fyne.Container // what scrolls: it is laid out anew when an answer is in

	text                  *kit.Entry
	from, to, port        *kit.Entry
	protocol              *widget.Select
	quiet                 bool // text and its parts follow each other
	ask                   *kit.Button
	busy                  *kit.Busy
	answer                *fyne.Container
	asked                 int
	policy                *widget.Select
	names                 []string
	simBusy               *kit.Busy
	simulation            *fyne.Container
	simulated             api.Simulation
	capture               *kit.Button
	protocolWords, protos []string
}

func newFlow(v *View) *flow {
	f := &flow{v: v, answer: container.NewStack(), simulation: container.NewStack(), busy: kit.NewBusy(""), simBusy: kit.NewBusy("")}
	f.text = entry("", "10.0.0.1 -> 10.1.2.3:443/tcp", func(string) { f.split() })
	f.text.OnSubmitted = func(string) { f.explain() }
	join := func(string) { f.join() }
	f.from = entry("", i18n.T("policies.flow.from.placeholder"), join)
	f.to = entry("", "10.1.2.3", join)
	f.port = entry("", "443", join)
	for _, e := range []*kit.Entry{f.from, f.to, f.port} {
		e.OnSubmitted = func(string) { f.explain() }
	}
	f.protos = []string{"", "tcp", "udp", "icmp"}
	f.protocolWords = []string{i18n.T("policies.flow.protocol.auto"), "TCP", "UDP", "ICMP"}
	f.protocol = widget.NewSelect(f.protocolWords, nil)
	f.protocol.SetSelectedIndex(0)
	f.protocol.OnChanged = join
	f.ask = kit.NewPrimary(i18n.T("policies.flow.ask"), theme.SearchIcon(), f.explain)

	parts := container.New(partsLayout{},
		newField("", i18n.T("policies.flow.from"), f.from, ""), newField("", i18n.T("policies.flow.to"), f.to, ""),
		newField("", i18n.T("policies.flow.port"), f.port, ""), newField("", i18n.T("policies.flow.protocol"), f.protocol, ""))
	now := kit.CardBox(kit.Tight(kit.Subheading(i18n.T("policies.flow.title")), kit.Muted(i18n.T("policies.flow.text"))),
		f.text, parts, kit.Flow(f.ask), f.busy, f.answer)

	f.policy = widget.NewSelect(nil, nil)
	f.policy.PlaceHolder = i18n.T("policies.simulate.choose")
	f.policy.OnChanged = func(string) { f.ready() }
	f.capture = kit.NewButton(i18n.T("policies.simulate.capture"), theme.FileIcon(), f.choose)
	f.capture.Disable()
	sim := kit.CardBox(kit.Tight(kit.Subheading(i18n.T("policies.simulate.title")), kit.Muted(i18n.T("policies.simulate.text"))),
		newField("", i18n.T("policies.simulate.policy"), f.policy, ""), kit.Flow(f.capture), f.simBusy, f.simulation)
	f.page = container.NewPadded(kit.Spread(now, sim))
	f.root = container.NewVScroll(f.page)
	return f
}

// partsLayout sets fields beside each other, or two by two, or below each other.
type partsLayout struct{}

func (partsLayout) columns(n int, width float32) int {
	em := theme.TextSize()
	for _, c := range []int{n, 2} {
		if width >= float32(c)*11*em {
			return c
		}
	}
	return 1
}

func (l partsLayout) MinSize(o []fyne.CanvasObject) fyne.Size {
	var s fyne.Size
	width := float32(0)
	for _, c := range o {
		width = max(width, c.Position().X+c.Size().Width)
		s.Width = max(s.Width, c.MinSize().Width)
	}
	n := l.columns(len(o), width)
	if width == 0 {
		n = len(o)
	}
	for i := 0; i < len(o); i += n {
		h := float32(0)
		for _, c := range o[i:min(i+n, len(o))] {
			h = max(h, c.MinSize().Height)
		}
		s.Height += h + theme.Padding()
	}
	return s
}

func (l partsLayout) Layout(o []fyne.CanvasObject, s fyne.Size) {
	n := l.columns(len(o), s.Width)
	gap := theme.Padding() * 2
	w := (s.Width - gap*float32(n-1)) / float32(n)
	y := float32(0)
	for i := 0; i < len(o); i += n {
		h := float32(0)
		for k, c := range o[i:min(i+n, len(o))] {
			c.Move(fyne.NewPos(float32(k)*(w+gap), y))
			c.Resize(fyne.NewSize(w, c.MinSize().Height))
			h = max(h, c.MinSize().Height)
		}
		y += h + theme.Padding()
	}
}

// join writes the parts as a flow.
func (f *flow) join() {
	if f.quiet {
		return
	}
	to := strings.TrimSpace(f.to.Text)
	port := strings.TrimSpace(f.port.Text)
	if port != "" {
		to = shellAddress(to) + ":" + port
	}
	if i := f.protocol.SelectedIndex(); i > 0 {
		to += "/" + f.protos[i]
	}
	if from := strings.TrimSpace(f.from.Text); from != "" {
		to = from + " -> " + to
	}
	f.quiet = true
	f.text.SetText(to)
	f.quiet = false
}

// split shows the parts of the flow that is written, as far as they are plain.
func (f *flow) split() {
	if f.quiet {
		return
	}
	f.quiet = true
	defer func() { f.quiet = false }()
	from, to, both := strings.Cut(strings.ReplaceAll(f.text.Text, "→", "->"), "->")
	if !both {
		from, to = "", from
	}
	to, protocol, _ := strings.Cut(strings.TrimSpace(to), "/")
	index := 0
	for i, p := range f.protos {
		if strings.EqualFold(p, strings.TrimSpace(protocol)) {
			index = i
		}
	}
	port := ""
	if i := strings.LastIndexByte(to, ':'); i >= 0 && (strings.Count(to, ":") == 1 || strings.Contains(to[:i], "]")) {
		to, port = to[:i], to[i+1:]
	}
	f.from.SetText(strings.TrimSpace(from))
	f.to.SetText(strings.Trim(to, "[] "))
	f.port.SetText(port)
	f.protocol.SetSelectedIndex(index)
}

// explain asks the service what happens to the flow.
func (f *flow) explain() {
	text := strings.TrimSpace(f.text.Text)
	if text == "" {
		f.v.env.Window.Canvas().Focus(f.text)
		return
	}
	if len(text) > maxFlow {
		text = text[:maxFlow]
	}
	f.asked++
	mine := f.asked
	var a api.FlowAnswer
	f.busy.Start(i18n.T("policies.flow.busy"))
	f.v.env.Run(func(ctx context.Context) (err error) {
		a, err = f.v.service().ExplainFlow(ctx, text)
		return err
	}, func(err error) {
		if mine != f.asked {
			return
		}
		f.busy.Stop()
		if err != nil {
			f.answer.Objects = []fyne.CanvasObject{kit.NewErrorCard(api.AsError(err))}
		} else {
			f.answer.Objects = []fyne.CanvasObject{f.say(a)}
		}
		f.page.Refresh()
		f.root.Refresh()
	})
}

// say shows an answer: the verdict, who decided, and why.
func (f *flow) say(a api.FlowAnswer) fyne.CanvasObject {
	badge := kit.NewBadge(protectionMark(a.Protection))
	badge.Set(protectionMark(a.Protection), protectionWord(a.Protection))
	rule := i18n.T("policies.flow.norule")
	if a.Rule != "" {
		rule = kit.Clean(a.Rule)
	}
	since := ""
	if !a.Since.IsZero() {
		since = i18n.DateTime(a.Since)
	}
	policy := i18n.T("policies.flow.nopolicy")
	if a.Assignment != nil {
		policy = i18n.T("policies.assigned.of", "Name", kit.Clean(a.Assignment.Policy), "Who", kit.Clean(a.Assignment.By))
	}
	action := ""
	if a.Action == "permit" || a.Action == "block" || a.Action == "negotiate" {
		action = actionWord(a.Action)
	}
	fields := kit.NewFields(
		kit.Field{Label: i18n.T("policies.flow.rule"), Value: rule},
		kit.Field{Label: i18n.T("policies.flow.filter"), Value: kit.Clean(a.Filter)},
		kit.Field{Label: i18n.T("policies.flow.action"), Value: action},
		kit.Field{Label: i18n.T("policies.flow.connection"), Value: kit.Clean(a.Connection)},
		kit.Field{Label: i18n.T("policies.flow.sa"), Value: kit.Clean(a.SA), Mono: true},
		kit.Field{Label: i18n.T("policies.flow.since"), Value: since},
		kit.Field{Label: i18n.T("policies.flow.policy"), Value: policy},
	)
	flow := kit.Text(kit.Clean(a.Flow))
	flow.TextStyle.Monospace = true
	why := []fyne.CanvasObject{kit.Caption(i18n.T("policies.flow.why"))}
	const most = 60
	for _, w := range a.Why[:min(len(a.Why), most)] {
		t := kit.Text(kit.Clean(w))
		t.Selectable = true
		why = append(why, t)
	}
	return kit.Column(widget.NewSeparator(), kit.Tight(flow), badge, fields, kit.Tight(why...))
}

// update offers the policies that there are now.
func (f *flow) update() {
	f.names = f.names[:0]
	words := make([]string, 0, len(f.v.policies))
	for _, p := range f.v.policies {
		f.names = append(f.names, p.Name)
		words = append(words, kit.Clean(p.Name))
	}
	f.policy.SetOptions(words)
	if a := f.v.snap.Assignment; a != nil && f.policy.SelectedIndex() < 0 {
		for i, n := range f.names {
			if n == a.Policy {
				f.policy.SetSelectedIndex(i)
			}
		}
	}
	f.ready()
}

func (f *flow) ready() {
	if f.policy.SelectedIndex() >= 0 {
		f.capture.Enable()
	} else {
		f.capture.Disable()
	}
}

// maxCapture bounds a capture; the service takes no more.
const maxCapture = 32 << 20

// choose asks for a capture.
func (f *flow) choose() {
	d := dialog.NewFileOpen(func(r fyne.URIReadCloser, err error) {
		if err != nil {
			kit.ShowError(f.v.env, err)
			return
		}
		if r != nil {
			f.simulate(r, r.URI().Name())
		}
	}, f.v.env.Window)
	d.SetFilter(storage.NewExtensionFileFilter([]string{".pcap", ".pcapng", ".cap"}))
	d.Show()
}

// simulate hands a capture to the service, with the text of the chosen policy;
// what is being edited counts as it is.
func (f *flow) simulate(r io.ReadCloser, file string) {
	i := f.policy.SelectedIndex()
	if i < 0 || i >= len(f.names) {
		return
	}
	name := f.names[i]
	f.simBusy.Start(i18n.T("policies.simulate.busy"))
	f.capture.Disable()
	var sim api.Simulation
	f.v.env.Run(func(ctx context.Context) error {
		defer r.Close()
		data, err := io.ReadAll(io.LimitReader(r, maxCapture+1))
		if err != nil {
			return err
		}
		if len(data) > maxCapture {
			return &api.Error{Code: api.CodeUsage, What: fmt.Sprintf("%s is larger than 32 MiB.", file)}
		}
		p, err := f.v.service().Policy(ctx, name)
		if err != nil {
			return err
		}
		sim, err = f.v.service().Simulate(ctx, api.SimulateRequest{Policy: p, Capture: data})
		return err
	}, func(err error) {
		f.simBusy.Stop()
		f.ready()
		if err != nil {
			f.simulation.Objects = []fyne.CanvasObject{kit.NewErrorCard(api.AsError(err))}
		} else {
			f.simulated = sim
			f.simulation.Objects = []fyne.CanvasObject{f.result(name, file)}
		}
		f.page.Refresh()
		f.root.Refresh()
	})
}

// result shows what a simulation found: sums first, then the flows.
func (f *flow) result(name, file string) fyne.CanvasObject {
	flows := f.simulated.Flows
	head := kit.Text(i18n.T("policies.simulate.result", "File", kit.Clean(file), "Name", kit.Clean(name)))
	if len(flows) == 0 {
		return kit.Column(widget.NewSeparator(), head, kit.Muted(i18n.T("policies.simulate.nothing")))
	}
	type sum struct {
		flows int
		bytes uint64
	}
	sums := map[string]sum{}
	for _, s := range flows {
		old := sums[s.Verdict]
		sums[s.Verdict] = sum{old.flows + 1, old.bytes + s.Bytes}
	}
	objects := []fyne.CanvasObject{widget.NewSeparator(), head}
	for _, v := range []string{"clear", "protected or clear", "blocked", "protected"} {
		s, ok := sums[v]
		if !ok {
			continue
		}
		mark, word := verdict(v)
		b := kit.NewBadge(mark)
		b.Set(mark, word)
		objects = append(objects, kit.Flow(b, sumLabel(i18n.T("policies.simulate.sum", "Count", s.flows, "Bytes", i18n.Bytes(s.bytes)))))
	}
	if f.simulated.Skipped > 0 {
		objects = append(objects, kit.Muted(i18n.T("policies.simulate.skipped", "Count", int(min(f.simulated.Skipped, 1<<31)))))
	}
	table := kit.NewTable([]kit.TableColumn{
		{Title: i18n.T("policies.column.flow"), Width: 18, Grow: true, Mono: true, Less: func(a, b int) bool { return flows[a].Flow < flows[b].Flow }},
		{Title: i18n.T("policies.column.verdict"), Width: 11.5, Less: func(a, b int) bool { return flows[a].Verdict < flows[b].Verdict }},
		{Title: i18n.T("policies.column.rule"), Width: 7, Grow: true, Less: func(a, b int) bool { return flows[a].Rule < flows[b].Rule }},
		{Title: i18n.T("policies.column.packets"), Width: 5.5, Right: true, Less: func(a, b int) bool { return flows[a].Packets < flows[b].Packets }},
		{Title: i18n.T("policies.column.bytes"), Width: 5, Right: true, Less: func(a, b int) bool { return flows[a].Bytes < flows[b].Bytes }},
	}, func() int { return len(flows) }, func(row, col int) kit.Cell {
		s := &flows[row]
		switch col {
		case 0:
			return kit.Cell{Text: kit.Clean(s.Flow)}
		case 1:
			mark, word := verdict(s.Verdict)
			return kit.Cell{Text: word, Icon: kit.MarkIcon(mark)}
		case 2:
			if s.Rule == "" {
				return kit.Cell{Text: "–"}
			}
			return kit.Cell{Text: kit.Clean(s.Rule)}
		case 3:
			return kit.Cell{Text: i18n.Count(s.Packets)}
		}
		return kit.Cell{Text: i18n.Bytes(s.Bytes)}
	}, nil)
	return kit.Column(append(objects, container.New(tall{12}, table))...)
}

func sumLabel(text string) *widget.Label {
	l := kit.Text(text)
	l.Wrapping = fyne.TextWrapOff
	return l
}
