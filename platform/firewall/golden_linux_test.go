package firewall

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sallyport/core/host"
	"sallyport/platform/internal/roottest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestTable holds the tables of a few intents against text that nft wrote,
// which a reviewer can read.
func TestTable(t *testing.T) {
	const env = "Q_UPDATE" // flags do not reach the process in the namespace
	if *update {
		t.Setenv(env, "1")
	}
	if !roottest.Namespace(t) {
		return
	}
	roottest.Command(t, "nft")
	const prints = "nftables v1.0.6" // the same table differently than others do
	if v := roottest.Run(t, "nft --version"); !strings.HasPrefix(v, prints) {
		t.Skipf("the golden files are as %s prints, not %s", prints, v)
	}
	split := require(t)
	split.Rules = []host.FirewallRule{
		rule(t, "10.10.0.0/16[tcp/22]", host.FirewallClear),
		rule(t, "10.10.0.0/16", host.FirewallTunnelOnly),
		rule(t, "fd00:10::/64", host.FirewallTunnelOnly),
	}
	split.Default = host.FirewallClear
	split.Exempt.IKE = []uint16{500, 4500}
	f := New(Config{Mark: mark})
	defer f.Close()
	for name, i := range map[string]host.FirewallIntent{"require": require(t), "exempt": allExempt(t), "split": split} {
		mustSet(t, f, i)
		// Counters count, and nft prints what it knows of protocols.
		got := regexp.MustCompile(`packets \d+ bytes \d+`).ReplaceAllString(roottest.Run(t, "nft list table inet sallyport"), "packets N bytes N")
		path := filepath.Join("testdata", name+".nft")
		if os.Getenv(env) != "" {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s differs; see the change with -update:\n%s", name, got)
		}
	}
}
