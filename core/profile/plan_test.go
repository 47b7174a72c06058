package profile

import (
	"fmt"
	"strings"
	"testing"

	"sallyport/core/api"
)

// planText writes a plan as lines, those of the defaults left out.
func planText(list []api.PlanLine) string {
	var b strings.Builder
	for _, l := range list {
		if l.Wanted == "" && l.Note == "" {
			continue
		}
		mark := ""
		if l.Weak {
			mark = " WEAK"
		}
		fmt.Fprintf(&b, "%s: %s -> %s%s", l.Setting, l.Wanted, l.Becomes, mark)
		if l.Note != "" {
			fmt.Fprintf(&b, " (%.40s)", l.Note)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func TestPlanOfSwanctl(t *testing.T) {
	text := `connections {
 home {
  remote_addrs = vpn.example.com
  vips = 0.0.0.0
  proposals = aes128-sha1-modp1024, aes128-md5-modp2048, aes256gcm16-prfsha384-ecp384, default
  rekey_time = 0
  mobike = yes
  fragmentation = yes
  surprise = hunter2
  local-1 { auth = psk
   id = alice@example.com }
  remote-1 { auth = psk
   id = vpn.example.com }
  children {
   net { remote_ts = 10.0.0.0/8, fd00::/8
    esp_proposals = 3des-sha1
    rekey_time = 30m
    updown = /usr/lib/ipsec/_updown
    start_action = start }
  }
 }
}
secrets { ike-1 { secret = "a well kept secret of many words" }
 token-1 { handle = 1 } }
`
	res, err := Import(api.ImportRequest{Files: []api.File{{Path: "swanctl.conf", Data: []byte(text)}}})
	if err != nil || len(res.Bundles) != 1 {
		t.Fatalf("%+v, %s", res, messages(err))
	}
	const want = `gateways: vpn.example.com -> vpn.example.com
ike.proposals: aes128-sha1-modp1024 -> AES_CBC_128/PRF_HMAC_SHA1/HMAC_SHA1_96/MODP_1024 WEAK (key derivation with SHA-1, a broken hash)
ike.proposals: aes128-md5-modp2048 ->  WEAK (algorithm "md5" is not implemented)
ike.proposals: aes256gcm16-prfsha384-ecp384 -> AES_GCM_16_256/PRF_HMAC_SHA2_384/ECP_384
ike.proposals: default -> the built-in algorithms
ike.rekey_time: 0 -> 4h (new keys cannot be switched off; they ar)
ike.mobike: yes -> allow
local.method: psk -> a pre-shared key
local.id: alice@example.com -> alice@example.com
remote.method: psk -> a pre-shared key
remote.id: vpn.example.com -> vpn.example.com
virtual_ips: 0.0.0.0 -> 0.0.0.0
children.net.remote_ts: 10.0.0.0/8, fd00::/8 -> 10.0.0.0/8, fd00::/8
children.net.proposals: 3des-sha1 -> 3DES/HMAC_SHA1_96/NO_ESN WEAK (3DES encryption: its 64-bit blocks repea)
children.net.rekey_time: 30m -> 30m
children.net.updown: /usr/lib/ipsec/_updown ->  (no script is ever run)
children.net.start_action: start ->  (the connection starts when it is asked t)
surprise:  ->  (unknown setting)
swanctl.conf:  ->  (swanctl.conf:24: secrets.token-1: no con)
`
	got := planText(res.Bundles[0].Imported().Plan)
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if all := fmt.Sprint(res.Bundles[0].Imported().Plan); strings.Contains(all, "hunter2") || strings.Contains(all, "well kept") {
		t.Errorf("the plan quotes a secret: %s", all)
	}
}

func TestPlanOfTOML(t *testing.T) {
	text := strings.Replace(pskProfile, `secret = "home+psk"`, "ask = true", 1) + `proposals = ["aes128-sha1"]
rekey_time = "30m"

[ike]
proposals = ["3des-sha1-modp1024", "default"]
unique = true

[dns]
only = ["example.com"]
`
	res, err := Import(api.ImportRequest{Files: []api.File{{Path: "home.toml", Data: []byte(text)}}})
	if err != nil {
		t.Fatal(messages(err))
	}
	plan := res.Bundles[0].Imported().Plan
	const want = `gateways: vpn.example.com -> vpn.example.com
ike.proposals: 3des-sha1-modp1024 -> 3DES/PRF_HMAC_SHA1/HMAC_SHA1_96/MODP_1024 WEAK (3DES encryption: its 64-bit blocks repea)
ike.proposals: default -> the built-in algorithms
ike.unique: yes -> yes
local.method: psk -> a pre-shared key, asked for at each connect
local.id: alice@example.com -> alice@example.com
remote.method: psk -> a pre-shared key
remote.id: vpn.example.com -> vpn.example.com
virtual_ips: 0.0.0.0 -> 0.0.0.0
children.net.remote_ts: 10.0.0.0/8 -> 10.0.0.0/8
children.net.proposals: aes128-sha1 -> AES_CBC_128/HMAC_SHA1_96/NO_ESN WEAK (integrity protection with SHA-1, a broke)
children.net.rekey_time: 30m -> 30m
dns.only: example.com -> example.com
`
	if got := planText(plan); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	// What the file leaves open is told too.
	defaults := fmt.Sprint(plan)
	for _, want := range []string{"{profile  respond", "{ike.rekey_time  4h", "{children.net.local_ts  the assigned or own address (dynamic)", "{dns  the gateway's name servers"} {
		if !strings.Contains(defaults, want) {
			t.Errorf("%q is not told in %s", want, defaults)
		}
	}
	// Certificates within the file are told by their names.
	all := pkiFixture()
	text = strings.Replace(strings.Replace(pskProfile, `secret = "home+psk"`, "", 1), "[remote]\nmethod = \"psk\"",
		"[remote]\nmethod = \"certificate\"\ncas = [\"\"\"lab-ca\n"+string(all["x509ca/ca-ecdsa.crt"])+"\"\"\"]", 1)
	res, err = Import(api.ImportRequest{Password: []byte("a secret for everyone"), Files: []api.File{{Path: "home.toml", Data: []byte(text)}}})
	if err != nil {
		t.Fatal(messages(err))
	}
	if got := planText(res.Bundles[0].Imported().Plan); !strings.Contains(got, "remote.cas: \"the certificate in the file (lab-ca)\" -> lab-ca\n") {
		t.Errorf("got\n%s", got)
	}
}
