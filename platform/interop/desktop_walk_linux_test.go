package interop_test

import (
	"context"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/core/api"
	"sallyport/platform/internal/lab"
)

// The environment of TestDesktopWalk: how long it walks, and the seed of a walk
// that is to be walked again.
const (
	walkEnv = "SALLYPORT_WALK"
	seedEnv = "SALLYPORT_WALK_SEED"
)

// A truth is what the service says, event by event.
type truth struct {
	mu   sync.Mutex // guards said
	said map[moment]map[string]api.Connection
	done chan struct{}
	stop context.CancelFunc
}

// A moment is an event in a life of the service.
type moment struct {
	life int64 // when it started
	seq  uint64
}

// follow keeps what the service says until the test ends.
func follow(t *testing.T, s *lab.Service) *truth {
	ctx, stop := context.WithCancel(context.Background())
	tr := &truth{said: map[moment]map[string]api.Connection{}, done: make(chan struct{}), stop: stop}
	t.Cleanup(tr.end)
	go func() {
		defer close(tr.done)
		for ctx.Err() == nil {
			st, err := s.Client.State(ctx)
			if err != nil {
				time.Sleep(5 * time.Millisecond)
				continue
			}
			tr.live(ctx, s, st)
		}
	}()
	return tr
}

func (tr *truth) end() {
	tr.stop()
	<-tr.done
}

// live follows one life of the service.
func (tr *truth) live(ctx context.Context, s *lab.Service, st api.State) {
	now := map[string]api.Connection{}
	for _, c := range st.Connections {
		now[c.Name] = c
	}
	life := st.Service.Started.UnixNano()
	keep := func(seq uint64) {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		tr.said[moment{life, seq}] = now
	}
	keep(st.Seq)
	seq := st.Seq
	_ = s.Client.Events(ctx, st.Seq, func(e api.Event) bool {
		if e.Kind == api.EventLost || e.Seq != seq+1 {
			return false
		}
		seq = e.Seq
		switch e.Kind {
		case api.EventConnection, api.EventFallback:
			now = maps.Clone(now)
			now[e.Connection.Name] = *e.Connection
		case api.EventRemoved:
			now = maps.Clone(now)
			delete(now, e.Name)
		}
		keep(seq)
		return true
	})
}

// at returns what the service said at a moment.
func (tr *truth) at(m moment) (map[string]api.Connection, bool) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	c, ok := tr.said[m]
	return c, ok
}

// shouldShow is how the window is to show a connection of an initiator: told
// here a second time, without the code of the window.
func shouldShow(c api.Connection) (mark, word string) {
	clear := c.Protection == api.Clear && (c.Profile != api.Respond || c.State == api.Connected || c.State == api.Reconnecting || c.State == api.Blocked) || !c.ClearUntil.IsZero()
	stopped := c.Protection == api.Stopped
	came := c.Problem != nil
	switch c.State {
	case api.Connected:
		switch {
		case clear:
			return "partly", "In clear"
		case stopped || c.Question != "":
			return "blocked", "Blocked"
		case came:
			return "fault", "Failed"
		case c.Protection == api.Held:
			return "busy", "Traffic waits"
		case c.Protection == api.Protected:
			return "safe", "Connected"
		}
		return "partly", "In clear"
	case api.Connecting:
		switch {
		case clear:
			return "partly", "Connecting"
		case stopped && c.Question != "":
			return "blocked", "Connecting"
		}
		return "busy", "Connecting"
	case api.Reconnecting:
		switch {
		case clear:
			return "partly", "Reconnecting"
		case stopped && (came || c.Question != ""):
			return "blocked", "Blocked"
		}
		return "busy", "Reconnecting"
	case api.Disconnecting:
		if clear {
			return "partly", "Disconnecting"
		}
		return "busy", "Disconnecting"
	case api.Blocked:
		if clear {
			return "partly", "In clear"
		}
		return "blocked", "Blocked"
	case api.Disconnected:
		switch {
		case clear:
			return "partly", "In clear"
		case stopped:
			return "blocked", "Blocked"
		case came && c.Problem.Code != api.CodeCancelled:
			return "fault", "Failed"
		case c.Protection == api.Held:
			return "busy", "Traffic waits"
		}
		return "off", "Disconnected"
	}
	return "fault", "Failed"
}

// TestDesktopWalk walks at random: connects and disconnects in the window, in
// the tray and behind their backs, kills the gateway and the service, moves
// between networks; and holds every state that the window shows against what
// the service said at the same event.
func TestDesktopWalk(t *testing.T) {
	length := 45 * time.Second
	if v := os.Getenv(walkEnv); v != "" {
		var err error
		if length, err = time.ParseDuration(v); err != nil {
			t.Fatalf("%s: %v", walkEnv, err)
		}
	}
	seed := uint64(time.Now().UnixNano())
	if v := os.Getenv(seedEnv); v != "" {
		var err error
		if seed, err = strconv.ParseUint(v, 10, 64); err != nil {
			t.Fatalf("%s: %v", seedEnv, err)
		}
	}
	t.Logf("%s=%s %s=%d walks this walk again", walkEnv, length, seedEnv, seed)
	d := newDesk(t)
	second := strings.ReplaceAll(pskConf("198.51.100.1", "psk.vpn.test", "dpd_delay = 2s", split), "office", "second")
	d.s.Must("import", d.lab.SwanDir("second", strings.ReplaceAll(second, "alice@vpn.test", "carol@vpn.test"))+"/swanctl.conf")
	d.s.Must("profile", "second", "require")
	d.s.Must("profile", "office", "request")
	d.s.Must("remove", "asks")
	d.s.Must("remove", "user")
	d.desk = d.lab.Client.Desktop("alice", true)
	tr := follow(t, d.s)
	d.open()
	d.gui.Focus()
	w := &walk{desk: d, rng: rand.New(rand.NewPCG(seed, 1)), tray: d.gui.Tray(), truth: tr, up: true, seen: map[string]int{}, kinds: map[string]bool{}}
	for end := time.Now().Add(length); time.Now().Before(end) && !t.Failed(); {
		w.step()
		w.check()
	}
	w.settle()
	w.check()
	t.Logf("%d steps %v; %d lines of the trace, %d of them with the service, %d rows compared in %d different states; %d lines came before the test knew of their event",
		w.steps, w.seen, w.read, w.linked, w.rows, len(w.kinds), w.unknown)
	if w.rows == 0 || w.unknown*10 > w.linked {
		t.Errorf("of %d lines %d could not be compared", w.linked, w.unknown)
	}
}

// A walk is a walk under way.
type walk struct {
	*desk
	rng   *rand.Rand
	tray  *lab.Tray
	truth *truth
	up    bool // the gateway runs

	steps                       int
	seen                        map[string]int // steps by kind
	read, linked, rows, unknown int
	kinds                       map[string]bool // what was shown
	pending                     []lab.Shown     // whose event the truth may still learn of
}

// step does one thing and waits for a while.
func (w *walk) step() {
	w.t.Helper()
	name := []string{"office", "second"}[w.rng.IntN(2)]
	kinds := []struct {
		weight int
		name   string
		do     func()
	}{
		{24, "window", func() { w.click(name) }},
		{24, "tray", func() { w.clickTray(name) }},
		{8, "connect", func() { w.s.CLI("connect", name, "--wait", "0s") }},
		{8, "disconnect", func() { w.s.CLI("disconnect", name) }},
		{6, "profile", func() {
			w.s.CLI("profile", name, []string{"respond", "request", "require"}[w.rng.IntN(3)])
		}},
		{8, "gateway", func() {
			if w.up = !w.up; w.up {
				w.gw = w.lab.Gateway.StrongSwan(w.dir)
			} else {
				w.gw.Kill()
			}
		}},
		{8, "path", func() { w.lab.Path([]lab.Path{lab.Direct, lab.BehindRouter, lab.Offline}[w.rng.IntN(3)]) }},
		{4, "service", func() {
			w.s.Proc.Kill()
			time.Sleep(time.Duration(w.rng.IntN(1500)) * time.Millisecond)
			w.s.Start()
		}},
		{10, "page", func() {
			w.gui.Press("ctrl+" + strconv.Itoa(1+w.rng.IntN(5)))
			w.gui.Press("ctrl+1")
		}},
	}
	sum := 0
	for _, k := range kinds {
		sum += k.weight
	}
	at := w.rng.IntN(sum)
	for _, k := range kinds {
		if at -= k.weight; at < 0 {
			k.do()
			w.seen[k.name]++
			break
		}
	}
	w.steps++
	time.Sleep(time.Duration(w.rng.IntN(1200)) * time.Millisecond)
}

// click presses the button of a connection, if there is one now.
func (w *walk) click(name string) {
	s := w.gui.Last()
	r := s.Row(name)
	if r == nil {
		return // the window shows that there is no service
	}
	w.gui.Click(r.At)
	for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if r := w.gui.Last().Row(name); r != nil && r.ButtonAt != nil {
			w.gui.Click(*r.ButtonAt)
			return
		}
	}
}

// clickTray clicks the line of a connection, if there is one now.
func (w *walk) clickTray(name string) {
	if it, ok := w.tray.Find(name + " ·"); ok && it.Enabled {
		w.tray.Click(name + " ·")
	}
}

// check compares what the window has shown since the last time.
func (w *walk) check() {
	w.t.Helper()
	lines := w.gui.Lines()
	fresh := lines[w.read:]
	w.read = len(lines)
	waiting := w.pending
	w.pending = nil
	for _, s := range slices.Concat(waiting, fresh) {
		if s.Link != "linked" || s.Shown == nil || s.Shown.Page != "connections" || s.Shown.NoService != "" {
			continue
		}
		now, ok := w.truth.at(moment{s.Life.UnixNano(), s.Seq})
		if !ok {
			// Our own stream can be a moment behind, or have begun later.
			if time.Since(s.Time) < 5*time.Second {
				w.pending = append(w.pending, s)
			} else {
				w.linked++
				w.unknown++
			}
			continue
		}
		w.linked++
		if len(s.Shown.Connections) != len(now) {
			w.t.Errorf("at %d the window shows %d connections, the service has %d: %v", s.Seq, len(s.Shown.Connections), len(now), s)
		}
		for _, r := range s.Shown.Connections {
			c, ok := now[r.Name]
			mark, word := shouldShow(c)
			if !ok || r.Mark != mark || r.Word != word {
				w.t.Errorf("at %d the window shows %s as %q (%s), the service says %+v, which is %q (%s)", s.Seq, r.Name, r.Word, r.Mark, c, word, mark)
			}
			w.rows++
			w.kinds[mark+"/"+word+"/"+string(c.Profile)] = true
		}
	}
}

// settle ends the walk where everything works, and waits until the window and
// the tray show it.
func (w *walk) settle() {
	w.t.Helper()
	w.lab.Path(lab.Direct)
	if !w.up {
		w.gw = w.lab.Gateway.StrongSwan(w.dir)
	}
	w.s.CLI("disconnect", "second")
	w.s.CLI("disconnect", "office")
	w.s.Must("connect", "office", "--wait", "60s")
	w.says("office", "Connected", api.Connected)
	trayLine(w.t, w.tray, "office ·", true)
	waitUntil(w.t, "the window to show the last event", 30*time.Second, func() bool {
		st, err := w.s.Client.State(context.Background())
		s := w.gui.Last()
		return err == nil && s.Seq >= st.Seq && s.Life.Equal(st.Service.Started)
	})
	time.Sleep(100 * time.Millisecond) // for our own stream
}
