package model

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/core/api"
	"sallyport/platform/ipc/ipctest"
)

var walkSeed = flag.Uint64("walk.seed", 0, "take the random walk of this seed alone")

// A host is a machine on which a service lives, dies and lives again.
type host struct {
	api.Backend // what the model does not call

	mu    sync.Mutex // guards what follows
	b     *ipctest.Backend
	down  bool
	kill  chan struct{}        // closed when the service dies
	truth map[uint64]api.State // what State says at each event of this life
	check func(*ipctest.Backend, uint64, api.State)
	slow  func() time.Duration // how long a follower takes for an event
}

var errGone = &api.Error{Code: api.CodeUnreachable, What: "The service went away."}

// start begins another life of the service, with the connections given.
func (h *host) start(conns ...api.Connection) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.b, h.down, h.kill, h.truth = &ipctest.Backend{}, false, make(chan struct{}), map[uint64]api.State{}
	h.b.SetService(api.Service{Version: "1", APIVersion: api.APIVersion, Started: time.Now()})
	for _, c := range conns {
		h.b.SetConnection(c)
	}
	h.recordLocked()
}

func (h *host) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.down = true
	close(h.kill)
}

// do changes the service; each event of the change must leave the same state.
func (h *host) do(change func(*ipctest.Backend)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change(h.b)
	h.recordLocked()
}

func (h *host) recordLocked() {
	st, _ := h.b.State(context.Background())
	for seq := st.Seq; seq > 0; seq-- {
		if _, ok := h.truth[seq]; ok {
			break
		}
		st.Seq = seq
		h.truth[seq] = st
	}
}

func (h *host) up() (*ipctest.Backend, <-chan struct{}, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.down {
		return nil, nil, errGone
	}
	return h.b, h.kill, nil
}

func (h *host) State(ctx context.Context) (api.State, error) {
	b, _, err := h.up()
	if err != nil {
		return api.State{}, err
	}
	return b.State(ctx)
}

func (h *host) Log(ctx context.Context, limit int) ([]api.LogEntry, error) {
	b, _, err := h.up()
	if err != nil {
		return nil, err
	}
	return b.Log(ctx, limit)
}

func (h *host) Tokens(ctx context.Context) (api.Tokens, error) {
	b, _, err := h.up()
	if err != nil {
		return api.Tokens{}, err
	}
	return b.Tokens(ctx)
}

func (h *host) Traffic(ctx context.Context) (map[string]api.Counters, error) {
	b, _, err := h.up()
	if err != nil {
		return nil, err
	}
	return b.Traffic(ctx)
}

func (h *host) Events(ctx context.Context, after uint64, yield func(api.Event) bool) error {
	b, kill, err := h.up()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-kill:
			cancel()
		case <-ctx.Done():
		}
	}()
	err = b.Events(ctx, after, func(e api.Event) bool {
		if h.slow != nil {
			if d := h.slow(); d > 0 {
				time.Sleep(d)
			}
		}
		if ctx.Err() != nil {
			return false // it died on the way
		}
		if !yield(e) {
			return false
		}
		h.mu.Lock()
		st, check := h.truth[e.Seq], h.check
		same := h.b == b
		h.mu.Unlock()
		if same && check != nil {
			check(b, e.Seq, st)
		}
		return true
	})
	select {
	case <-kill:
		return errGone
	default:
		return err
	}
}

// differs says how a snapshot differs from what the service says.
func differs(s *Snapshot, st api.State) string {
	switch {
	case s.Link != Linked:
		return fmt.Sprintf("the link is %d", s.Link)
	case s.Seq != st.Seq:
		return fmt.Sprintf("at event %d, not %d", s.Seq, st.Seq)
	case !s.Service.Started.Equal(st.Service.Started):
		return "another life"
	case len(s.Connections) != len(st.Connections):
		return fmt.Sprintf("%d connections, not %d", len(s.Connections), len(st.Connections))
	case !reflect.DeepEqual(s.Assignment, st.Assignment):
		return "another assignment"
	case len(s.Prompts) != len(st.Prompts):
		return fmt.Sprintf("%d prompts, not %d", len(s.Prompts), len(st.Prompts))
	}
	for i := range st.Prompts {
		if s.Prompts[i].ID != st.Prompts[i].ID {
			return "other prompts"
		}
	}
	for i, c := range st.Connections {
		got := s.Connections[i]
		// The counters are asked for beside the events, and may be newer.
		got.Counters, c.Counters = api.Counters{}, api.Counters{}
		if !reflect.DeepEqual(got.Connection, c) {
			return fmt.Sprintf("connection %+v, not %+v", got.Connection, c)
		}
		if got.Mark != markOf(&c) || got.Verb != verbOf(&c) || !reflect.DeepEqual(got.Story, storyOf(&c)) {
			return fmt.Sprintf("%s is described as what it was", c.Name)
		}
	}
	return ""
}

// TestRandomWalk lets a service live for ten minutes of connects, kills, roams
// and floods, with a follower that is slow at times. At every event the
// Snapshot is what State says at that event; while the service is gone nothing
// is called protected; and at the end nothing is left running.
func TestRandomWalk(t *testing.T) {
	seeds := []uint64{1, 2, 3, 4, 5, 6, 7, 8, uint64(time.Now().UnixNano())}
	if *walkSeed != 0 {
		seeds = []uint64{*walkSeed}
	}
	for _, seed := range seeds {
		synctest.Test(t, func(t *testing.T) {
			walk(t, seed)
			if t.Failed() {
				t.Fatalf("replay it with: go test ./app/model -run TestRandomWalk -walk.seed %d", seed)
			}
		})
	}
}

func walk(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	var checked, resynced atomic.Int64
	h := &host{}
	h.start(office(api.Disconnected))
	m := New(Options{Backend: h})
	slow := rand.New(rand.NewPCG(seed, 2)) // the follower's goroutine has its own
	var calm atomic.Bool
	h.slow = func() time.Duration {
		if !calm.Load() && slow.IntN(200) == 0 {
			return time.Duration(slow.IntN(8000)) * time.Millisecond
		}
		return 0
	}
	h.check = func(_ *ipctest.Backend, seq uint64, st api.State) {
		checked.Add(1)
		if d := differs(m.Snapshot(), st); d != "" && !t.Failed() {
			t.Errorf("seed %d, event %d: %s", seed, seq, d)
		}
	}
	var last uint64
	stopWatch := m.Watch(func(s *Snapshot) {
		if s.Link == Linked && s.Seq > last+1 {
			resynced.Add(1)
		}
		last = s.Seq
	})
	stopNotices := m.Notices(func(n Notice) {
		if n.Title.Key == "" {
			t.Errorf("seed %d: a notice without a title: %+v", seed, n)
		}
	})
	stop := run(t, m)
	defer func() { stop(); stopWatch(); stopNotices() }()

	names := []string{"alpha", "bravo", "charlie", "delta", "echo"}
	prompt := 0
	for begin := time.Now(); time.Since(begin) < 10*time.Minute; {
		name := names[r.IntN(len(names))]
		switch n := r.IntN(100); {
		case n < 50:
			h.do(func(b *ipctest.Backend) { b.SetConnection(anyConnection(r, name)) })
		case n < 60: // roam: the same tunnel on another path, with what it carried
			h.do(func(b *ipctest.Backend) {
				c := office(api.Connected)
				c.Path, c.Routes = fmt.Sprintf("192.0.2.%d:4500 → 198.51.100.1:4500", r.IntN(255)), prefixes("10.0.0.0/8")
				c.Counters.InBytes = r.Uint64N(1 << 30)
				b.SetConnection(c)
			})
		case n < 66:
			h.do(func(b *ipctest.Backend) { _ = b.Remove(t.Context(), name) })
		case n < 72:
			h.do(func(b *ipctest.Backend) {
				b.SetAssignment([]*api.Assignment{nil, {Policy: name}}[r.IntN(2)])
			})
		case n < 78:
			prompt++
			h.do(func(b *ipctest.Backend) {
				b.Ask(api.Prompt{ID: fmt.Sprint(prompt), Kind: api.PromptPassword, Connection: name, Rememberable: true})
			})
		case n < 83:
			h.do(func(b *ipctest.Backend) { b.Withdraw(fmt.Sprint(1 + r.IntN(prompt+1))) })
		case n < 90: // a flood, which a slow follower does not survive
			for i := range r.IntN(400) {
				h.do(func(b *ipctest.Backend) {
					b.Write(api.LogEntry{Level: api.LogInfo, Topic: "ike", Text: fmt.Sprint("line ", i)})
				})
			}
		case n < 94:
			h.do(func(b *ipctest.Backend) { b.FallBack(name, time.Minute) })
		case n < 97: // killed, and started again at once or after a while, with what it has stored
			h.stop()
			if r.IntN(2) == 0 {
				time.Sleep(time.Duration(r.IntN(20)) * time.Second)
				time.Sleep(9 * time.Second) // however slow the follower is
				if s := m.Snapshot(); s.Link != Lost || s.Mark != Fault || strings.Contains(fmt.Sprint(s.Connections), "model.word.connected") {
					t.Errorf("seed %d: the service is gone, and the snapshot says %+v", seed, s)
				}
			}
			h.start(anyConnection(r, "alpha"), anyConnection(r, "bravo"))
		default:
			time.Sleep(time.Duration(r.IntN(30)) * time.Second)
		}
		if r.IntN(3) > 0 {
			time.Sleep(time.Duration(r.IntN(1500)) * time.Millisecond)
		}
	}
	calm.Store(true)
	time.Sleep(20 * time.Second)
	st, err := h.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d := differs(m.Snapshot(), st); d != "" {
		t.Errorf("seed %d: in the end: %s", seed, d)
	}
	if checked.Load() < 1000 || resynced.Load() == 0 {
		t.Errorf("seed %d: %d events checked, %d resyncs: the walk is too tame", seed, checked.Load(), resynced.Load())
	}
}

// anyConnection returns a connection in any state.
func anyConnection(r *rand.Rand, name string) api.Connection {
	c := api.Connection{Name: name, Role: "initiator", Gateway: []string{"vpn.example.com"}, Since: time.Now(),
		State:      allStates[r.IntN(len(allStates))],
		Profile:    allProfiles[r.IntN(len(allProfiles))],
		Protection: allProtections[r.IntN(len(allProtections))],
		Problem:    allProblems[r.IntN(len(allProblems))]}
	if r.IntN(4) == 0 {
		c.ClearUntil = time.Now().Add(time.Minute)
	}
	if c.State == api.Connected {
		c.Addresses = []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, byte(r.IntN(256))})}
	}
	c.Profile = cmp.Or(c.Profile, api.Request)
	return c
}
