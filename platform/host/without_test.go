package host

import (
	"slices"
	"testing"

	"sallyport/core/host"
	"sallyport/platform/sockopt"
)

func TestParseWithout(t *testing.T) {
	for _, c := range []struct {
		value string
		want  []string
		bad   bool
	}{
		{value: ""},
		{value: "udp-gso", want: []string{udpSend}},
		{value: " udp-gro, tun-tcp,", want: []string{udpRecv, tunTCP}},
		{value: "all", want: offloads},
		{value: "everything", bad: true},
	} {
		w, err := parseWithout(c.value)
		if (err != nil) != c.bad || len(w) != len(c.want) || slices.ContainsFunc(c.want, func(s string) bool { return !w[s] }) {
			t.Errorf("%q: %v, %v", c.value, w, err)
		}
	}
}

// TestWithoutKeepsTheRest: a socket that is not to be read in batches can still
// send fragments, where it could.
func TestWithoutKeepsTheRest(t *testing.T) {
	w := without{udpBatch: true, udpSend: true}
	if c := w.config(sockopt.Config{Port: 7}); !c.NoSegments || c.NoMerging || c.Port != 7 {
		t.Errorf("%+v", c)
	}
	c, err := sockopt.Listen(w.config(sockopt.Config{}))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var whole host.UDPConn = c
	_, cuts := whole.(host.Fragmenter)
	_, sounds := whole.(host.Sounder)
	x := w.socket(whole)
	_, cuts2 := x.(host.Fragmenter)
	_, sounds2 := x.(host.Sounder)
	if _, tries := x.(host.TryReceiver); tries || cuts != cuts2 || sounds != sounds2 || x.Offload() {
		t.Errorf("tries %v, fragments %v %v, sounds %v %v, groups %v", tries, cuts, cuts2, sounds, sounds2, x.Offload())
	}
}
