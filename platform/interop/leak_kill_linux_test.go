package interop_test

import (
	"flag"
	"math/rand/v2"
	"testing"
	"time"

	"sallyport/core/api"
	"sallyport/platform/internal/lab"
)

var killSeed = flag.Uint64("kill-seed", 0, "seed of the instants at which TestKillNeverLeaks kills the service; 0: another each time")

const kills = 50

// TestKillNeverLeaks kills the service at random instants of connecting,
// transferring, rekeying and reconnecting, under require, while packets for
// the protected networks are sent all the time. None may leave in clear text,
// and each time a new service comes back to the tunnel by itself.
func TestKillNeverLeaks(t *testing.T) {
	t.Parallel()
	seed := *killSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-kill-seed=%d", seed)
	rnd := rand.New(rand.NewPCG(seed, seed))
	upTo := func(d time.Duration) time.Duration { return time.Duration(rnd.Int64N(int64(d))) }

	b := newLeakBench(t, api.Require, leakScopes[0])
	b.once("never connected", fateClear)
	b.connect()
	b.up()
	// From here on nothing but IKE and ESP may be on the wire, whatever it is.
	wire := b.l.Wan.Capture("client")
	before := len(b.wire.Probes())
	flood := b.l.Client.Flood(b.rounds, 5*time.Millisecond, b.scope.targets())
	phases := [...]string{"connect", "transfer", "rekey", "reconnect"}
	var longest time.Duration
	for i := range kills {
		var background chan struct{}
		phase := phases[i%len(phases)]
		switch phase {
		case "connect":
			b.s.Proc.Kill()
			b.s.Launch()
			time.Sleep(upTo(150 * time.Millisecond))
		case "transfer":
			background = make(chan struct{})
			go func() {
				defer close(background)
				_, _ = b.l.Client.Download(lab.InternetV4, 100*megabytes, 300*time.Millisecond) // the kill interrupts it
			}()
			time.Sleep(upTo(200 * time.Millisecond))
		case "rekey":
			background = make(chan struct{})
			what := []string{"--rekey", "--child", "net"}
			if rnd.IntN(2) == 0 {
				what = []string{"--rekey", "--ike", "office"}
			}
			go func() {
				defer close(background)
				_, _ = b.gw.Ctl(2*time.Second, what...)
			}()
			time.Sleep(upTo(60 * time.Millisecond))
		case "reconnect":
			if _, err := b.gw.Ctl(2*time.Second, "--terminate", "--ike", "office", "--timeout", "1"); err != nil {
				t.Logf("kill %d: swanctl --terminate: %v", i, err) // SAs of killed services do not answer
			}
			time.Sleep(upTo(60 * time.Millisecond))
		}
		b.s.Proc.Kill()
		time.Sleep(upTo(100 * time.Millisecond))
		begun := time.Now()
		b.s.Start()
		b.up()
		longest = max(longest, time.Since(begun))
		if background != nil {
			<-background
		}
		passed := len(b.beyond.Probes())
		waitFor(t, "packets to pass the tunnel again", func() bool { return len(b.beyond.Probes()) > passed+10 })
		if t.Failed() {
			t.Fatalf("after kill %d (%s)", i, phase)
		}
	}
	n, _, err := flood.Stop()
	if err != nil {
		t.Error(err)
	}
	time.Sleep(100 * time.Millisecond)
	if leaked := len(b.wire.Probes()) - before; leaked > 0 {
		t.Errorf("%d packets left in clear text", leaked)
	}
	t.Logf("%d kills, %d rounds of packets, %d of them through the tunnel; at the slowest protected again after %v; wire: %v",
		kills, n, len(b.beyond.Probes()), longest.Round(time.Millisecond), wire.MustBeProtected(1000))
	b.settle()
}
