//go:build unix

package model

import (
	"testing"
	"time"

	"sallyport/core/api"
	"sallyport/platform/ipc/client"
	"sallyport/platform/ipc/ipctest"
	"sallyport/platform/ipc/server"
)

// TestOverTheSocket follows a service over the real road: it is not there at
// first, comes, goes, and comes back as another.
func TestOverTheSocket(t *testing.T) {
	path := ipctest.Socket(t)
	c := client.New(path)
	defer c.Close()
	m := New(Options{Backend: c, Probe: func() Link { return Stopped }})
	stop := run(t, m)
	defer stop()
	snaps := make(chan *Snapshot, 1000)
	defer m.Watch(func(s *Snapshot) { snaps <- s })()
	until := func(what string, ok func(*Snapshot) bool) {
		t.Helper()
		limit := time.After(20 * time.Second)
		for {
			select {
			case s := <-snaps:
				if ok(s) {
					return
				}
			case <-limit:
				t.Fatalf("%s did not come: %+v", what, m.Snapshot())
			}
		}
	}
	until("a service that is stopped", func(s *Snapshot) bool { return s.Link == Stopped })

	b := &ipctest.Backend{}
	b.SetService(api.Service{Version: "1", APIVersion: api.APIVersion, Started: time.Unix(1, 0)})
	b.SetConnection(office(api.Disconnected))
	halt := ipctest.Serve(t, path, b, server.Options{})
	until("the service", func(s *Snapshot) bool { return s.Link == Linked && s.Find("office") != nil })
	if err := m.Connect(t.Context(), "office"); err != nil {
		t.Error(err)
	}
	until("the tunnel", func(s *Snapshot) bool { return s.Mark == Safe })
	b.Write(api.LogEntry{Level: api.LogInfo, Text: "hello"})
	until("the log", func(*Snapshot) bool { return m.Log().Len() == 1 })
	b.Ask(api.Prompt{ID: "1", Kind: api.PromptCode, Connection: "office"})
	until("the prompt", func(s *Snapshot) bool { return len(s.Prompts) == 1 })
	if err := m.Answer(t.Context(), api.Answer{ID: "1", Secret: []byte("123456")}, false); err != nil {
		t.Error(err)
	}
	until("the answer", func(s *Snapshot) bool { return len(s.Prompts) == 0 })

	halt()
	until("the end of the service", func(s *Snapshot) bool { return s.Link == Stopped && s.Mark == Fault })
	b = &ipctest.Backend{}
	b.SetService(api.Service{Version: "2", APIVersion: api.APIVersion + 1})
	halt = ipctest.Serve(t, path, b, server.Options{})
	until("a newer service", func(s *Snapshot) bool { return s.Link == Newer })
	b.SetService(api.Service{Version: "2", APIVersion: api.APIVersion, Started: time.Unix(2, 0)})
	until("another service", func(s *Snapshot) bool { return s.Link == Linked && s.Service.Version == "2" && len(s.Connections) == 0 })
	halt()
}
