package engine

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/core/api"
	"sallyport/core/internal/simnet"
)

const testedProfile = `
version = 1
name = "draft"
gateways = ["198.51.100.1"]
virtual_ips = ["0.0.0.0"]
[local]
method = "psk"
id = "bob@vpn.test"
[remote]
method = "psk"
id = "gw.vpn.test"
[[children]]
name = "net"
remote_ts = ["10.10.0.0/16"]
`

func request(text, password string) api.ImportRequest {
	return api.ImportRequest{Files: []api.File{{Path: "draft.toml", Data: []byte(text)}}, Password: []byte(password)}
}

// steps writes the steps of a test as "resolve reach !agree".
func steps(r api.TestResult) string {
	var out []string
	for _, s := range r.Steps {
		name := s.Name
		if !s.OK {
			name = "!" + name
		}
		if s.Text == "" {
			name += "(without words)"
		}
		out = append(out, name)
	}
	return strings.Join(out, " ")
}

// A test of a connection finds out all there is to know, leaves no trace on the
// host, none in the store, and none at the gateway.
func TestTestFindsAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "", gatewayProfile)
		defer w.stop()
		begun := time.Now()
		r, err := w.client.Test(t.Context(), request(testedProfile, "correct horse battery staple"))
		if err != nil || r.Problem != nil {
			t.Fatalf("got %v, %v", r.Problem, err)
		}
		if got := steps(r); got != "resolve reach agree authenticate tunnel" {
			t.Errorf("steps: %s", got)
		}
		c := r.Connection
		if c == nil || c.Name != "draft" || fmt.Sprint(c.Addresses) != "[10.20.0.1]" || fmt.Sprint(c.DNS) != "[10.10.0.10]" ||
			fmt.Sprint(c.Routes) != "[10.10.0.0/16]" || c.PeerID != "gw.vpn.test" || c.State != api.Disconnected {
			t.Errorf("the connection would be %+v", c)
		}
		if !strings.HasPrefix(r.IKE, "AES_GCM_16_256/PRF_HMAC_SHA2_384") || !strings.HasPrefix(r.ESP, "AES_GCM_16_256") {
			t.Errorf("agreed on %q and %q", r.IKE, r.ESP)
		}
		if took := time.Since(begun); took > 2*time.Second {
			t.Errorf("took %v", took)
		}
		if got := w.cm.Calls(); got != "firewall clean-up" {
			t.Errorf("the host was asked for something:\n%s", got)
		}
		if s, _ := w.client.State(t.Context()); len(s.Connections) != 0 || len(s.Service.Ports) != 0 {
			t.Errorf("left behind: %+v", s)
		}
		if names, _ := w.cm.Secrets.List(); len(names) != 0 {
			t.Errorf("secrets stored: %v", names)
		}
		if d, _ := w.gateway.Dynamic(t.Context()); len(d.IKESAs) != 0 {
			t.Errorf("the gateway still has %+v", d.IKESAs)
		}
		messages, err := w.client.Exchanges(t.Context(), "draft (test)", 0)
		if err != nil || len(messages) != 8 || messages[6].Payloads[0].Name != "D" {
			t.Errorf("exchanges: %v, %v", messages, err)
		}
	})
}

func TestTestFails(t *testing.T) {
	for _, tt := range []struct {
		name, text, password, steps string
		code                        api.ErrorCode
		before                      func(*world)
	}{
		{"wrong PSK", testedProfile, "another horse battery", "resolve reach agree !authenticate", api.CodeAuthRefused, nil},
		{"no common proposal", testedProfile + "[ike]\nproposals = [\"3des-sha1-modp1024\"]\n", "correct horse battery staple",
			"resolve reach !agree", api.CodeNoProposal, nil},
		{"other networks", strings.Replace(testedProfile, "10.10.0.0/16", "172.16.0.0/16", 1), "correct horse battery staple",
			"resolve reach agree authenticate !tunnel", api.CodeTSUnacceptable, nil},
		{"silent", strings.Replace(testedProfile, "198.51.100.1", "198.51.100.77", 1), "correct horse battery staple", "resolve !reach", api.CodeGatewaySilent, nil},
		{"silent after the first exchange", testedProfile, "correct horse battery staple", "resolve reach agree !authenticate", api.CodeGatewaySilent,
			func(w *world) {
				w.net.SetTap(func(p simnet.Packet) bool { return p.To.Port() != 4500 && p.From.Port() != 4500 })
			}},
		{"unknown name", strings.Replace(testedProfile, "198.51.100.1", "vpn.example.com", 1), "correct horse battery staple", "!resolve", api.CodeResolve,
			func(w *world) {
				w.client.opt.Resolve = func(context.Context, string) ([]netip.Addr, error) { return nil, fmt.Errorf("no such host") }
			}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "", gatewayProfile)
				defer w.stop()
				if tt.before != nil {
					tt.before(w)
				}
				begun := time.Now()
				r, err := w.client.Test(t.Context(), request(tt.text, tt.password))
				if err != nil {
					t.Fatal(err)
				}
				if got := steps(r); got != tt.steps {
					t.Errorf("steps %q, want %q", got, tt.steps)
				}
				if r.Problem == nil || r.Problem.Code != tt.code || r.Problem.Next == "" {
					t.Errorf("problem %+v, want %s", r.Problem, tt.code)
				}
				if strings.Contains(fmt.Sprint(r), tt.password) {
					t.Error("the result quotes the secret")
				}
				if took := time.Since(begun); took > 31*time.Second {
					t.Errorf("took %v", took)
				}
				time.Sleep(time.Minute)
				if s, _ := w.client.State(t.Context()); len(s.Service.Ports) != 0 {
					t.Errorf("sockets stay open: %v", s.Service.Ports)
				}
				if d, _ := w.gateway.Dynamic(t.Context()); len(d.IKESAs) != 0 {
					t.Errorf("the gateway keeps %+v", d.IKESAs)
				}
				if got := w.cm.Calls(); got != "firewall clean-up" {
					t.Errorf("the host was asked for something:\n%s", got)
				}
			})
		})
	}
}

// A file that cannot be tested is an error, not an outcome.
func TestTestRefusesFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "", "")
		defer w.stop()
		for _, tt := range []struct {
			name string
			r    api.ImportRequest
			code api.ErrorCode
		}{
			{"none", api.ImportRequest{}, api.CodeUsage},
			{"no profile", request("[[[", ""), api.CodeProfileInvalid},
			{"no secret", request(testedProfile, ""), api.CodeLocalCredential},
			{"waits for peers", request(strings.Replace(gatewayProfile, "secret = \"workers+psk\"\n", "", 1), "correct horse"), api.CodeUnsupported},
		} {
			_, err := w.client.Test(t.Context(), tt.r)
			if e := api.AsError(err); e == nil || e.Code != tt.code {
				t.Errorf("%s: %v, want %s", tt.name, err, tt.code)
			} else if tt.name == "no secret" && e.Params["needs"] != "password" {
				t.Errorf("%s: %+v", tt.name, e)
			}
		}
		r, err := w.client.Test(t.Context(), request(strings.Replace(testedProfile, "id = \"bob", "secret = \"psk.txt\"\nid = \"bob", 1), ""))
		if err != nil || fmt.Sprint(r.Missing) != "[psk.txt]" || len(r.Steps) != 0 {
			t.Errorf("a missing file: %+v, %v", r, err)
		}
		if s, _ := w.client.State(t.Context()); len(s.Service.Ports) != 0 {
			t.Errorf("sockets stay open: %v", s.Service.Ports)
		}
	})
}

// A test beside a tunnel that is up, with the same gateway and identity, leaves
// it up.
func TestTestBesideATunnel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, clientProfile, gatewayProfile)
		defer w.stop()
		if err := connect(t, w.client, 30*time.Second); err != nil {
			t.Fatal(err)
		}
		w.cm.Calls()
		text := strings.ReplaceAll(testedProfile, "bob@", "alice@")
		r, err := w.client.Test(t.Context(), request(text, "correct horse battery staple"))
		if err != nil || r.Problem != nil {
			t.Fatalf("got %v, %v", r.Problem, err)
		}
		time.Sleep(time.Minute)
		w.carries(t, "10.20.0.1")
		if c := connection(t, w.client); c.State != api.Connected {
			t.Errorf("the tunnel is %s", c.State)
		}
		if d, _ := w.gateway.Dynamic(t.Context()); len(d.IKESAs) != 1 {
			t.Errorf("the gateway has %d IKE SAs, want the tunnel's", len(d.IKESAs))
		}
		if d, _ := w.client.Dynamic(t.Context()); len(d.IKESAs) != 1 || len(d.ChildSAs) != 1 {
			t.Errorf("the client shows %+v", d)
		}
		if got := w.cm.Calls(); got != "" {
			t.Errorf("the host was changed:\n%s", got)
		}
	})
}

// Whoever waits may leave, and the service may stop, in the middle of tests.
func TestTestIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "", gatewayProfile)
		silent := strings.Replace(testedProfile, "198.51.100.1", "198.51.100.77", 1)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		r, err := w.client.Test(ctx, request(silent, "a long enough key"))
		if err != nil || r.Problem == nil || r.Problem.Code != api.CodeTimeout || steps(r) != "resolve !reach" {
			t.Errorf("timed out: %+v, %v", r, err)
		}
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if r, err = w.client.Test(ctx, request(silent, "a long enough key")); err != nil || r.Problem == nil || r.Problem.Code != api.CodeCancelled {
			t.Errorf("cancelled: %+v, %v", r, err)
		}
		time.Sleep(10 * time.Second)
		if s, _ := w.client.State(t.Context()); len(s.Service.Ports) != 0 {
			t.Errorf("sockets stay open: %v", s.Service.Ports)
		}
		w.client.opt.Resolve = func(ctx context.Context, _ string) ([]netip.Addr, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		ended := make(chan error, maxProbes)
		for i := range maxProbes {
			text := silent
			if i%2 == 0 {
				text = strings.Replace(testedProfile, "198.51.100.1", "vpn.example.com", 1)
			}
			go func() {
				r, err := w.client.Test(context.Background(), request(text, "a long enough key"))
				if err == nil && r.Problem != nil {
					err = r.Problem
				}
				ended <- err
			}()
		}
		synctest.Wait()
		if _, err := w.client.Test(t.Context(), request(silent, "a long enough key")); api.AsError(err) == nil || api.AsError(err).Code != api.CodeBusy {
			t.Errorf("one test too many: %v", err)
		}
		w.stop()
		for range maxProbes {
			if err := <-ended; api.AsError(err) == nil || api.AsError(err).Code != api.CodeUnreachable {
				t.Errorf("a test that the service's end met: %v", err)
			}
		}
	})
}
