package interop_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/core/api"
	"sallyport/core/canary"
	"sallyport/platform/internal/lab"
)

// wrongPassword is one that is told as little as the right one.
const wrongPassword = "canary wrong <\"Grüße\\☃> 2"

// tells collects everything that a service tells: over the socket, by the command
// line, in its log and in the files that are not for secrets.
func tells(t *testing.T, s *lab.Service) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	for _, args := range [][]string{
		{"status"}, {"list"}, {"show", "all"}, {"show", "static"}, {"show", "dynamic"}, {"log"}, {"exchanges", "--details", "--limit", "2000"}, {"prompts"}, {"policy", "list"},
	} {
		for _, more := range [][]string{nil, {"--json"}} {
			r := s.CLI(append(args, more...)...)
			if r.Exit != 0 {
				t.Errorf("%v: exit %d: %s%s", args, r.Exit, r.Out, r.Err)
			}
			out[strings.Join(append(args, more...), " ")] = []byte(r.Out + r.Err)
		}
	}
	state, err := s.Client.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range state.Connections {
		e, err := s.Client.Export(t.Context(), c.Name)
		if err != nil {
			t.Errorf("export %s: %v", c.Name, err)
		}
		out["export "+c.Name] = []byte(e.Text)
	}
	bundle := filepath.Join(t.TempDir(), "bundle.zip")
	s.Must("diagnose", "--no-redact", bundle)
	z, err := zip.OpenReader(bundle)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		r.Close()
		if err != nil {
			t.Fatal(err)
		}
		out["bundle "+f.Name] = b
	}
	if len(z.File) < 5 || len(out["exchanges --details --limit 2000"]) < 500 || len(out["log"]) < 100 {
		t.Errorf("%d files, %d bytes of exchanges, %d of log: the test is blind", len(z.File), len(out["exchanges --details --limit 2000"]), len(out["log"]))
	}
	out["the service's own output"] = []byte(s.Proc.Log())
	stored := 0
	if err := filepath.WalkDir(s.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		if strings.Contains(path, "/secrets/") {
			stored++
			return nil
		}
		out["file "+path], err = os.ReadFile(path)
		return err
	}); err != nil {
		t.Error(err)
	}
	t.Logf("%d places, %d secrets in their store", len(out), stored)
	return out
}

// mustNotTell fails the test when a secret is in anything that a service tells.
func mustNotTell(t *testing.T, who string, s *lab.Service, said []byte, secrets ...string) {
	t.Helper()
	var all [][]byte
	for _, x := range append(secrets, userPassword, wrongPassword, lab.RADIUSSecret) {
		all = append(all, []byte(x))
	}
	places := tells(t, s)
	places["what connect said"] = said
	heard := slices.ContainsFunc(slices.Collect(maps.Values(places)), func(b []byte) bool {
		return canary.Find(b, []byte("198.51.100.1")) != nil
	})
	if !heard {
		t.Errorf("%s: what is there is not found, so the test is blind", who)
	}
	for where, b := range places {
		for _, found := range canary.Find(b, all...) {
			t.Errorf("%s: %s: %s", who, where, found)
		}
	}
}

// TestCanary proves who a user is by every method, to strongSwan and to our own
// gateway with FreeRADIUS behind it, with the right password and with a wrong
// one, and looks for them in everything that our services tell.
func TestCanary(t *testing.T) {
	l := lab.New(t)
	pki := radiusPKI(t)
	gw := userGateway(t, l, pki)
	server := newRADIUS(t, l, pki, "1.2")
	for _, m := range eapMethods {
		if m.tls != "1.2" {
			continue // the version of TLS makes no difference here
		}
		name := strings.Join(append(append([]string(nil), m.methods...), m.inner...), "-")
		for _, password := range []string{wrongPassword, userPassword} {
			right := password == userPassword
			if m.methods[0] == "tls" && !right {
				continue
			}
			t.Run(fmt.Sprintf("%s/%v", name, right), func(t *testing.T) {
				l := l.For(t)
				s, r := asUser(t, l, pki, fmt.Sprintf("canary-%s-%v", name, right), userProfile("radius-users.vpn.test", "alice", m.methods, m.inner), password)
				if (r.Exit == 0) != right {
					t.Errorf("exit %d: %s%s\n%s", r.Exit, r.Out, r.Err, tail(server.Log(), 30))
				}
				mustNotTell(t, "the user's service", s, []byte(r.Out+r.Err))
				if right {
					s.Must("disconnect", "office")
				}
				s.Stop()
			})
		}
	}
	mustNotTell(t, "the gateway's service", gw, nil)
	gw.Stop()
	server.Stop()

	swan := eapGateway(t, l, pki)
	for _, gateway := range []string{"mschapv2", "both"} {
		for _, password := range []string{wrongPassword, userPassword} {
			right := password == userPassword
			t.Run(fmt.Sprintf("strongSwan, %s, asked/%v", gateway, right), func(t *testing.T) {
				l := l.For(t)
				certs := ""
				if gateway == "both" {
					certs = "      certs = alice.crt\n"
				}
				dir := l.SwanDir("canary-"+gateway, eapConf(gateway, "alice", "", certs))
				pki.Install(t, dir, []string{"alice", "ca-ecdsa256"}, []string{"alice"})
				s := l.Client.Service(fmt.Sprintf("canary-%s-%v", gateway, right))
				s.Must("import", dir+"/swanctl.conf")
				question, done := prompted(t, s, api.PromptPassword)
				if err := s.Client.Answer(t.Context(), api.Answer{ID: question.ID, Secret: []byte(password)}); err != nil {
					t.Fatal(err)
				}
				begun := time.Now()
				err := <-done
				if (err == nil) != right {
					t.Errorf("%v\n%s", err, tail(swan.Log(), 30))
				}
				if took := time.Since(begun); took > 5*time.Second {
					t.Errorf("explained after %v", took)
				}
				var said bytes.Buffer
				fmt.Fprintf(&said, "%v %+v", err, api.AsError(err))
				mustNotTell(t, "the user's service", s, said.Bytes())
				s.Stop()
			})
		}
	}
}
