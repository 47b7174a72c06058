package profile

import (
	"fmt"
	"strings"
	"testing"
)

// What a dry run says of a user is what the import makes of it: not that EAP, or
// the demand on revocation, is not honoured.
func TestPlanOfAUser(t *testing.T) {
	for auth, want := range map[string][]string{
		"auth = eap-mschapv2\neap_id = bob":                                             {"local.method: eap-mschapv2 -> the user bob, asked with EAP"},
		"auth = eap\neap_id = bob\naaa_id = radius.vpn.test":                            {"local.method: eap -> the user bob, asked with EAP", "local.eap.server: radius.vpn.test -> radius.vpn.test"},
		"auth = pubkey\ncerts = alice-ecdsa.crt }\nlocal-2 {\nauth = eap\neap_id = bob": {"local.method: pubkey, eap -> a certificate, then the user bob, asked with EAP"},
	} {
		for demand, becomes := range map[string]string{"relaxed": RevocationSoft, "strict": RevocationStrict} {
			res, err := importFile(t, "/etc/swanctl/swanctl.conf", "connections {\nhome {\nremote_addrs = vpn.example.com\nlocal {\n"+auth+
				"\n}\nremote {\nauth = pubkey\nid = gw.vpn.test\nrevocation = "+demand+"\n}\nchildren {\nhome {\n}\n}\n}\n}\n", pkiFixture())
			if err != nil {
				t.Fatal(err)
			}
			b := res.Bundles[0]
			var lines []string
			for _, l := range b.Plan {
				lines = append(lines, fmt.Sprintf("%s: %s -> %s", l.Setting, l.Wanted, l.Becomes))
			}
			said := strings.Join(lines, "\n")
			for _, w := range append(want, fmt.Sprintf("remote.revocation: %s -> %s", demand, becomes)) {
				if !strings.Contains(said, w) {
					t.Errorf("%q\nlacks %q:\n%s", auth, w, said)
				}
			}
			if len(b.Warnings) > 0 {
				t.Errorf("%q warns: %q", auth, b.Warnings)
			}
		}
	}
}
