package bench_test

import (
	"flag"
	"fmt"
	"regexp"
	"testing"
	"time"
)

var (
	rounds = flag.Int("bench.rounds", 5, "how often each measurement is made; the table has the medians")
	only   = flag.String("bench.only", "", "make the measurements alone whose names this regular expression finds")
	// CUBIC is what Linux, Windows and macOS come with, whatever this machine prefers.
	congestion = flag.String("bench.congestion", "cubic", "the congestion control of the TCP streams")
	length     = flag.Duration("bench.length", 2*time.Second, "how long each takes")
)

// BenchmarkTunnels measures tunnels between two ends of one system, in turns, and
// holds ours to what was promised of it: medians, and ratios to the others', which
// mean more than the figures of one machine.
func BenchmarkTunnels(b *testing.B) {
	wanted, err := regexp.Compile(*only)
	if err != nil {
		b.Fatal(err)
	}
	// In a part of its own, so that the logs of all daemons are shown when it does
	// not work, and not when a promise is not kept.
	var r *results
	if !b.Run("measure", func(b *testing.B) { r = measure(b, wanted) }) || r == nil {
		return
	}
	fmt.Print(r.table())
	if *only != "" {
		return
	}
	for _, miss := range r.misses() {
		b.Error(miss)
	}
}

func measure(b *testing.B, wanted *regexp.Regexp) *results {
	pairs := []*pair{newOurs(b), newWireGuard(b), newLibipsec(b), newPlain(b)}
	r := newResults(pairs)
	for _, p := range pairs {
		p.serveTCP()
		p.sink = newSink(b, p)
		if _, err := p.rtt(200*time.Millisecond, slowly); err != nil {
			b.Fatalf("%s: %v", p.name, err)
		}
	}
	for _, p := range pairs {
		if err := r.idleMemory(p); err != nil {
			b.Fatal(err)
		}
	}
	for round := range *rounds {
		for _, s := range steps {
			if !wanted.MatchString(s.name) {
				continue
			}
			for i := range pairs {
				p := pairs[(i+round)%len(pairs)]   // nobody always comes first
				time.Sleep(200 * time.Millisecond) // what is on the way arrives
				if err := r.measure(p, s); err != nil {
					b.Fatalf("%s: %s: %v", p.name, s.name, err)
				}
			}
		}
	}
	b.ReportMetric(0, "ns/op")
	return r
}

// A step is one measurement of one pair; it notes one figure or more.
type step struct {
	name string
	run  func(p *pair, note func(figure, float64)) error
}

var steps = []step{
	tcpStep("TCP 1 stream", 1, false, tcp1Up, cpu1Up),
	tcpStep("TCP 1 stream back", 1, true, tcp1Down, cpu1Down),
	tcpStep("TCP 4 streams", 4, false, tcp4Up, cpu4Up),
	tcpStep("TCP 4 streams back", 4, true, tcp4Down, cpu4Down),
	floodStep("UDP 64 bytes", 64, false, udp64),
	floodStep("UDP 1,200 bytes", 1200, false, udp1200),
	floodStep("UDP 1,372 bytes", 1372, false, udp1400),
	floodStep("UDP 64 bytes in bulk", 64, true, bulk64),
	floodStep("UDP 1,200 bytes in bulk", 1200, true, bulk1200),
	{name: "round trip, idle", run: func(p *pair, note func(figure, float64)) error {
		d, err := p.rtt(*length, slowly)
		note(rttIdle, float64(d.Microseconds()))
		return err
	}},
	{name: "round trip, one after the other", run: func(p *pair, note func(figure, float64)) error {
		d, err := p.rtt(*length, nonstop)
		note(rttNext, float64(d.Microseconds()))
		return err
	}},
	{name: "round trip under load", run: func(p *pair, note func(figure, float64)) error {
		done := make(chan error, 1)
		go func() {
			_, err := p.tcp(1, false, *length+time.Second)
			done <- err
		}()
		time.Sleep(700 * time.Millisecond) // it is at full speed
		d, err := p.rtt(*length, slowly)
		note(rttLoad, float64(d.Microseconds()))
		if e := <-done; err == nil {
			err = e
		}
		return err
	}},
}

func tcpStep(name string, streams int, down bool, rate, cost figure) step {
	return step{name: name, run: func(p *pair, note func(figure, float64)) error {
		before, err := p.usage()
		if err != nil {
			return err
		}
		load, err := p.tcp(streams, down, *length)
		if err != nil {
			return err
		}
		after, err := p.usage()
		if err != nil {
			return err
		}
		note(rate, load.bits/1e9)
		note(cost, (after.cpu-before.cpu).Seconds()/(load.bytes/1e9))
		return nil
	}}
}

func floodStep(name string, size int, bulk bool, arrived figure) step {
	return step{name: name, run: func(p *pair, note func(figure, float64)) error {
		n, err := p.flood(size, bulk, *length)
		note(arrived, n/1000)
		return err
	}}
}
