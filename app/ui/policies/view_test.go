package policies

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"
	"fyne.io/fyne/v2/widget"

	"sallyport/app/policydraft"
	"sallyport/app/ui/kit"
	"sallyport/app/ui/uitest"
	"sallyport/core/api"
	"sallyport/platform/ipc/ipctest"
)

func stored(t *testing.T, b *ipctest.Backend, name string) string {
	t.Helper()
	f, err := b.Policy(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return string(f.Text)
}

func called(b *ipctest.Backend, prefix string) int {
	n := 0
	for _, c := range b.Calls() {
		if strings.HasPrefix(c, prefix) {
			n++
		}
	}
	return n
}

func TestListSaysHowPoliciesStand(t *testing.T) {
	_, env := open(t, assigned(t))
	for _, want := range []string{"Office only", "Assigned", "Predefined", "Has a problem", "1 rule", "In force since", "assigned by alice (uid 1000)"} {
		if !uitest.Says(env.Window, want) {
			t.Errorf("the page does not say %q:\n%s", want, uitest.Text(env.Window))
		}
	}
	if uitest.Says(env.Window, "No policies") {
		t.Error("the page is empty")
	}
}

func TestAssignShowsTheDifferenceFirst(t *testing.T) {
	b := assigned(t)
	v, env := open(t, b)
	v.Select("LAN")
	uitest.Settle()
	uitest.Tap(t, env.Window, "Assign…")
	for _, want := range []string{"would take the place of “Office only”", "removed", `rule "Office"`, "me – 192.168.1.0/24", "is never reached by UDP"} {
		if !uitest.Says(env.Window, want) {
			t.Errorf("the preview does not say %q:\n%s", want, uitest.Text(env.Window))
		}
	}
	if called(b, `assign "LAN" dry=false`) != 0 {
		t.Fatal("it is assigned before the user agrees")
	}
	uitest.Key(env.Window, fyne.KeyEscape)
	if called(b, `assign "LAN" dry=false`) != 0 || env.Window.Canvas().Overlays().Top() != nil {
		t.Fatal("Escape does not cancel")
	}
	uitest.Tap(t, env.Window, "Assign…")
	uitest.Key(env.Window, fyne.KeyReturn) // the focus is on the button
	if called(b, `assign "LAN" dry=false`) != 1 {
		t.Fatalf("calls: %q", b.Calls())
	}
	uitest.Until(t, "the page shows it in force", func() bool { return uitest.Says(env.Window, "In force since") })
}

func TestRefusedAssignmentLeadsToTheField(t *testing.T) {
	b := stocked(t)
	v, env := open(t, b)
	v.Select("Broken")
	uitest.Settle()
	if !uitest.Says(env.Window, "rules[0].filter_list: there is no filter list") || !uitest.Says(env.Window, "did you mean") {
		t.Errorf("the problem has no place:\n%s", uitest.Text(env.Window))
	}
	v.assign("Broken")
	uitest.Settle()
	uitest.Tap(t, env.Window, "Show the place")
	if v.editor.s == nil || v.editor.tabs.Selected() != "rules" || !uitest.Says(env.Window, "there is no filter list") {
		t.Errorf("it does not lead to the rule:\n%s", uitest.Text(env.Window))
	}
	if _, ok := env.Window.Canvas().Focused().(*widget.Select); !ok {
		t.Errorf("the focus is on %T", env.Window.Canvas().Focused())
	}
}

func TestUnassignAsksWhenProtectionIsLowered(t *testing.T) {
	b := assigned(t)
	_, env := open(t, b)
	uitest.Tap(t, env.Window, "Unassign…")
	if called(b, "unassign") != 0 || !uitest.Says(env.Window, "may then leave in clear text") {
		t.Fatalf("it does not ask:\n%s", uitest.Text(env.Window))
	}
	uitest.Key(env.Window, fyne.KeyReturn) // the focus is on the button that changes nothing
	if called(b, "unassign") != 0 {
		t.Fatal("Enter lowers the protection")
	}
	uitest.Tap(t, env.Window, "Unassign…")
	uitest.Tap(t, env.Window, "Unassign")
	if called(b, "unassign") != 1 {
		t.Fatal("it is not unassigned")
	}

	c := stocked(t)
	c.SetAssignment(&api.Assignment{Policy: "Client (respond only)", By: "bob", Since: uitest.Now})
	_, env = open(t, c)
	uitest.Tap(t, env.Window, "Unassign…")
	if called(c, "unassign") != 1 {
		t.Error("it asks although nothing is lowered")
	}
}

func TestEditSaveAndWhatIsInForce(t *testing.T) {
	b := assigned(t)
	v, env := open(t, b)
	uitest.Tap(t, env.Window, "Edit")
	name := uitest.Find(t, env.Window, func(e *formEntry) bool { return e.Text == "Office" })
	env.Window.Canvas().Focus(name)
	test.Type(name, "My ")
	if got := v.Unsaved(); !slices.Equal(got, []string{"Office only"}) {
		t.Fatalf("unsaved: %q", got)
	}
	if called(b, "store") != 0 {
		t.Fatal("typing stores")
	}
	uitest.Settle()
	if !uitest.Says(env.Window, "The policy in force stays as it was until you save and assign it again.") {
		t.Errorf("it does not say what is in force:\n%s", uitest.Text(env.Window))
	}
	// It survives the way to another page.
	v.Shown(false)
	v.Shown(true)
	uitest.Tap(t, env.Window, "Policies")
	if !uitest.Says(env.Window, "Unsaved changes") {
		t.Errorf("the list does not say it:\n%s", uitest.Text(env.Window))
	}
	uitest.Tap(t, env.Window, "Continue editing")
	uitest.Tap(t, env.Window, "Save")
	want := strings.Replace(office, "[[rules]]\nname = \"Office\"", "[[rules]]\nname = \"My Office\"", 1)
	if got := stored(t, b, "Office only"); got != want {
		t.Errorf("stored\n%s", got)
	}
	if !uitest.Says(env.Window, "Saved. The policy in force is still the old one") || len(v.Unsaved()) != 0 {
		t.Errorf("unsaved %q:\n%s", v.Unsaved(), uitest.Text(env.Window))
	}
	uitest.Tap(t, env.Window, "Assign again…")
	if !uitest.Says(env.Window, "What was saved since then would come into force") {
		t.Errorf("it cannot be assigned from here:\n%s", uitest.Text(env.Window))
	}
}

func TestUndoAndDiscard(t *testing.T) {
	b := stocked(t)
	v, env := open(t, b)
	v.Select("Office only")
	uitest.Settle()
	v.detail.edit("")
	v.editor.set("rules[0].enabled", false)
	uitest.Settle()
	uitest.Tap(t, env.Window, "Undo")
	if s := v.editor.s; s.dirty() || string(s.text) != office {
		t.Errorf("undone it is\n%s", s.text)
	}
	v.editor.set("rules[0].enabled", false)
	uitest.Settle()
	uitest.Tap(t, env.Window, "Discard")
	uitest.Tap(t, env.Window, "Discard changes")
	if s := v.editor.s; s.dirty() || len(v.Unsaved()) != 0 {
		t.Error("it is not discarded")
	}
	for i := range maxUndo + 20 {
		v.editor.set("rules[0].enabled", i%2 == 1)
	}
	if n := len(v.editor.s.undo); n > maxUndo {
		t.Errorf("%d steps are kept", n)
	}
	uitest.Settle()
}

func TestFindingsStandAtTheirFields(t *testing.T) {
	b := stocked(t)
	v, env := open(t, b)
	v.Select("LAN")
	uitest.Settle()
	v.detail.edit("filter_actions[0].fallback_time")
	uitest.Settle()
	v.editor.set("filter_actions[0].fallback_time", "soon")
	uitest.Settle()
	f := v.editor.fields[slices.IndexFunc(v.editor.fields, func(f *field) bool { return f.path == "filter_actions[0].fallback_time" })]
	if !f.fault.Visible() || !strings.Contains(f.fault.Text, "duration") {
		t.Errorf("the field says %q", f.fault.Text)
	}
	if called(b, "check policy") == 0 || called(b, "store policy") != 0 {
		t.Errorf("calls: %q", b.Calls())
	}
	uitest.Tap(t, env.Window, "Text")
	if !strings.Contains(v.editor.text.gutter.text, "! 14") {
		t.Errorf("the line is not marked: %q", v.editor.text.gutter.text)
	}
	uitest.Tap(t, env.Window, "Show")
	if row := v.editor.text.entry.CursorRow; row != 13 {
		t.Errorf("the cursor is in row %d", row)
	}
	// A refused save leads there as well.
	uitest.Tap(t, env.Window, "Save")
	if !v.editor.s.dirty() || env.Window.Canvas().Overlays().Top() != nil {
		t.Error("it is saved, or a dialog hides the place")
	}
}

func TestTextAndFormsAreOne(t *testing.T) {
	b := stocked(t)
	v, env := open(t, b)
	v.Select("Office only")
	uitest.Settle()
	v.detail.edit("")
	v.editor.tabs.Select("text")
	v.editor.text.entry.SetText(strings.Replace(office, `name = "Printers"`, `name = "Paper"`, 1))
	uitest.Settle()
	v.editor.tabs.Select("filter_lists")
	if !uitest.Says(env.Window, "Paper") {
		t.Errorf("the form does not follow:\n%s", uitest.Text(env.Window))
	}
	v.editor.tabs.Select("text")
	v.editor.text.entry.SetText("version = = 1")
	uitest.Settle()
	v.editor.tabs.Select("rules")
	if !uitest.Says(env.Window, "The text has an error in line 1") {
		t.Errorf("a form is shown of a text that nobody can read:\n%s", uitest.Text(env.Window))
	}
	uitest.Tap(t, env.Window, "Save")
	if called(b, "store policy") != 0 || v.editor.tabs.Selected() != "text" {
		t.Error("what cannot be read is stored")
	}
}

func TestRenamedListsTakeTheirRulesAlong(t *testing.T) {
	v, env := open(t, stocked(t))
	v.Select("Office only")
	uitest.Settle()
	v.detail.edit("filter_lists[1]")
	uitest.Settle()
	name := uitest.Find(t, env.Window, func(e *formEntry) bool { return e.Text == "Printers" })
	env.Window.Canvas().Focus(name)
	name.SetText("Paper")
	uitest.Key(env.Window, fyne.KeyReturn)
	p := v.editor.s.draft.Policy()
	if p.FilterLists[1].Name != "Paper" || p.Rules[1].FilterList != "Paper" || !strings.Contains(string(v.editor.s.text), "# no paper") {
		t.Errorf("got\n%s", v.editor.s.text)
	}
	uitest.Tap(t, env.Window, "Remove")
	if !uitest.Says(env.Window, "1 rule uses “Paper”") {
		t.Errorf("it does not ask:\n%s", uitest.Text(env.Window))
	}
}

// A rule that proves a user says who it is, and to whom.
func TestWizardUser(t *testing.T) {
	v, env := open(t, stocked(t))
	v.Select("LAN")
	uitest.Settle()
	v.detail.edit("")
	w := newWizard(v.editor, func(*wizard) {})
	w.show()
	w.rule.Tunnel, w.filter.Destination = "203.0.113.9", "10.20.0.0/16"
	w.rule.FilterAction = "Require security"
	w.page = pageAuth
	w.build()
	uitest.Tap(t, env.Window, "User (EAP)")
	uitest.Tap(t, env.Window, "Next")
	if !uitest.Says(env.Window, "A user needs a name") {
		t.Fatalf("it goes on without a user:\n%s", uitest.Text(env.Window))
	}
	uitest.Type(t, env.Window, "alice", "bob")
	uitest.Type(t, env.Window, "ca.crt", "company.crt")
	uitest.Type(t, env.Window, "*.example.com", "gw.example.com")
	uitest.Tap(t, env.Window, "Next")
	if a := w.auth; w.page != pageName || a.Method != policydraft.EAP || a.User != "bob" || len(a.CAs) != 1 || a.CAs[0] != "company.crt" || a.RemoteID != "gw.example.com" {
		t.Errorf("page %d: %+v", w.page, a)
	}
	if !uitest.Says(env.Window, "User “bob” (EAP)") {
		t.Errorf("the summary is\n%s", uitest.Text(env.Window))
	}
}

func TestWizard(t *testing.T) {
	v, env := open(t, stocked(t))
	v.Select("LAN")
	uitest.Settle()
	v.detail.edit("")
	uitest.Tap(t, env.Window, "Add rule")
	uitest.Tap(t, env.Window, "Host to host")
	uitest.Key(env.Window, fyne.KeyReturn)
	if !uitest.Says(env.Window, "Step 2 of 5") {
		t.Fatalf("Enter does not go on:\n%s", uitest.Text(env.Window))
	}
	uitest.Tap(t, env.Window, "Next")
	if !uitest.Says(env.Window, "Enter a source and a destination address.") {
		t.Fatalf("it goes on without a destination:\n%s", uitest.Text(env.Window))
	}
	uitest.Find(t, env.Window, func(e *widget.SelectEntry) bool { return e.PlaceHolder == "10.0.0.0/8" }).SetText("10.20.0.0/16")
	uitest.Tap(t, env.Window, "Next")
	uitest.Tap(t, env.Window, "Negotiate security: Request security")
	uitest.Tap(t, env.Window, "Next")
	uitest.Tap(t, env.Window, "Pre-shared key")
	uitest.Tap(t, env.Window, "Next")
	if !uitest.Says(env.Window, "Enter the name of the pre-shared key.") {
		t.Fatalf("it goes on without a key:\n%s", uitest.Text(env.Window))
	}
	uitest.Type(t, env.Window, "lan", "office-key")
	uitest.Tap(t, env.Window, "Next")
	if !uitest.Says(env.Window, "Step 5 of 5") || !uitest.Says(env.Window, "This machine – 10.20.0.0/16") || !uitest.Says(env.Window, "“office-key”") {
		t.Fatalf("the summary is\n%s", uitest.Text(env.Window))
	}
	uitest.Tap(t, env.Window, "Back")
	uitest.Tap(t, env.Window, "Next")
	uitest.Tap(t, env.Window, "Add rule")
	p := v.editor.s.draft.Policy()
	want := policydraft.Rule{Name: "10.20.0.0/16", FilterList: "10.20.0.0/16", FilterAction: "Request security", Enabled: true,
		Auth: []policydraft.AuthMethod{{Method: "psk", Secret: "office-key"}}}
	if len(p.Rules) != 2 || p.Rules[1].Name != want.Name || p.Rules[1].FilterList != want.FilterList || p.Rules[1].FilterAction != want.FilterAction ||
		len(p.Rules[1].Auth) != 1 || p.Rules[1].Auth[0].Secret != "office-key" || len(p.FilterLists) != 2 {
		t.Errorf("got %+v", p.Rules)
	}
	if v.editor.rules.selected != 1 {
		t.Error("the new rule is not selected")
	}
	if f := v.editor.s.problems(); len(f) > 0 {
		t.Errorf("the service finds %v", f)
	}
	// Through a connection there is nothing to ask about authentication.
	w := newWizard(v.editor, func(*wizard) {})
	w.show()
	w.filter.Destination = "10.0.0.0/8"
	for w.page < pageName {
		before := w.page
		w.step(1)
		if w.page == before || w.page == pageAuth {
			t.Fatalf("page %d: %q", w.page, w.fault.Text)
		}
	}
	uitest.Key(env.Window, fyne.KeyEscape)
	if w.dialog.Visible() {
		t.Error("Escape does not close the wizard")
	}
}

func TestNewDuplicateRemove(t *testing.T) {
	b := stocked(t)
	v, env := open(t, b)
	uitest.Tap(t, env.Window, "New policy")
	uitest.Key(env.Window, fyne.KeyReturn)
	if !uitest.Says(env.Window, "Enter a name.") {
		t.Errorf("it takes no name:\n%s", uitest.Text(env.Window))
	}
	uitest.Type(t, env.Window, "Office only", "a/b")
	uitest.Tap(t, env.Window, "Create")
	if !uitest.Says(env.Window, "are allowed") {
		t.Errorf("it takes any name:\n%s", uitest.Text(env.Window))
	}
	uitest.Find(t, env.Window, func(e *kit.Entry) bool { return e.Text == "a/b" }).SetText("Mine")
	uitest.Tap(t, env.Window, "Create")
	if !slices.Equal(v.Unsaved(), []string{"Mine"}) || !uitest.Says(env.Window, "New, not saved yet") {
		t.Fatalf("unsaved %q:\n%s", v.Unsaved(), uitest.Text(env.Window))
	}
	uitest.Tap(t, env.Window, "Save")
	if stored(t, b, "Mine") != "version = 1\nname = \"Mine\"\n" || len(v.Unsaved()) != 0 {
		t.Error("the new policy is not stored")
	}
	v.editor.close()
	uitest.Settle()

	v.Select("Server (request security)")
	uitest.Settle()
	uitest.Tap(t, env.Window, "Duplicate…")
	uitest.Tap(t, env.Window, "Duplicate")
	// The predefined policy does not say how to authenticate: the copy must be
	// completed before it can be stored.
	if v.editor.s == nil || !v.editor.s.new || !uitest.Says(env.Window, "New, not saved yet") || len(v.editor.s.problems()) == 0 {
		t.Fatalf("it says\n%s", uitest.Text(env.Window))
	}
	v.editor.set("rules[0].auth", []policydraft.AuthMethod{{Method: policydraft.PSK, Secret: "lan"}})
	uitest.Settle()
	uitest.Tap(t, env.Window, "Save")
	if text := stored(t, b, "Server (request security) 2"); !strings.Contains(text, `name = "Server (request security) 2"`) || !strings.Contains(text, "#") {
		t.Errorf("the copy is\n%s", text)
	}
	v.editor.close()
	uitest.Settle()
	v.Select("Client (respond only)")
	uitest.Settle()
	uitest.Tap(t, env.Window, "Duplicate…")
	uitest.Tap(t, env.Window, "Duplicate")
	if v.detail.name != "Client (respond only) 2" || v.editor.s != nil {
		t.Errorf("%q is shown", v.detail.name)
	}
	p, _ := v.find("Mine")
	v.Select("Mine")
	uitest.Settle()
	v.detail.remove(p)
	uitest.Tap(t, env.Window, "Remove")
	if _, err := b.Policy(t.Context(), "Mine"); err == nil || called(b, "remove policy \"Mine\"") != 1 {
		t.Error("it is not removed")
	}
}

func TestImportAsksBeforeItReplaces(t *testing.T) {
	b := stocked(t)
	b.OnStore = func(ctx context.Context, f api.PolicyFile) (api.Policy, error) {
		if !f.Check && !f.Replace {
			return api.Policy{}, &api.Error{Code: api.CodeExists, What: "It is there."}
		}
		return judge(ctx, f)
	}
	v, env := open(t, b)
	v.importText([]byte(lan+"# newer\n"), false)
	uitest.Settle()
	if !uitest.Says(env.Window, "There is a policy “LAN” already.") {
		t.Fatalf("it does not ask:\n%s", uitest.Text(env.Window))
	}
	uitest.Tap(t, env.Window, "Replace")
	if !strings.Contains(stored(t, b, "LAN"), "# newer") {
		t.Error("it is not replaced")
	}
}

func TestCompare(t *testing.T) {
	v, env := open(t, stocked(t))
	v.compare("LAN")
	uitest.Find(t, env.Window, func(s *widget.Select) bool { return true }).SetSelectedIndex(0)
	uitest.Settle()
	if !uitest.Says(env.Window, `rule "Neighbours"`) {
		t.Errorf("it says\n%s", uitest.Text(env.Window))
	}
}

func TestFlow(t *testing.T) {
	b := assigned(t)
	v, env := open(t, b)
	v.tabs.Select("flow")
	f := v.flow
	f.to.SetText("2001:db8::7")
	f.port.SetText("53")
	f.protocol.SetSelectedIndex(2)
	f.from.SetText("::1")
	if f.text.Text != "::1 -> [2001:db8::7]:53/udp" {
		t.Errorf("the fields make %q", f.text.Text)
	}
	for _, tt := range []struct{ text, from, to, port, protocol string }{
		{"10.0.0.1 -> 10.1.2.3:443/tcp", "10.0.0.1", "10.1.2.3", "443", "TCP"},
		{"10.1.2.3", "", "10.1.2.3", "", "Automatic"},
		{"[fd00::1]:53/udp", "", "fd00::1", "53", "UDP"},
		{"fd00::1", "", "fd00::1", "", "Automatic"},
	} {
		f.text.SetText(tt.text)
		if f.from.Text != tt.from || f.to.Text != tt.to || f.port.Text != tt.port || f.protocol.Selected != tt.protocol || f.text.Text != tt.text {
			t.Errorf("%q is shown as %q %q %q %q", tt.text, f.from.Text, f.to.Text, f.port.Text, f.protocol.Selected)
		}
	}
	env.Window.Canvas().Focus(f.text)
	uitest.Key(env.Window, fyne.KeyReturn)
	uitest.Called(t, b, `explain "fd00::1"`)
	uitest.Settle()
	for _, want := range []string{"Protected", "Office, filter 1: me – 10.0.0.0/8", "c1a0b2d3 in", "Office only, assigned by alice", "fewer remote addresses"} {
		if !uitest.Says(env.Window, want) {
			t.Errorf("the answer does not say %q:\n%s", want, uitest.Text(env.Window))
		}
	}
	f.text.SetText("nonsense")
	uitest.Tap(t, env.Window, "Explain")
	if uitest.Says(env.Window, "fewer remote addresses") {
		t.Error("the answer to another question stays")
	}
}

func TestSimulate(t *testing.T) {
	b := assigned(t)
	v, env := open(t, b)
	v.tabs.Select("flow")
	if v.flow.policy.Selected != "Office only" {
		t.Errorf("%q is chosen", v.flow.policy.Selected)
	}
	v.flow.simulate(capture("packets"), "trace.pcap")
	uitest.Settle()
	uitest.Called(t, b, "simulate a policy of")
	for _, want := range []string{"Protected or clear", "1 flow, 64 kB", "3 packets that are not IP"} {
		if !uitest.Says(env.Window, want) {
			t.Errorf("the result does not say %q:\n%s", want, uitest.Text(env.Window))
		}
	}
	v.flow.simulate(capture(strings.Repeat("x", maxCapture+1)), "large.pcap")
	uitest.Settle()
	if uitest.Says(env.Window, "1 flow, 64 kB") {
		t.Error("a capture of any size is taken")
	}
}

func TestMemory(t *testing.T) {
	b := assigned(t)
	v, env := open(t, b)
	v.tabs.Select("memory")
	uitest.Settle()
	if !v.memory.pin.Disabled() || !v.memory.forget.Disabled() {
		t.Error("there are buttons for nothing")
	}
	v.memory.table.Select(1)
	uitest.Tap(t, env.Window, "Let it expire")
	uitest.Called(t, b, `pin invalid Prefix "203.0.113.20" "Neighbours" false`)
	uitest.Tap(t, env.Window, "Forget…")
	if called(b, "forget") != 0 {
		t.Fatal("it does not ask")
	}
	uitest.Key(env.Window, fyne.KeyEscape)
	uitest.Tap(t, env.Window, "Forget…")
	test.Tap(uitest.Find(t, env.Window, func(b *kit.Button) bool { return b.Importance == widget.DangerImportance }))
	uitest.Settle()
	uitest.Called(t, b, `forget invalid Prefix "203.0.113.20"`)
	if len(v.memory.entries) != 1 {
		t.Error("the list is not read again")
	}
}

func TestServiceThatFails(t *testing.T) {
	b := stocked(t)
	b.OnAssign = func(context.Context, string, bool) (api.AssignResult, error) {
		return api.AssignResult{}, errors.New("no")
	}
	v, env := open(t, b)
	v.Select("LAN")
	uitest.Settle()
	uitest.Tap(t, env.Window, "Assign…")
	if env.Window.Canvas().Overlays().Top() == nil {
		t.Error("nobody learns that it failed")
	}
}

// TestBig edits a policy of 10,000 filters, and bounds what is built of it.
func TestBig(t *testing.T) {
	b := uitest.Bare(t)
	b.OnStore = judge
	text := big(10_000)
	b.SetPolicy(mustJudge(t, text), text)
	v, env := open(t, b)
	v.detail.edit("filter_lists[0]")
	uitest.Settle()
	if n := len(uitest.On(env.Window)); n > 3000 {
		t.Errorf("%d objects are shown", n)
	}
	began := time.Now()
	v.editor.set("filter_lists[0].filters[9999].protocol", "tcp")
	v.editor.tabs.Select("text")
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("an edit takes %v", took)
	}
	uitest.Settle()
	if !uitest.Says(env.Window, "too long to be edited here") {
		t.Errorf("a text of 10,000 lines is in an entry")
	}
	if n := len(uitest.On(env.Window)); n > 3000 {
		t.Errorf("%d objects are shown of the text", n)
	}
	v.editor.text.line(10_005)
	v.editor.doSave()
	uitest.Settle()
	if got := stored(t, b, "Big"); !strings.Contains(got, `destination = "10.0.39.15", protocol = "tcp"}, # host 9999`) {
		t.Error("the edit is not stored, or its comment is lost")
	}
}

// TestKeyboard walks through the page by Tab: everything that does something is
// on the way.
func TestKeyboard(t *testing.T) {
	_, env := open(t, assigned(t))
	c := env.Window.Canvas()
	var labels []string
	for range 40 {
		c.FocusNext()
		if b, ok := c.Focused().(interface{ AccessibilityLabel() string }); ok {
			labels = append(labels, b.AccessibilityLabel())
		}
	}
	for _, want := range []string{"New policy", "Import…", "Unassign…", "Edit", "More"} {
		if !slices.Contains(labels, want) {
			t.Errorf("Tab does not reach %q, only %q", want, labels)
		}
	}
}

func TestUpdateCostsNothingWhenNothingChanged(t *testing.T) {
	b := assigned(t)
	v, env := open(t, b)
	v.Update(env.Model.Snapshot())
	calls := len(b.Calls())
	n := testing.AllocsPerRun(100, func() { v.Update(env.Model.Snapshot()) })
	if n > 2 || len(b.Calls()) != calls {
		t.Errorf("an update allocates %v times", n)
	}
}
