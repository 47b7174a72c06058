package interop_test

import (
	"os/exec"
	"slices"
	"testing"
	"time"

	"sallyport/platform/internal/lab"
)

// BenchmarkConnect measures the time from the click to the first packet: from
// the start of the command that connects until the first answer to a ping that
// is sent every half millisecond. Our client and strongSwan's own take turns
// against the same gateway, with the same file. Both daemons run before the
// click, each in its turn.
func BenchmarkConnect(b *testing.B) {
	for _, c := range []client{
		{name: "psk", conf: pskConf("198.51.100.1", "psk.vpn.test", "proposals = aes256gcm16-prfsha384-ecp384", split)},
		{name: "psk and INVALID_KE", conf: pskConf("198.51.100.1", "psk.vpn.test", "", split)},
		certClient("ecdsa256"), certClient("rsa"),
	} {
		b.Run(c.name, func(b *testing.B) {
			l := lab.New(b)
			pki := newPKI(b)
			newGateway(b, l, pki)
			dir := l.SwanDir("client", c.conf)
			pki.Install(b, dir, c.certs, c.keys)
			const rounds = 15
			var ours, theirs []time.Duration
			for range max(rounds, b.N) {
				ours = append(ours, connectOurs(b, l, dir))
				theirs = append(theirs, connectTheirs(b, l, dir))
			}
			o, s := median(ours), median(theirs)
			ratio := o.Seconds() / s.Seconds()
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(o.Microseconds())/1000, "sallyport-ms")
			b.ReportMetric(float64(s.Microseconds())/1000, "strongswan-ms")
			b.ReportMetric(ratio, "ratio")
			if ratio > 1.5 {
				b.Errorf("connecting takes %v, strongSwan's own client %v: %.2f times as long, and 1.5 is the most", o, s, ratio)
			}
		})
	}
}

func median(d []time.Duration) time.Duration {
	d = slices.Sorted(slices.Values(d))
	return d[len(d)/2]
}

// firstPacket runs a command and returns the time until the first answer.
func firstPacket(b *testing.B, l *lab.Lab, click *exec.Cmd) time.Duration {
	b.Helper()
	ping := l.Client.Ping(lab.InsideV4, 500*time.Microsecond, 16)
	defer ping.Close()
	time.Sleep(10 * time.Millisecond)
	begun := time.Now()
	out, errOut, err := l.Client.Output(30*time.Second, click)
	if err != nil {
		b.Fatalf("%v: %v\n%s%s", click.Args, err, out, errOut)
	}
	at, err := ping.First(5 * time.Second)
	if err != nil {
		b.Fatal(err)
	}
	return at.Sub(begun)
}

func connectOurs(b *testing.B, l *lab.Lab, dir string) time.Duration {
	s := l.Client.Service("bench")
	defer s.Stop()
	s.Must("import", "--replace", dir+"/swanctl.conf")
	return firstPacket(b, l, s.Command("connect", "office", "--wait", "20s"))
}

func connectTheirs(b *testing.B, l *lab.Lab, dir string) time.Duration {
	s := l.Client.StrongSwan(dir)
	defer s.Stop()
	return firstPacket(b, l, s.Command("--initiate", "--child", "net", "--ike", "office", "--timeout", "20"))
}

// BenchmarkThroughput says, for information, what one download through the
// tunnel reaches: against strongSwan's gateway, and against our own. The HTTP
// server, the client and the checksum share the processors with both ends.
func BenchmarkThroughput(b *testing.B) {
	for _, gateway := range []string{"strongswan", "sallyport"} {
		b.Run("gateway "+gateway, func(b *testing.B) {
			l := lab.New(b)
			pki := newPKI(b)
			if gateway == "strongswan" {
				newGateway(b, l, pki)
			} else {
				newResponder(b, l, pki, "", "")
			}
			dir := l.SwanDir("client", pskConf("198.51.100.1", "psk.vpn.test", "", split))
			s := l.Client.Service("bench")
			s.Must("import", dir+"/swanctl.conf")
			s.Must("connect", "office", "--wait", "20s")
			var best float64
			for range max(5, b.N) {
				tr, err := l.Client.Download(lab.InsideV4, 100*megabytes, time.Minute)
				if err != nil {
					b.Fatal(err)
				}
				best = max(best, float64(tr.Bytes)*8/1e9/tr.Took.Seconds())
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(best, "Gbit/s")
		})
	}
}
