package monitor

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fyne.io/fyne/v2"

	"sallyport/app/i18n"
	"sallyport/app/ui/kit"
	"sallyport/app/ui/uitest"
	"sallyport/core/api"
	"sallyport/platform/ipc/ipctest"
)

func TestMain(m *testing.M) {
	i18n.SetNow(func() time.Time { return uitest.Now })
	m.Run()
}

// world is uitest's, with the reasons and words that the service itself uses.
func world(t testing.TB) *ipctest.Backend {
	b := uitest.Calm(t)
	d := uitest.SAs()
	d.Drops = map[string]uint64{"esp: in-replay": 41, "esp: out-stage-stale": 12, "ike: repeated request": 3, "esp: something new": 2, "esp: in-bad-icv": 0}
	b.SetDynamic(d)
	s := uitest.Security()
	s.Firewall = "in force, 14 rules"
	s.Exempt = []string{"loopback", "IKE and ESP of the service itself (UDP [500 4500])", "DHCP of this machine", "the local network 192.168.178.0/24", "something new"}
	b.SetSecurity(s)
	return b
}

func onTab(tab string, then ...func(*View)) func(*kit.Env) fyne.CanvasObject {
	return func(env *kit.Env) fyne.CanvasObject {
		v := New(env)
		o := uitest.Show(env, v)
		v.tabs.Select(tab)
		for _, f := range then {
			f(v)
		}
		return o
	}
}

func TestPictures(t *testing.T) {
	uitest.Golden(t, world(t), "overview", uitest.Page, onTab(tabOverview), uitest.Everything...)
	uitest.Golden(t, world(t), "main", uitest.Page, onTab(tabMain, func(v *View) { v.main.table.Select(0) }), uitest.Everything...)
	uitest.Golden(t, world(t), "quick", uitest.Page, onTab(tabQuick, func(v *View) { v.quick.table.Select(1) }), uitest.Everything...)
	uitest.Golden(t, world(t), "coverage", fyne.NewSize(uitest.Page.Width, 520), onTab(tabCoverage), uitest.Everything...)
	uitest.Golden(t, world(t), "counts", uitest.Page, onTab(tabCounts), uitest.Light, uitest.Dark, uitest.German, uitest.Large, uitest.Chinese)
	uitest.Golden(t, world(t), "small", uitest.SmallUI, onTab(tabQuick, func(v *View) { v.quick.table.Select(1) }), uitest.Light, uitest.French)
	uitest.Golden(t, world(t), "no-match", uitest.Page, onTab(tabQuick, func(v *View) { v.quick.filter.SetText("nowhere") }))

	empty := uitest.Calm(t)
	empty.SetDynamic(api.Dynamic{})
	empty.SetAssignment(nil)
	empty.SetSecurity(api.Security{Warning: "No security associations: nothing is protected.", Firewall: "not needed"})
	for _, tab := range []string{tabOverview, tabMain, tabCoverage, tabCounts} {
		uitest.Golden(t, empty, "empty-"+tab, uitest.Page, onTab(tab))
	}
	uitest.Golden(t, empty, "empty-"+tabQuick, uitest.SmallUI, onTab(tabQuick), uitest.German, uitest.Spanish)

	bad := world(t)
	bad.SetSecurity(api.Security{Firewall: "not in force: netlink: operation not permitted"})
	uitest.Golden(t, bad, "firewall-fails", uitest.Page, onTab(tabOverview))

	long := world(t)
	long.SetDynamic(longNames())
	uitest.Golden(t, long, "long", uitest.Page, onTab(tabMain, func(v *View) { v.main.table.Select(0) }))
	uitest.Golden(t, long, "long-quick", uitest.Page, onTab(tabQuick, func(v *View) { v.quick.table.Select(0) }), uitest.Dark)

	many := world(t)
	many.SetDynamic(manySAs(10_000))
	uitest.Golden(t, many, "many", uitest.Page, onTab(tabQuick))
}

func longNames() api.Dynamic {
	d := uitest.SAs()
	d.IKESAs, d.ChildSAs = d.IKESAs[:1], d.ChildSAs[:1]
	sa := &d.IKESAs[0]
	sa.Connection = "the-connection-of-the-branch-office-in-the-north-of-the-country"
	sa.Local, sa.Remote = "[2001:db8:1234:5678:9abc:def0:1234:5678]:4500", "[2001:db8:ffff:ffff:ffff:ffff:ffff:fffe]:4500"
	sa.LocalID = "CN=Alice Example with a Long Name, OU=Department of Long Names, O=Example Aktiengesellschaft, L=Munich, C=DE"
	sa.RemoteID = "CN=gateway-" + strings.Repeat("x", 80) + ".example.com, O=\x1bExample"
	sa.Proposal = "AES_GCM_16_256/PRF_HMAC_SHA2_512/ECP_521/KE1_ML_KEM_1024"
	c := &d.ChildSAs[0]
	c.Connection, c.Child = sa.Connection, sa.Connection
	c.LocalTS = []string{"2001:db8:1234:5678::/64"}
	c.RemoteTS = nil
	for i := range 12 {
		c.RemoteTS = append(c.RemoteTS, fmt.Sprintf("2001:db8:%x::/48[tcp/443]", i+1))
	}
	return d
}

func manySAs(n int) api.Dynamic {
	one := uitest.SAs()
	d := api.Dynamic{Drops: map[string]uint64{"esp: in-replay": uint64(n)}}
	for i := range n {
		sa, c := one.IKESAs[0], one.ChildSAs[0]
		sa.Connection = fmt.Sprintf("branch-%05d", i)
		sa.LocalSPI = fmt.Sprintf("%016x", i)
		c.Connection, c.InSPI = sa.Connection, fmt.Sprintf("%08x", i)
		c.Counters.InBytes += uint64(i) * 1000
		d.IKESAs, d.ChildSAs = append(d.IKESAs, sa), append(d.ChildSAs, c)
	}
	return d
}

// asked counts what a view asks of the service.
type asked struct {
	*ipctest.Backend
	n    atomic.Int64
	fail atomic.Bool
}

func (a *asked) Dynamic(ctx context.Context) (api.Dynamic, error) {
	a.n.Add(1)
	if a.fail.Load() {
		return api.Dynamic{}, &api.Error{Code: api.CodeUnreachable, What: "gone"}
	}
	return a.Backend.Dynamic(ctx)
}

func (a *asked) Security(ctx context.Context) (api.Security, error) {
	a.n.Add(1)
	return a.Backend.Security(ctx)
}

func TestHiddenAsksNothing(t *testing.T) {
	b := &asked{Backend: world(t)}
	env := uitest.Env(t, b)
	v := New(env)
	v.Update(env.Model.Snapshot())
	uitest.Settle()
	if n := b.n.Load(); n != 0 {
		t.Fatalf("a page that was never shown asked %d times", n)
	}
	v.Shown(true)
	uitest.Until(t, "a second question", func() bool { return b.n.Load() >= 4 })
	v.Shown(false)
	uitest.Settle()
	before := b.n.Load()
	time.Sleep(pollEvery + pollEvery/4)
	uitest.Settle()
	if n := b.n.Load(); n != before {
		t.Errorf("a hidden page asked %d times", n-before)
	}
	v.Shown(true)
	uitest.Until(t, "a question when it is shown again", func() bool { return b.n.Load() > before })
	v.Shown(false)
}

func TestKeepsSelectionAndScroll(t *testing.T) {
	b := world(t)
	d := manySAs(1000)
	b.SetDynamic(d)
	env := uitest.Env(t, b)
	v := New(env)
	env.Window.SetContent(uitest.Show(env, v))
	env.Window.Resize(uitest.Page)
	v.tabs.Select(tabQuick)
	v.quick.table.SortBy(3, true)
	v.quick.table.Select(700)
	key := quickKey(v.quick.rows[700])
	d.ChildSAs = d.ChildSAs[500:] // the rows move
	v.quick.set(d.ChildSAs)
	row, ok := v.quick.table.Selected()
	if !ok || quickKey(v.quick.rows[row]) != key {
		t.Errorf("selected %d, %v after the rows moved", row, ok)
	}
	if !v.quick.split.Trailing.Visible() {
		t.Error("the details are gone although their SA is there")
	}
	v.quick.set(d.ChildSAs[300:]) // and it is gone
	if _, ok := v.quick.table.Selected(); ok || v.quick.split.Trailing.Visible() {
		t.Error("an SA that is gone has details still")
	}
}

func TestFilter(t *testing.T) {
	env := uitest.Env(t, world(t))
	v := New(env)
	env.Window.SetContent(uitest.Show(env, v))
	env.Window.Resize(uitest.Page)
	v.Select("berlin")
	if v.tabs.Selected() != tabQuick || len(v.quick.rows) != 3 || len(v.main.rows) != 1 {
		t.Errorf("on %s: %d and %d rows", v.tabs.Selected(), len(v.quick.rows), len(v.main.rows))
	}
	v.quick.filter.SetText("5E20AA18") // an SPI, in other letters
	if len(v.quick.rows) != 1 || v.quick.rows[0].Child != "voice" {
		t.Errorf("%d rows have the SPI", len(v.quick.rows))
	}
	if !uitest.Says(env.Window, "1 of 3") {
		t.Errorf("the count is missing: %s", uitest.Text(env.Window))
	}
}

func TestKeyboard(t *testing.T) {
	env := uitest.Env(t, world(t))
	v := New(env)
	env.Window.SetContent(uitest.Show(env, v))
	env.Window.Resize(uitest.Page)
	env.Window.Canvas().FocusNext()
	uitest.Key(env.Window, fyne.KeyRight)
	uitest.Key(env.Window, fyne.KeyRight)
	if v.tabs.Selected() != tabQuick {
		t.Fatalf("on %s", v.tabs.Selected())
	}
	env.Window.Canvas().FocusNext() // the filter
	env.Window.Canvas().FocusNext() // the table
	uitest.Key(env.Window, fyne.KeyDown)
	uitest.Key(env.Window, fyne.KeyReturn)
	if row, ok := v.quick.table.Selected(); !ok || row != 1 {
		t.Fatalf("selected %d, %v", row, ok)
	}
	if !uitest.Says(env.Window, "5e20aa18") {
		t.Error("the details say no SPI")
	}
}

func TestStale(t *testing.T) {
	b := &asked{Backend: world(t)}
	env := uitest.Env(t, b)
	v := New(env)
	env.Window.SetContent(uitest.Show(env, v))
	b.fail.Store(true)
	a := ask(env.Context, b)
	v.show(&a)
	if !v.stale.Visible() || !uitest.Says(env.Window, "What you see is from 14:30.") {
		t.Errorf("nothing says that it is not current: %s", uitest.Text(env.Window))
	}
	b.fail.Store(false)
	a = ask(env.Context, b)
	v.show(&a)
	if v.stale.Visible() {
		t.Error("the note stays")
	}
}

// TestEveryDropExplained holds the explanations against the names that the
// service gives.
func TestEveryDropExplained(t *testing.T) {
	for _, reason := range strings.Fields(`out-tun-full out-malformed out-no-policy out-discard out-bypass out-selectors out-stage-full out-stage-stale out-too-big
		out-hard-limit out-path-too-big out-send-failed out-tcp-congested out-no-path out-icmp-limited in-malformed in-unknown-spi in-short in-replay in-bad-icv in-bad-padding in-dummy
		in-hard-limit in-bad-inner in-selectors in-ecn in-no-tun in-tun-write-failed in-receive-failed in-socket-full`) {
		if drop("esp: "+reason) == "" {
			t.Errorf("esp: %s is not explained", reason)
		}
	}
	if s := drop("esp: yet another"); s != "" {
		t.Errorf("an unknown reason is explained as %q", s)
	}
}

func TestShare(t *testing.T) {
	for _, tt := range []struct {
		protected, clear, blocked uint64
		want                      string
	}{
		{0, 0, 0, "No traffic so far"},
		{0, 0, 9, "Nothing passed: all of it was blocked"},
		{9, 0, 9, "All that passed was protected (100 %)"},
		{0, 9, 0, "None of it was protected (0 %)"},
		{1, 999, 0, "Less than 1 % of it was protected"},
		{1 << 60, 1, 0, "99% of what passed was protected, the rest left in clear"},
		{1, 1, 0, "50% of what passed was protected, the rest left in clear"},
	} {
		if got := share(&api.Coverage{Protected: tt.protected, Clear: tt.clear, Blocked: tt.blocked}); got != tt.want {
			t.Errorf("%d/%d/%d: %q, want %q", tt.protected, tt.clear, tt.blocked, got, tt.want)
		}
	}
}

// BenchmarkRefresh is what a second costs while the page is in front.
func BenchmarkRefresh(b *testing.B) {
	for _, n := range []int{100, 1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			be := world(b)
			env := uitest.Env(b, be)
			v := New(env)
			env.Window.SetContent(uitest.Show(env, v))
			env.Window.Resize(uitest.Page)
			v.tabs.Select(tabQuick)
			v.quick.table.SortBy(3, true)
			a := answer{dynamic: manySAs(n), security: uitest.Security()}
			v.show(&a)
			v.quick.table.Select(n / 2)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				for j := range a.dynamic.ChildSAs {
					a.dynamic.ChildSAs[j].Counters.InBytes += uint64(i % 7)
				}
				a.dynamic.Drops = maps.Clone(a.dynamic.Drops)
				v.show(&a)
			}
		})
	}
}
