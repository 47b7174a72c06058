package engine

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/core/api"
	"sallyport/core/internal/simnet"
)

// A preview tells what would be stored, and stores nothing.
func TestDryRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, clientProfile, "")
		defer w.stop()
		r := request(strings.Replace(testedProfile, `"draft"`, `"office"`, 1)+"proposals = [\"aes128-sha1\"]\n", "correct horse battery staple")
		r.DryRun = true
		before, _ := w.cm.Profiles.Read("office.toml")
		res, err := w.client.Import(t.Context(), r)
		if err != nil || len(res.Imported) != 1 {
			t.Fatalf("%+v, %v", res, err)
		}
		weak := 0
		for _, l := range res.Imported[0].Plan {
			if l.Weak {
				weak++
			}
		}
		if weak != 1 || len(res.Imported[0].Plan) < 8 || len(res.Imported[0].Warnings) == 0 {
			t.Errorf("planned %+v", res.Imported[0])
		}
		if after, _ := w.cm.Profiles.Read("office.toml"); string(after) != string(before) {
			t.Error("the profile was replaced")
		}
		if names, _ := w.cm.Secrets.List(); len(names) != 1 {
			t.Errorf("secrets %v", names)
		}
		log, _ := w.client.Log(t.Context(), 100)
		if strings.Contains(fmt.Sprint(log), "imported") {
			t.Error("the log says that something was imported")
		}
	})
}

// What is exported can be tested, and imported in its own place, without the
// secret that it leaves out.
func TestExportAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, clientProfile, gatewayProfile)
		defer w.stop()
		x, err := w.client.Export(t.Context(), "office")
		if err != nil || x.Name != "office.toml" || len(x.Missing) != 1 || strings.Contains(string(x.Text), "horse") {
			t.Fatalf("%+v, %v", x, err)
		}
		r := api.ImportRequest{Files: []api.File{{Path: x.Name, Data: x.Text}}, Replace: true}
		if got, err := w.client.Test(t.Context(), r); err != nil || got.Problem != nil || got.Connection == nil {
			t.Errorf("test of the export: %+v, %v", got, err)
		}
		if _, err := w.client.Import(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if err := connect(t, w.client, 30*time.Second); err != nil {
			t.Error(err)
		}
		// Its file stays as it is while it is up.
		if y, err := w.client.Export(t.Context(), "office"); err != nil || string(y.Text) != string(x.Text) {
			t.Errorf("exported again: %v\n%s\nfirst:\n%s", err, y.Text, x.Text)
		}
		if _, err := w.client.Export(t.Context(), "nobody"); api.AsError(err) == nil || api.AsError(err).Code != api.CodeNotFound {
			t.Errorf("of nobody: %v", err)
		}
	})
}

// A policy that blocks does not keep a test from the gateway, for IKE passes
// whatever the rules say, but the result tells what would be blocked; and where
// a rule is in the way of a gateway on another port, the failure says so.
func TestTestUnderAPolicy(t *testing.T) {
	const policyText = `version = 1
name = "closed"
[[filter_lists]]
name = "lan"
[[filter_lists.filters]]
source = "me"
destination = "10.10.0.0/16"
[[filter_lists]]
name = "gateway"
[[filter_lists.filters]]
source = "me"
destination = "198.51.100.77"
[[rules]]
name = "no intranet"
filter_list = "lan"
filter_action = "block"
[[rules]]
name = "no way"
filter_list = "gateway"
filter_action = "block"
[[filter_actions]]
name = "block"
action = "block"
`
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "", gatewayProfile)
		defer w.stop()
		p, err := w.client.StorePolicy(t.Context(), api.PolicyFile{Text: []byte(policyText)})
		if err != nil || p.Problem != nil {
			t.Fatalf("%v, %v", p.Problem, err)
		}
		if _, err := w.client.Assign(t.Context(), "closed", false); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.cm.Calls()
		r, err := w.client.Test(t.Context(), request(testedProfile, "correct horse battery staple"))
		if err != nil || r.Problem != nil || r.Connection == nil || !strings.Contains(fmt.Sprint(r.Connection.Warnings), `"no intranet"`) {
			t.Errorf("%+v, %v", r, err)
		}
		w.net.SetTap(func(p simnet.Packet) bool { return p.To.Port() != 1500 })
		r, err = w.client.Test(t.Context(), request(strings.Replace(testedProfile, "198.51.100.1", "198.51.100.77:1500", 1), "correct horse"))
		if err != nil || r.Problem == nil || r.Problem.Code != api.CodeGatewaySilent || !strings.Contains(r.Problem.Why, `"no way"`) {
			t.Errorf("%+v, %v", r.Problem, err)
		}
		if got := w.cm.Calls(); got != "" {
			t.Errorf("the host was changed:\n%s", got)
		}
	})
}
