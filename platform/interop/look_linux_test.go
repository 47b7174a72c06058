package interop_test

import (
	"archive/zip"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"sallyport/core/api"
	"sallyport/platform/internal/lab"
)

// tested runs "sallyport test" and returns what it found.
func tested(t *testing.T, s *lab.Service, file string) (api.TestResult, int) {
	t.Helper()
	res := s.CLI("test", file, "--json")
	var r api.TestResult
	if err := json.Unmarshal([]byte(res.Out), &r); err != nil {
		t.Fatalf("exit %d: %v in\n%s%s", res.Exit, err, res.Out, res.Err)
	}
	return r, res.Exit
}

func stepNames(r api.TestResult) string {
	var out []string
	for _, s := range r.Steps {
		name := s.Name
		if !s.OK {
			name = "!" + name
		}
		out = append(out, name)
	}
	return strings.Join(out, " ")
}

// hostState is what a service might change, looked at quickly.
func hostState(h *lab.Host) (string, error) {
	var all strings.Builder
	for _, line := range []string{"ip addr show", "ip route show table all", "ip -6 route show table all", "ip rule show", "nft list ruleset"} {
		f := strings.Fields(line)
		out, _, err := h.Output(5*time.Second, lab.Command(f[0], f[1:]...))
		if err != nil {
			return "", fmt.Errorf("%s: %w", line, err)
		}
		all.WriteString(out)
	}
	return all.String(), nil
}

// TestBeforeSaving tries connections with a real gateway before they are
// stored: nothing of the host changes, not even while the test runs, and the
// gateway keeps nothing.
func TestBeforeSaving(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	pki := newPKI(t)
	gw := newGateway(t, l, pki)
	good := pskConf("198.51.100.1", "psk.vpn.test", "", split)
	cert := certClient("ecdsa256")
	cert.name, cert.path = "certificate", lab.Direct
	for _, c := range []struct {
		name  string
		with  client
		steps string
		code  api.ErrorCode
	}{
		{"psk", client{conf: good}, "resolve reach agree authenticate tunnel", ""},
		{"certificate", cert, "resolve reach agree authenticate tunnel", ""},
		{"wrong psk", client{conf: strings.ReplaceAll(good, "correct horse", "wrong horse")}, "resolve reach agree !authenticate", api.CodeAuthRefused},
		{"no proposal", client{conf: pskConf("198.51.100.1", "psk.vpn.test", "proposals = aes256-sha256-modp1024", split)}, "resolve reach !agree", api.CodeNoProposal},
		{"other networks", client{conf: pskConf("198.51.100.1", "psk.vpn.test", "", "remote_ts = 172.16.0.0/12")}, "resolve reach agree authenticate !tunnel", api.CodeTSUnacceptable},
		{"silent", client{conf: pskConf("198.51.100.99", "psk.vpn.test", "", split)}, "resolve !reach", api.CodeGatewaySilent},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := l.For(t)
			name := "test-" + strings.ReplaceAll(c.name, " ", "-")
			dir := l.SwanDir(name, c.with.conf)
			pki.Install(t, dir, c.with.certs, c.with.keys)
			s := l.Client.Service(name)
			before := l.Client.Snapshot()
			mark := gw.Mark()
			done := make(chan struct{})
			watched := make(chan string, 1)
			first, err := hostState(l.Client)
			if err != nil {
				t.Fatal(err)
			}
			go func() { // what changes only while the test runs would be seen here
				for {
					select {
					case <-done:
						watched <- ""
						return
					case <-time.After(20 * time.Millisecond):
					}
					if now, err := hostState(l.Client); err != nil || now != first {
						watched <- fmt.Sprintf("the host changed during the test: %v\n%s\nbefore:\n%s", err, now, first)
						return
					}
				}
			}()
			begun := time.Now()
			r, exit := tested(t, s, dir+"/swanctl.conf")
			took := time.Since(begun)
			close(done)
			if what := <-watched; what != "" {
				t.Error(what)
			}
			t.Logf("%v: %s; IKE %s, ESP %s", took.Round(time.Millisecond), stepNames(r), r.IKE, r.ESP)
			if got := stepNames(r); got != c.steps {
				t.Errorf("steps %s, want %s", got, c.steps)
			}
			if took > 31*time.Second {
				t.Errorf("it took %v", took)
			}
			switch {
			case c.code == "":
				if exit != 0 || r.Problem != nil || r.Connection == nil || len(r.Connection.Addresses) == 0 || !contains(r.Connection.DNS, lab.InsideV4) {
					t.Errorf("exit %d, %v, %+v", exit, r.Problem, r.Connection)
				}
				if log := gw.Since(mark); !strings.Contains(log, "received DELETE for IKE_SA") {
					t.Errorf("the gateway heard no goodbye:\n%s", log)
				}
			case r.Problem == nil || r.Problem.Code != c.code || exit != 1 || r.Problem.Next == "":
				t.Errorf("exit %d, problem %+v, want %s", exit, r.Problem, c.code)
			}
			waitFor(t, "the gateway to forget the SA", func() bool { return !strings.Contains(gw.SAs(), "ESTABLISHED") })
			if list := s.Must("list", "--json"); strings.Contains(list, "office") {
				t.Errorf("something was stored: %s", list)
			}
			l.Client.MustBeAsBefore(before)
		})
	}
}

// TestExchanges looks at the messages of a real connection, and at those of a
// test beside it, which leaves the tunnel up.
func TestExchanges(t *testing.T) {
	l := lab.New(t)
	pki := newPKI(t)
	newGateway(t, l, pki)
	c := certClient("ecdsa256")
	dir := l.SwanDir("exchanges", c.conf)
	pki.Install(t, dir, c.certs, c.keys)
	s := l.Client.Service("exchanges")
	s.Must("import", dir+"/swanctl.conf")
	s.Must("connect", "office", "--wait", "20s")
	// Another identity and PSK: the gateway takes it for somebody else.
	other := l.SwanDir("exchanges-other", strings.ReplaceAll(pskConf("198.51.100.1", "psk.vpn.test", "", split), "office", "other"))
	if r, _ := tested(t, s, other+"/swanctl.conf"); r.Problem != nil {
		t.Errorf("a test beside the tunnel: %v", r.Problem)
	}
	if p := l.Client.Pings(lab.InsideV4, 20); p.Lost > 0 {
		t.Errorf("after the test the tunnel loses packets: %v", p)
	}
	if line := s.Must("traffic", "office", "--count", "1", "--json"); !strings.Contains(line, `"connection":"office"`) {
		t.Errorf("traffic: %s", line)
	}
	if text := s.Must("export", "office"); !strings.Contains(text, "-----BEGIN CERTIFICATE-----") || strings.Contains(text, "PRIVATE KEY") {
		t.Errorf("export:\n%s", text)
	}
	mustHoldNoName(t, s, dir+"/bundle.zip")
	s.Must("disconnect", "office")
	var out struct{ Messages []api.Message }
	if err := json.Unmarshal([]byte(s.Must("exchanges", "office", "--json")), &out); err != nil {
		t.Fatal(err)
	}
	var story []string
	fields := map[string]string{}
	for _, m := range out.Messages {
		if m.Retransmit > 0 || m.Connection != "office" {
			t.Errorf("%+v", m)
		}
		var names []string
		for _, p := range m.Payloads {
			names = append(names, p.Name)
			for _, f := range p.Fields {
				fields[m.Exchange+" "+p.Name+" "+f.Name] += f.Value + "; "
			}
		}
		arrow := map[bool]string{true: ">", false: "<"}[m.Sent]
		story = append(story, arrow+m.Exchange+"("+strings.Join(names, " ")+")")
	}
	t.Logf("the story:\n%s", strings.Join(story, "\n"))
	if len(story) < 6 || !strings.HasPrefix(story[0], ">IKE_SA_INIT(SA KE Nonce") || !strings.Contains(strings.Join(story, "\n"), ">INFORMATIONAL(D)") {
		t.Error("this is not the story of the connection")
	}
	for what, want := range map[string]string{
		"IKE_AUTH CERT issuer":    "CN=",
		"IKE_AUTH AUTH method":    "digital signature",
		"IKE_AUTH AUTH scheme":    "ecdsa-sha256",
		"IKE_AUTH IDr identity":   "ecdsa256.vpn.test",
		"IKE_AUTH CP kind":        "CFG_REPLY",
		"IKE_AUTH TSr selector":   "10.10.0.0/16",
		"IKE_SA_INIT KE method":   "ECP_384",
		"IKE_SA_INIT Nonce nonce": "32 bytes",
	} {
		if !strings.Contains(fields[what], want) {
			t.Errorf("%s is %q, want %q", what, fields[what], want)
		}
	}
	if text := s.Must("exchanges", "other (test)", "--details"); !strings.Contains(text, "received IKE_AUTH response") || strings.Contains(text, "horse") {
		t.Errorf("the test's messages:\n%s", text)
	}
}

// mustHoldNoName writes a diagnostics bundle of a service whose tunnel is up,
// and looks in it for who and where.
func mustHoldNoName(t *testing.T, s *lab.Service, path string) {
	t.Helper()
	s.Must("diagnose", path)
	z, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		r.Close()
		if err != nil || len(text) == 0 {
			t.Errorf("%s: %d bytes, %v", f.Name, len(text), err)
		}
		for _, private := range []string{"vpn.test", "198.51.100.", "10.20.0.", "10.10.", "fd00:10:", "fd00:20:", "Sallyport Lab", "gw-ecdsa256", "ca-ecdsa256", "alice", "horse"} {
			if strings.Contains(string(text), private) {
				t.Errorf("%s in the bundle tells %q", f.Name, private)
			}
		}
	}
}
