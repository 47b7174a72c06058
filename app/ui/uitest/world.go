package uitest

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"sallyport/core/api"
	"sallyport/platform/ipc/ipctest"
)

// World returns a service in which there is something of everything:
// connections in all states and of all profiles, security associations, a log,
// policies of which one is assigned, IKE messages and a prompt.
func World(t testing.TB) *ipctest.Backend {
	b := Calm(t)
	b.Ask(Prompts()[0])
	return b
}

// Calm is World without a prompt.
func Calm(t testing.TB) *ipctest.Backend {
	t.Helper()
	b := Bare(t)
	for _, c := range Connections() {
		b.SetConnection(c)
	}
	b.SetDynamic(SAs())
	for _, p := range Policies() {
		b.SetPolicy(p, PolicyText(p.Name))
	}
	b.SetAssignment(&api.Assignment{Policy: "Company", By: "alice (uid 1000)", Since: Now.Add(-26 * time.Hour)})
	b.SetSecurity(Security())
	b.SetMemories(
		api.Memory{Network: prefix("192.168.178.0/24"), Peer: "vpn.example.com", Rule: "berlin", Worked: Now.Add(-2 * time.Hour)},
		api.Memory{Network: prefix("10.44.0.0/16"), Peer: "203.0.113.20", Rule: "paris-partner", Worked: Now.Add(-9 * 24 * time.Hour), Pinned: true},
	)
	b.SetMessages(Messages())
	for _, e := range Log(200) {
		b.Write(e)
	}
	return b
}

// Bare returns a service that runs and has nothing stored.
func Bare(t testing.TB) *ipctest.Backend {
	t.Helper()
	b := &ipctest.Backend{Now: func() time.Time { return Now }, Ring: 4096}
	b.SetService(api.Service{Version: "1.0.0", APIVersion: api.APIVersion, Started: Now.Add(-50 * time.Hour),
		Ports: []string{"0.0.0.0:500", "0.0.0.0:4500"}})
	return b
}

// Crowd returns a service with n connections and a log of that many lines: for
// lists that are long.
func Crowd(t testing.TB, n, lines int) *ipctest.Backend {
	t.Helper()
	b := Bare(t)
	kinds := Connections()
	for i := range n {
		c := kinds[i%len(kinds)]
		c.Name = fmt.Sprintf("site-%03d", i)
		b.SetConnection(c)
	}
	for _, e := range Log(lines) {
		b.Write(e)
	}
	return b
}

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }
func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }

// Connections returns the connections of World, sorted by name.
func Connections() []api.Connection {
	return []api.Connection{
		{Name: "berlin", Role: "initiator", Gateway: []string{"vpn.example.com"}, Profile: api.Require, State: api.Connected,
			Since: Now.Add(-2*time.Hour - 14*time.Minute), Protection: api.Protected,
			Path: "192.168.178.23:4500 → 198.51.100.1:4500", PeerID: "vpn.example.com",
			Addresses: []netip.Addr{addr("10.1.0.7")}, DNS: []netip.Addr{addr("10.0.0.53"), addr("10.0.0.54")},
			Routes:   []netip.Prefix{prefix("10.0.0.0/8"), prefix("172.16.0.0/12")},
			Counters: api.Counters{InPackets: 48211, InBytes: 52_340_118, OutPackets: 31877, OutBytes: 8_120_554}},
		{Name: "cloud", Role: "initiator", Gateway: []string{"gw1.cloud.example.net", "gw2.cloud.example.net"}, Profile: api.Require,
			State: api.Connecting, Since: Now.Add(-3 * time.Second), Protection: api.Held},
		{Name: "datacenter", Role: "initiator", Gateway: []string{"203.0.113.9"}, Profile: api.Request, State: api.Reconnecting,
			Since: Now.Add(-4 * time.Minute), Protection: api.Clear, ClearUntil: Now.Add(56 * time.Minute),
			Problem: &api.Error{Code: api.CodePeerDead, What: "The gateway of \"datacenter\" stopped answering.",
				Why: "It has not answered 5 liveness checks since 14:26.", Next: "It is tried again in the background.",
				Params: map[string]string{"connection": "datacenter", "gateway": "203.0.113.9"}}},
		{Name: "home-lab", Role: "initiator", Gateway: []string{"lab.home.example.org"}, Profile: api.Respond, State: api.Disconnected,
			Since:    Now.Add(-20 * time.Hour),
			Warnings: []string{"The gateway is offered 3DES, which is weak."}},
		{Name: "munich", Role: "initiator", Gateway: []string{"muc.example.com"}, Profile: api.Respond, State: api.Disconnected,
			Since: Now.Add(-5 * time.Minute),
			Problem: &api.Error{Code: api.CodePSKMismatch, What: "Could not connect to \"munich\".",
				Why:    "The gateway's proof of identity does not fit our pre-shared key.",
				Next:   "Compare the pre-shared key with the gateway's: one of the two has a typing error.",
				Params: map[string]string{"connection": "munich", "gateway": "muc.example.com"}}},
		{Name: "office", Role: "initiator", Gateway: []string{"office.example.com"}, Profile: api.Require, State: api.Blocked,
			Since: Now.Add(-11 * time.Minute), Protection: api.Stopped, Routes: []netip.Prefix{prefix("10.20.0.0/16")},
			Problem: &api.Error{Code: api.CodeGatewaySilent, What: "Could not connect to \"office\".",
				Why: "The gateway 198.51.100.77 did not answer within 30 s.", Next: "Check that UDP ports 500 and 4500 reach the gateway.",
				Params: map[string]string{"connection": "office", "gateway": "198.51.100.77"}}},
		{Name: "paris-partner", Role: "initiator", Gateway: []string{"203.0.113.20"}, Profile: api.Request, State: api.Blocked,
			Since: Now.Add(-40 * time.Second), Protection: api.Stopped, Routes: []netip.Prefix{prefix("10.44.0.0/16")},
			Problem: &api.Error{Code: api.CodeDowngrade, What: "\"paris-partner\" is not protected.",
				Why: "The gateway does not answer, and it was protected here before.", Next: "Decide whether its traffic may leave in clear.",
				Params: map[string]string{"connection": "paris-partner"}},
			Question: "The gateway 203.0.113.20 does not answer, and this connection was protected on this network before. May its traffic leave in clear?"},
		{Name: "printers", Role: "responder", Profile: api.Respond, State: api.Listening, Since: Now.Add(-50 * time.Hour)},
	}
}

// SAs returns the security associations of World.
func SAs() api.Dynamic {
	return api.Dynamic{
		IKESAs: []api.IKESA{
			{Connection: "berlin", Initiator: true, State: "established", LocalSPI: "8f1c2a77d03b9e54", RemoteSPI: "40be19c5a8f2d671",
				Local: "192.168.178.23:4500", Remote: "198.51.100.1:4500", LocalID: "alice@example.com", RemoteID: "vpn.example.com",
				Proposal: "AES_GCM_16_256/PRF_HMAC_SHA2_384/ECP_384", LocalAuth: "certificate (ECDSA P-256)", RemoteAuth: "certificate (RSA 3072)",
				NATLocal: true, Established: Now.Add(-2*time.Hour - 14*time.Minute), RekeyAt: Now.Add(106 * time.Minute), Rekeys: 1},
			{Connection: "cloud", Initiator: true, State: "connecting", LocalSPI: "11d9f0a2bb3c4e5f", RemoteSPI: "0000000000000000",
				Local: "192.168.178.23:500", Remote: "203.0.113.40:500"},
		},
		ChildSAs: []api.ChildSA{
			{Connection: "berlin", Child: "berlin", State: "installed", InSPI: "c3a1f09e", OutSPI: "09b7d412",
				Proposal: "AES_GCM_16_256/ESN", LocalTS: []string{"10.1.0.7/32"}, RemoteTS: []string{"10.0.0.0/8"},
				Established: Now.Add(-18 * time.Minute), RekeyAt: Now.Add(36 * time.Minute),
				Counters: api.Counters{InPackets: 40102, InBytes: 50_021_000, OutPackets: 28110, OutBytes: 7_890_112}},
			{Connection: "berlin", Child: "voice", State: "installed", InSPI: "c77f0b31", OutSPI: "5e20aa18",
				Proposal: "CHACHA20_POLY1305/ESN", LocalTS: []string{"10.1.0.7/32"}, RemoteTS: []string{"172.16.0.0/12[udp/5060]", "172.16.0.0/12[udp/16384-32767]"},
				Established: Now.Add(-31 * time.Minute), RekeyAt: Now.Add(22 * time.Minute),
				Counters: api.Counters{InPackets: 8109, InBytes: 2_319_118, OutPackets: 3767, OutBytes: 230_442}},
			{Connection: "berlin", Child: "berlin", State: "rekeyed", InSPI: "c1004ad7", OutSPI: "7730be55",
				Proposal: "AES_GCM_16_256/ESN", LocalTS: []string{"10.1.0.7/32"}, RemoteTS: []string{"10.0.0.0/8"},
				Established: Now.Add(-72 * time.Minute)},
		},
		Drops: map[string]uint64{"no policy": 12, "replay": 3, "held too long": 41, "integrity": 0},
	}
}

// Policies returns the policies of World, sorted by name.
func Policies() []api.Policy {
	return []api.Policy{
		{Name: "Client (respond only)", Description: "Speak in clear; use IPsec when a peer asks for it.", Predefined: true, Rules: 1},
		{Name: "Company", Description: "What leaves this machine towards the company.", Rules: 3, Assigned: true,
			Warnings: []string{"The rule \"partner\" lets traffic to 10.44.0.0/16 leave in clear for a while when nobody answers there."}},
		{Name: "Draft", Description: "Not finished yet.", Rules: 0,
			Problem: &api.Error{Code: api.CodePolicyInvalid, What: "The policy \"Draft\" cannot be used.", Why: "It has no rules.",
				Next: "Add a rule.", Position: &api.Position{File: "draft.toml", Line: 4}}},
		{Name: "Secure Server (require security)", Description: "Nothing but IPsec.", Predefined: true, Rules: 2},
		{Name: "Server (request security)", Description: "Ask for IPsec, and speak in clear where it cannot be had.", Predefined: true, Rules: 2},
	}
}

// PolicyText returns the text of a policy of World.
func PolicyText(name string) string {
	if name != "Company" {
		return fmt.Sprintf("version = 1\nname = %q\n", name)
	}
	return `version = 1
name = "Company"
description = "What leaves this machine towards the company."

[[filter_lists]]
name = "Intranet"
filters = [{source = "me", destination = "10.0.0.0/8"}]

[[filter_lists]]
name = "Partner"
filters = [{source = "me", destination = "10.44.0.0/16"}]

[[filter_lists]]
name = "Printers"
filters = [{source = "me", destination = "10.0.9.0/24", protocol = "tcp", destination_port = "9100"}]

[[rules]]
name = "printers"
filter_list = "Printers"
filter_action = "Permit"

[[rules]]
name = "partner"
filter_list = "Partner"
filter_action = "Request security"

[[rules]]
name = "intranet"
filter_list = "Intranet"
filter_action = "Require security"
tunnel = "berlin"
`
}

// Security returns what the security monitor of World shows.
func Security() api.Security {
	return api.Security{
		Coverage: []api.Coverage{
			{Rule: "intranet", Action: "negotiate", Protection: api.Protected, Protected: 60_460_672, Percent: 100},
			{Rule: "partner", Action: "negotiate", Protection: api.Clear, Protected: 3_400_120, Clear: 812_004, Blocked: 20_112, Percent: 80.7},
			{Rule: "printers", Action: "permit", Protection: api.Clear, Clear: 1_204_551, Percent: 0},
			{Rule: "guests", Action: "block", Protection: api.Stopped, Blocked: 40_960, Percent: 100},
		},
		Failures:  map[string]uint64{string(api.CodeGatewaySilent): 7, string(api.CodePSKMismatch): 2, string(api.CodeNoProposal): 1},
		Fallbacks: 1,
		Exempt:    []string{"IKE (UDP 500 and 4500)", "DHCP", "IPv6 neighbour discovery", "loopback"},
		Firewall:  "nftables: 3 connections, 2 blocked networks",
	}
}

// Certificate returns a certificate to ask about.
func Certificate() *api.Certificate {
	return &api.Certificate{Subject: "CN=gw1.cloud.example.net, O=Example Cloud, C=DE", Issuer: "CN=Example Cloud Root CA, O=Example Cloud, C=DE",
		Names: []string{"gw1.cloud.example.net", "gw2.cloud.example.net"}, NotBefore: Now.Add(-90 * 24 * time.Hour), NotAfter: Now.Add(275 * 24 * time.Hour),
		Fingerprint: "3A:91:0C:5E:77:B2:4D:F8:19:60:AE:C3:02:8B:D4:6F:55:E1:9A:27:BC:08:F3:41:7D:96:2E:CA:10:B5:84:6D"}
}

// Prompts returns a prompt of each kind.
func Prompts() []api.Prompt {
	asked, until := Now.Add(-4*time.Second), Now.Add(116*time.Second)
	p := func(k api.PromptKind, change func(*api.Prompt)) api.Prompt {
		q := api.Prompt{ID: "p-" + string(k), Kind: k, Connection: "cloud", Attempt: 1, Asked: asked, Until: until}
		change(&q)
		return q
	}
	client := Certificate()
	client.Subject, client.Names = "CN=Alice Example, O=Example AG, C=DE", []string{"alice@example.com"}
	client.Uses = []api.CertificateUse{api.UseClient, api.UseSmartCard}
	return []api.Prompt{
		p(api.PromptPassword, func(q *api.Prompt) { q.User, q.Rememberable = "alice", true }),
		p(api.PromptCode, func(q *api.Prompt) { q.User, q.Text = "alice", "Enter the six digits of your authenticator app." }),
		p(api.PromptSecret, func(q *api.Prompt) { q.Rememberable = true }),
		p(api.PromptPassphrase, func(q *api.Prompt) { q.Rememberable, q.Attempt = true, 2 }),
		p(api.PromptPIN, func(q *api.Prompt) { q.Text = "YubiKey 5C (slot 9a)" }),
		p(api.PromptCertificate, func(q *api.Prompt) {
			q.Rememberable = true
			q.Choices = []api.Choice{{ID: "1", Text: "Alice Example (Example AG)", Certificate: client}, {ID: "2", Text: "Alice (old, until December)", Certificate: client}}
		}),
		p(api.PromptServer, func(q *api.Prompt) { q.Certificate = Certificate() }),
	}
}

// Log returns n lines of a log that ends at Now, oldest first.
func Log(n int) []api.LogEntry {
	lines := []api.LogEntry{
		{Level: api.LogInfo, Topic: "ike", Connection: "berlin", Text: "IKE SA 8f1c2a77d03b9e54 rekeyed with vpn.example.com"},
		{Level: api.LogDebug, Topic: "ike", Connection: "berlin", Text: "INFORMATIONAL request 14: liveness check answered after 23 ms"},
		{Level: api.LogInfo, Topic: "esp", Connection: "berlin", Text: "Child SA c3a1f09e/09b7d412 installed: 10.1.0.7/32 = 10.0.0.0/8"},
		{Level: api.LogWarn, Topic: "ike", Connection: "datacenter", Text: "203.0.113.9 has not answered liveness check 4 of 5"},
		{Level: api.LogDebug, Topic: "net", Text: "default route unchanged through eth0"},
		{Level: api.LogError, Topic: "ike", Connection: "office", Text: "no answer from 198.51.100.77 within 30 s; traffic to 10.20.0.0/16 stays blocked"},
		{Level: api.LogInfo, Topic: "net", Connection: "berlin", Text: "DNS 10.0.0.53 and 10.0.0.54 for example.com"},
		{Level: api.LogWarn, Topic: "esp", Connection: "datacenter", Text: "traffic of \"datacenter\" leaves in clear until 15:26"},
		{Level: api.LogError, Topic: "ike", Connection: "munich", Text: "AUTH of muc.example.com does not verify with the pre-shared key"},
		{Level: api.LogInfo, Topic: "config", Text: "policy \"Company\" is in force: 3 rules"},
	}
	out := make([]api.LogEntry, n)
	for i := range out {
		out[i] = lines[i%len(lines)]
		out[i].Time = Now.Add(-time.Duration(n-i) * 7 * time.Second)
	}
	return out
}

// Messages returns the IKE messages of World, oldest first: an exchange that
// succeeds, and a request that nobody answers.
func Messages() []api.Message {
	at := Now.Add(-2*time.Hour - 14*time.Minute)
	const spi, peer = "8f1c2a77d03b9e54", "40be19c5a8f2d671"
	m := func(d time.Duration, change func(*api.Message)) api.Message {
		x := api.Message{Time: at.Add(d), Connection: "berlin", Local: "192.168.178.23:500", Remote: "198.51.100.1:500", SPIi: spi, SPIr: peer}
		change(&x)
		return x
	}
	f := func(pairs ...string) (out []api.Field) {
		for i := 0; i+1 < len(pairs); i += 2 {
			out = append(out, api.Field{Name: pairs[i], Value: pairs[i+1]})
		}
		return out
	}
	sa := api.Payload{Name: "SA", Size: 48, Fields: f("Proposal 1", "AES_GCM_16_256/PRF_HMAC_SHA2_384/ECP_384")}
	nat := []api.Payload{{Name: "N(NAT_DETECTION_SOURCE_IP)", Size: 28}, {Name: "N(NAT_DETECTION_DESTINATION_IP)", Size: 28}}
	out := []api.Message{
		m(0, func(x *api.Message) {
			x.Sent, x.Request, x.Exchange, x.SPIr, x.Size = true, true, "IKE_SA_INIT", "0000000000000000", 312
			x.Payloads = append([]api.Payload{sa, {Name: "KE", Size: 104, Fields: f("Group", "ECP_384", "Public value", "96 bytes")},
				{Name: "Nonce", Size: 36, Fields: f("Nonce", "32 bytes")}}, nat...)
		}),
		m(21*time.Millisecond, func(x *api.Message) {
			x.Exchange, x.Size = "IKE_SA_INIT", 324
			x.Payloads = append([]api.Payload{sa, {Name: "KE", Size: 104, Fields: f("Group", "ECP_384", "Public value", "96 bytes")},
				{Name: "Nonce", Size: 36, Fields: f("Nonce", "32 bytes")}}, nat...)
		}),
		m(23*time.Millisecond, func(x *api.Message) {
			x.Sent, x.Request, x.Exchange, x.MessageID, x.Size, x.Fragments, x.Encrypted = true, true, "IKE_AUTH", 1, 1904, 2, true
			x.Local, x.Remote = "192.168.178.23:4500", "198.51.100.1:4500"
			x.Payloads = []api.Payload{{Name: "IDi", Size: 25, Fields: f("Type", "ID_RFC822_ADDR", "Identity", "alice@example.com")},
				{Name: "CERT", Size: 1204, Fields: f("Subject", "CN=Alice Example, O=Example AG, C=DE")},
				{Name: "AUTH", Size: 88, Fields: f("Method", "Digital Signature (ECDSA with SHA-256)", "Proof", "72 bytes")},
				{Name: "CP", Size: 24, Fields: f("INTERNAL_IP4_ADDRESS", "any", "INTERNAL_IP4_DNS", "any")},
				{Name: "TSi", Size: 24, Fields: f("Selector", "0.0.0.0-255.255.255.255")}, {Name: "TSr", Size: 24, Fields: f("Selector", "0.0.0.0-255.255.255.255")}}
		}),
		m(65*time.Millisecond, func(x *api.Message) {
			x.Exchange, x.MessageID, x.Size, x.Encrypted = "IKE_AUTH", 1, 1420, true
			x.Local, x.Remote = "192.168.178.23:4500", "198.51.100.1:4500"
			x.Payloads = []api.Payload{{Name: "IDr", Size: 23, Fields: f("Type", "ID_FQDN", "Identity", "vpn.example.com")},
				{Name: "AUTH", Size: 400, Fields: f("Method", "Digital Signature (RSASSA-PSS with SHA-256)", "Proof", "384 bytes")},
				{Name: "CP", Size: 32, Fields: f("INTERNAL_IP4_ADDRESS", "10.1.0.7", "INTERNAL_IP4_DNS", "10.0.0.53")},
				{Name: "TSi", Size: 24, Fields: f("Selector", "10.1.0.7")}, {Name: "TSr", Size: 24, Fields: f("Selector", "10.0.0.0-10.255.255.255")}}
		}),
	}
	for i := range 3 {
		out = append(out, api.Message{Time: Now.Add(-11*time.Minute + time.Duration(i)*4*time.Second), Connection: "office", Sent: true, Request: true,
			Local: "192.168.178.23:500", Remote: "198.51.100.77:500", Exchange: "IKE_SA_INIT", SPIi: "77aa10b3c9d8e4f2", SPIr: "0000000000000000",
			Size: 312, Retransmit: i, Payloads: append([]api.Payload{sa}, nat...)})
	}
	return append(out, api.Message{Time: Now.Add(-5 * time.Minute), Connection: "munich", Local: "192.168.178.23:4500", Remote: "192.0.2.15:4500",
		Exchange: "IKE_AUTH", MessageID: 1, SPIi: "2b7e151628aed2a6", SPIr: "abf7158809cf4f3c", Size: 84, Encrypted: true,
		Payloads: []api.Payload{{Name: "N(AUTHENTICATION_FAILED)", Size: 8}}})
}
