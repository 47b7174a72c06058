package single

import (
	"errors"
	"os"
	"os/exec"
	"reflect"
	"sync"
	"testing"
	"time"
)

// TestMain is also the program that crashes: see TestCrash.
func TestMain(m *testing.M) {
	if os.Getenv("SINGLE_CRASH") != "" {
		if _, err := Claim("crash", Message{}, func(Message) {}); err != nil {
			os.Exit(1)
		}
		_, _ = os.Stdout.WriteString("x")
		select {}
	}
	os.Exit(m.Run())
}

func TestClaim(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", private(t))
	got := make(chan Message, 8)
	release, err := Claim("a", Message{}, func(m Message) { got <- m })
	if err != nil {
		t.Fatal(err)
	}
	want := Message{Page: "monitor", Files: []string{"/home/alice/office.conf"}}
	if _, err := Claim("a", want, nil); !errors.Is(err, ErrRunning) {
		t.Fatalf("the second: %v", err)
	}
	if m := <-got; !reflect.DeepEqual(m, want) {
		t.Errorf("got %+v, want %+v", m, want)
	}
	other, err := Claim("b", Message{}, func(Message) {})
	if err != nil {
		t.Fatalf("another service: %v", err)
	}
	other()
	release()
	release()
	again, err := Claim("a", Message{}, func(Message) {})
	if err != nil {
		t.Fatalf("after the end: %v", err)
	}
	again()
}

// TestRace starts many at once: one wins, and gets all messages.
func TestRace(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", private(t))
	const n = 12
	got := make(chan Message, n)
	var all sync.WaitGroup
	var mu sync.Mutex
	var won []func()
	lost := 0
	for range n {
		all.Go(func() {
			release, err := Claim("race", Message{Page: "x"}, func(m Message) { got <- m })
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				won = append(won, release)
			case errors.Is(err, ErrRunning):
				lost++
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if len(won) != 1 || lost != n-1 {
		t.Errorf("%d won and %d lost", len(won), lost)
	}
	for range lost {
		<-got
	}
	for _, r := range won {
		r()
	}
}

// TestCrash kills the first one and starts another.
func TestCrash(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", private(t))
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "SINGLE_CRASH=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if _, err := Claim("crash", Message{}, nil); !errors.Is(err, ErrRunning) {
		t.Errorf("while it runs: %v", err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	release, err := Claim("crash", Message{}, func(Message) {})
	if err != nil {
		t.Fatalf("after the crash: %v", err)
	}
	release()
}

// TestNonsense sends what is no message; the next one still arrives.
func TestNonsense(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", private(t))
	got := make(chan Message, 1)
	release, err := Claim("n", Message{}, func(m Message) { got <- m })
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	for _, b := range []string{"", "\n", "{", "[]\n", string(make([]byte, limit+10))} {
		c, err := dial(key("n"), time.Second)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write([]byte(b))
		c.Close()
	}
	if _, err := Claim("n", Message{Page: "log"}, nil); !errors.Is(err, ErrRunning) {
		t.Fatal(err)
	}
	if m := <-got; m.Page != "log" {
		t.Errorf("%+v", m)
	}
}

func private(t *testing.T) string {
	dir, err := os.MkdirTemp("", "sp") // t.TempDir can be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
