package tunnel

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/core/api"
)

var (
	start   = time.Unix(1_800_000_000, 0)
	errTest = errors.New("test")
)

// Each story is a list of inputs; the outcome of each is "actions → state".
func TestStories(t *testing.T) {
	tests := []struct {
		name    string
		profile api.Profile
		story   []string // input: want
	}{
		{"connect and disconnect", api.Require, []string{
			"connect: start attempt → connecting",
			"negotiated: apply host → connecting",
			"host: → connected",
			"connect: refused → connected",
			"disconnect: stop IKE, undo host → disconnecting",
			"connect: refused → disconnecting",
			"host: → disconnected",
		}},
		{"first attempt fails: the host was never touched", api.Respond, []string{
			"connect: start attempt → connecting",
			"fail: → disconnected",
		}},
		{"cancel while negotiating", api.Require, []string{
			"connect: start attempt → connecting",
			"disconnect: stop IKE → disconnected",
		}},
		{"the host refuses its configuration: all is undone", api.Request, []string{
			"connect: start attempt → connecting",
			"negotiated: apply host → connecting",
			"hosterr: stop IKE, undo host → disconnecting",
			"host: → disconnected",
		}},
		{"cancel while the host is being set", api.Require, []string{
			"connect: start attempt → connecting",
			"negotiated: apply host → connecting",
			"disconnect: stop IKE, undo host → disconnecting",
			"host: → disconnected",
		}},
		{"require: loss with the host kept, and blocked until it is back", api.Require, []string{
			"connect: start attempt → connecting",
			"negotiated: apply host → connecting",
			"host: → connected",
			"fail: start attempt → reconnecting",
			"fail: → blocked",
			"timeout: start attempt → reconnecting",
			"negotiated: apply host → reconnecting",
			"host: → connected",
		}},
		{"respond: loss with the host undone: the undo does not end the attempt", api.Respond, []string{
			"connect: start attempt → connecting",
			"negotiated: apply host → connecting",
			"host: → connected",
			"fail: undo host, start attempt → reconnecting",
			"host: → reconnecting",
			"negotiated: apply host → reconnecting",
			"host: → connected",
		}},
		{"respond: loss for good", api.Respond, []string{
			"connect: start attempt → connecting",
			"negotiated: apply host → connecting",
			"host: → connected",
			"final: undo host → disconnecting",
			"host: → disconnected",
		}},
		{"respond: refused while reconnecting", api.Respond, []string{
			"connect: start attempt → connecting",
			"negotiated: apply host → connecting",
			"host: → connected",
			"fail: undo host, start attempt → reconnecting",
			"host: → reconnecting",
			"final: → disconnected",
		}},
		{"request: a first attempt that fails is tried again", api.Request, []string{
			"connect: start attempt → connecting",
			"fail: → reconnecting",
			"timeout: start attempt → reconnecting",
			"final: → disconnected",
		}},
		{"require: nothing that fails leads to disconnected", api.Require, []string{
			"connect: start attempt → connecting",
			"fail: → blocked",
			"timeout: start attempt → reconnecting",
			"final: → blocked",
			"connect: start attempt → connecting",
			"negotiated: apply host → connecting",
			"hosterr: stop IKE, undo host → blocked",
			"host: → blocked",
			"disconnect: stop IKE → disconnected",
		}},
		{"no way to the gateway, and back: the host keeps everything", api.Respond, []string{
			"stall: → disconnected",
			"connect: start attempt → connecting",
			"stall: → connecting",
			"negotiated: apply host → connecting",
			"host: → connected",
			"stall: → reconnecting",
			"stall: → reconnecting",
			"back: → connected",
			"back: → connected",
			"stall: → reconnecting",
			"disconnect: stop IKE, undo host → disconnecting",
			"back: → disconnecting",
		}},
		{"no way to the gateway, and the peer is dead when there is one", api.Require, []string{
			"connect: start attempt → connecting",
			"negotiated: apply host → connecting",
			"host: → connected",
			"stall: → reconnecting",
			"fail: start attempt → reconnecting",
			"fail: → blocked",
		}},
		{"no way to the gateway, and a new IKE SA beside the old", api.Respond, []string{
			"connect: start attempt → connecting",
			"negotiated: apply host → connecting",
			"host: → connected",
			"stall: → reconnecting",
			"negotiated: apply host → reconnecting",
			"host: → connected",
		}},
		{"require: loss for good", api.Require, []string{
			"connect: start attempt → connecting",
			"negotiated: apply host → connecting",
			"host: → connected",
			"final: → blocked",
			"disconnect: stop IKE, undo host → disconnecting",
			"host: → disconnected",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			now := start
			m := New(tt.profile, now)
			for i, line := range tt.story {
				input, _, _ := strings.Cut(line, ":")
				var acts []Action
				ok := true
				switch input {
				case "connect":
					acts, ok = m.Connect(now)
				case "disconnect":
					acts = m.Disconnect(now)
				case "negotiated":
					acts = m.Negotiated(now)
				case "host":
					acts = m.HostDone(now, nil)
				case "hosterr":
					acts = m.HostDone(now, errTest)
				case "stall":
					m.Waits(now, errTest)
				case "back":
					m.Back(now)
				case "fail":
					acts = m.Failed(now, errTest, false)
				case "final":
					acts = m.Failed(now, errTest, true)
				case "timeout":
					now = m.NextTimeout()
					acts = m.HandleTimeout(now)
				default:
					t.Fatalf("unknown input %q", input)
				}
				if got := outcome(input, acts, ok, m); got != line {
					t.Fatalf("step %d:\n got %s\nwant %s", i, got, line)
				}
			}
		})
	}
}

func outcome(input string, acts []Action, ok bool, m *Machine) string {
	s := input + ": "
	if !ok {
		s += "refused "
	}
	for i, a := range acts {
		if i > 0 {
			s = strings.TrimSuffix(s, " ") + ", "
		}
		s += a.String() + " "
	}
	state, _ := m.State()
	return fmt.Sprintf("%s→ %s", s, state)
}

func TestRetryBacksOffToAMinute(t *testing.T) {
	now := start
	m := New(api.Require, now)
	m.Connect(now)
	m.Negotiated(now)
	m.HostDone(now, nil)
	m.Failed(now, errTest, false)
	var got []time.Duration
	for range 8 {
		m.Failed(now, errTest, false)
		got = append(got, m.NextTimeout().Sub(now))
		now = m.NextTimeout()
		m.HandleTimeout(now)
	}
	want := "[1s 2s 4s 8s 16s 32s 1m0s 1m0s]"
	if fmt.Sprint(got) != want {
		t.Errorf("waits %v, want %s", got, want)
	}
	m.Failed(now, errTest, false)
	m.RetryNow(now)
	if acts := m.HandleTimeout(now); len(acts) != 1 || acts[0] != StartAttempt {
		t.Errorf("after RetryNow: %v, want a new attempt", acts)
	}
}

// Tunnels that are lost as soon as they stand do not follow each other at once.
func TestLossesInARowBackOff(t *testing.T) {
	for _, profile := range []api.Profile{api.Respond, api.Request, api.Require} {
		now := start
		m := New(profile, now)
		m.Connect(now)
		var got []time.Duration
		for range 4 {
			m.Negotiated(now)
			m.HostDone(now, nil)
			acts := m.Failed(now, errTest, false)
			if slices.Contains(acts, StartAttempt) {
				got = append(got, 0)
				continue
			}
			got = append(got, m.NextTimeout().Sub(now))
			now = m.NextTimeout()
			m.HandleTimeout(now)
		}
		m.Negotiated(now)
		m.HostDone(now, nil)
		now = now.Add(maxRetry)
		if acts := m.Failed(now, errTest, false); !slices.Contains(acts, StartAttempt) {
			t.Errorf("%s: a tunnel that lasted is not tried again at once: %v", profile, acts)
		}
		if want := "[0s 1s 2s 4s]"; fmt.Sprint(got) != want {
			t.Errorf("%s: waits %v, want %s", profile, got, want)
		}
	}
}

// Whatever comes in whatever order, the host is undone by the time the tunnel
// is at rest, and nothing starts by itself afterwards.
func TestAtRestNothingIsLeft(t *testing.T) {
	for seed := range 2000 {
		now := start
		m := New([]api.Profile{api.Respond, api.Request, api.Require}[seed%3], now)
		left := true // the user has asked for rest
		host, x := false, uint32(seed)*2654435761+1
		var queue []Action
		do := func(acts []Action) {
			for _, a := range acts {
				switch a {
				case ApplyHost, UndoHost:
					host = a == ApplyHost
					queue = append(queue, a)
				}
			}
		}
		for range 60 {
			x = x*1664525 + 1013904223
			switch x >> 28 {
			case 0, 1, 2:
				acts, ok := m.Connect(now)
				left = left && !ok
				do(acts)
			case 3:
				left = true
				do(m.Disconnect(now))
			case 4, 5, 6:
				do(m.Negotiated(now))
			case 7, 8:
				do(m.Failed(now, errTest, x>>27&1 == 1))
			case 9:
				if !m.NextTimeout().IsZero() {
					now = m.NextTimeout()
				}
				do(m.HandleTimeout(now))
			default:
				if len(queue) > 0 {
					last := queue[len(queue)-1]
					queue = nil // the engine applies only the newest wish
					var err error
					if last == ApplyHost && x>>20&7 == 0 {
						err = errTest
					}
					do(m.HostDone(now, err))
				}
			}
			s, _ := m.State()
			if s == api.Disconnected && (host || !m.NextTimeout().IsZero()) {
				t.Fatalf("seed %d: disconnected with host %v, next attempt %v", seed, host, m.NextTimeout())
			}
			if s == api.Disconnected && seed%3 == 2 && !left {
				t.Fatalf("seed %d: require is disconnected though nobody asked for it", seed)
			}
		}
	}
}
