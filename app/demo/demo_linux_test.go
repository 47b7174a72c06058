package demo

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/core/api"
)

func frame(kind uint16, b ...byte) []byte {
	f := make([]byte, 12, 14+len(b))
	f = binary.BigEndian.AppendUint16(f, kind)
	return append(f, b...)
}

func ipv4(proto byte, b ...byte) []byte {
	h := make([]byte, 20)
	h[0], h[9] = 0x45, proto
	return frame(unix.ETH_P_IP, append(h, b...)...)
}

func udp(from, to uint16, b ...byte) []byte {
	h := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, from), to)
	return ipv4(unix.IPPROTO_UDP, append(append(h, 0, 0, 0, 0), b...)...)
}

func ike() []byte {
	b := make([]byte, 28)
	b[17], b[27] = 0x20, 28
	return b
}

// TestSort has one frame of each kind; what is not IKE or ESP, even if it
// comes on their ports, is in the clear.
func TestSort(t *testing.T) {
	esp := []byte{1, 2, 3, 4, 0, 0, 0, 1, 9, 9}
	for _, c := range []struct {
		name  string
		frame []byte
		want  Wire
	}{
		{"IKE", udp(500, 500, ike()...), Wire{IKE: 1}},
		{"IKE on 4500", udp(4500, 4500, append(make([]byte, 4), ike()...)...), Wire{IKE: 1}},
		{"ESP", udp(4500, 4500, esp...), Wire{ESP: 1, ESPBytes: 10}},
		{"ESP from behind a NAT", udp(61001, 4500, esp...), Wire{ESP: 1, ESPBytes: 10}},
		{"keepalive", udp(4500, 4500, 0xff), Wire{Infra: 1}},
		{"ARP", frame(unix.ETH_P_ARP, make([]byte, 28)...), Wire{Infra: 1}},
		{"ESP on 500", udp(500, 500, esp...), Wire{Clear: map[string]int{"UDP port 500": 1}}},
		{"DNS", udp(5353, 53, 1, 2, 3), Wire{Clear: map[string]int{"UDP port 53": 1}}},
		{"ping", ipv4(unix.IPPROTO_ICMP, 8, 0, 0, 0), Wire{Clear: map[string]int{"ICMP": 1}}},
		{"web", ipv4(unix.IPPROTO_TCP, make([]byte, 20)...), Wire{Clear: map[string]int{"TCP": 1}}},
		{"web with the page", ipv4(unix.IPPROTO_TCP, []byte("..the secret..")...), Wire{Clear: map[string]int{"TCP": 1}, Secret: 1}},
		{"the page on port 4500", udp(4500, 4500, []byte("1234the secret")...), Wire{ESP: 1, ESPBytes: 14, Secret: 1}},
		{"ESP without UDP", ipv4(50, esp...), Wire{Clear: map[string]int{"IP protocol 50": 1}}},
		{"short", []byte{1, 2, 3}, Wire{Clear: map[string]int{"malformed": 1}}},
		{"header longer than the packet", frame(unix.ETH_P_IP, append([]byte{0x4f}, make([]byte, 19)...)...), Wire{Clear: map[string]int{"Ethernet type 0x0800": 1}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tap := &capture{secret: []byte("the secret"), seen: Wire{Clear: map[string]int{}}}
			tap.add(c.frame)
			if c.want.Clear == nil {
				c.want.Clear = map[string]int{}
			}
			if !reflect.DeepEqual(tap.seen, c.want) {
				t.Errorf("got %+v, want %+v", tap.seen, c.want)
			}
		})
	}
}

func FuzzSort(f *testing.F) {
	f.Add(udp(500, 500, ike()...))
	f.Add(frame(unix.ETH_P_IPV6, make([]byte, 60)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		tap := &capture{secret: []byte("the secret"), seen: Wire{Clear: map[string]int{}}}
		tap.add(b)
		n := tap.seen.IKE + tap.seen.ESP + tap.seen.Infra
		for _, c := range tap.seen.Clear {
			n += c
		}
		if n != 1 {
			t.Errorf("one frame counts as %d: %+v", n, tap.seen)
		}
	})
}

func TestParse(t *testing.T) {
	var out bytes.Buffer
	if o, help, err := parse([]string{"--json", "--keep", "--socket", "x"}, &out); !o.json || !o.keep || help || err != nil {
		t.Errorf("%+v, %v, %v", o, help, err)
	}
	if _, help, err := parse([]string{"--help"}, &out); !help || err != nil || !strings.Contains(out.String(), "--keep") {
		t.Errorf("help %v, %v: %s", help, err, out.String())
	}
	for _, args := range [][]string{{"--nonsense"}, {"office"}} {
		if _, _, err := parse(args, &out); api.AsError(err).Code != api.CodeUsage {
			t.Errorf("%v: %v", args, err)
		}
	}
}

func TestSetupError(t *testing.T) {
	for err, want := range map[error]api.ErrorCode{
		fmt.Errorf("make namespaces: %w", unix.EPERM):  api.CodeNoPrivilege,
		fmt.Errorf("make namespaces: %w", unix.ENOSPC): api.CodeNoPrivilege,
		fmt.Errorf("virtual cable: %w", unix.ENOTSUP):  api.CodeNetworkSetup,
	} {
		e := api.AsError(setupError(err))
		if e.Code != want || e.What == "" || e.Why == "" || e.Next == "" {
			t.Errorf("%v: %+v", err, e)
		}
	}
	if got := cause(fmt.Errorf("a: %w", fmt.Errorf("b: %w", errors.New("c")))); got != "c" {
		t.Errorf("cause is %q", got)
	}
}

func TestDaemon(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	dir := t.TempDir()
	self := filepath.Join(dir, "sallyport")
	if _, err := daemon(self); api.AsError(err).Code != api.CodeUnsupported {
		t.Errorf("without the service's program: %v", err)
	}
	path := filepath.Join(dir, "sallyportd")
	if err := os.WriteFile(path, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if got, err := daemon(self); got != path || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestPrinter(t *testing.T) {
	var out bytes.Buffer
	p := newPrinter(&out, false)
	p.title("Title", "subtitle")
	p.step("Step")
	p.check(true, "it holds", "two\nlines", 1234*time.Microsecond)
	p.check(false, "it does not", "", 3*time.Second)
	p.text("\n  a\n\n  b\n")
	p.table("1,538", "packets")
	const want = `Title
subtitle

1. Step
   ok   it holds: two
        lines (1.2ms)
   FAIL it does not (3s)
       a

       b
      1,538  packets
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := count(n); got != want {
			t.Errorf("count(%d) = %q, want %q", n, got, want)
		}
	}
}
