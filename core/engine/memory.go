package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"time"

	"sallyport/core/api"
	"sallyport/core/host"
)

// Names of what the service remembers across restarts, in host.System.State.
const (
	memoryFile    = "downgrade.json"
	damagedMemory = "downgrade.damaged.json"
	wishesFile    = "wishes.json"
)

// maxMemories bounds the downgrade memory; the oldest entries make way, pinned
// ones last.
const maxMemories = 4096

// A memory is the downgrade memory: where, with whom and under which rule
// protection has worked. There a later failure blocks and asks. It fails safe:
// a file that cannot be read is kept aside and reported, not overwritten in silence.
type memory struct {
	files   host.Files
	entries []api.Memory
}

func loadMemory(files host.Files) (*memory, error) {
	m := &memory{files: files}
	b, err := files.Read(memoryFile)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &m.entries)
	}
	if err != nil {
		m.entries = nil
		return m, errors.Join(fmt.Errorf("read the downgrade memory: %w", err), files.Write(damagedMemory, b))
	}
	return m, nil
}

func (m *memory) find(network netip.Prefix, peer, rule string) int {
	return slices.IndexFunc(m.entries, func(e api.Memory) bool {
		return e.Network == network && e.Peer == peer && e.Rule == rule
	})
}

// worked notes that protection works now.
func (m *memory) worked(network netip.Prefix, peer, rule string, now time.Time) error {
	if i := m.find(network, peer, rule); i >= 0 {
		m.entries[i].Worked = now
	} else {
		m.entries = append(m.entries, api.Memory{Network: network, Peer: peer, Rule: rule, Worked: now})
	}
	for len(m.entries) > maxMemories {
		oldest := 0
		for i, e := range m.entries {
			o := m.entries[oldest]
			if o.Pinned && !e.Pinned || o.Pinned == e.Pinned && e.Worked.Before(o.Worked) {
				oldest = i
			}
		}
		m.entries = slices.Delete(m.entries, oldest, oldest+1)
	}
	return m.save()
}

// knows reports whether protection has worked within ttl, or is pinned.
func (m *memory) knows(network netip.Prefix, peer, rule string, ttl time.Duration, now time.Time) bool {
	i := m.find(network, peer, rule)
	return i >= 0 && (m.entries[i].Pinned || now.Sub(m.entries[i].Worked) < ttl)
}

// pin keeps an entry for good, or lets it age again.
func (m *memory) pin(entry api.Memory) error {
	i := m.find(entry.Network, entry.Peer, entry.Rule)
	if i < 0 {
		return errNoMemory
	}
	m.entries[i].Pinned = entry.Pinned
	return m.save()
}

// forget drops an entry.
func (m *memory) forget(entry api.Memory) error {
	i := m.find(entry.Network, entry.Peer, entry.Rule)
	if i < 0 {
		return errNoMemory
	}
	m.entries = slices.Delete(m.entries, i, i+1)
	return m.save()
}

var errNoMemory = &api.Error{Code: api.CodeNotFound, What: "The downgrade memory has no such entry.", Next: "\"sallyport memory list\" shows its entries."}

func (m *memory) save() error {
	if err := saveState(m.files, memoryFile, m.entries); err != nil {
		return fmt.Errorf("keep the downgrade memory: %w", err)
	}
	return nil
}

// wishes are what the user and the admin want, which outlives the process: the
// assigned policy, and the connections that are to be up.
type wishes struct {
	Assignment  *api.Assignment        `json:"assignment,omitempty"`
	PolicyText  []byte                 `json:"policy_text,omitempty"` // as it was when assigned
	Connections map[string]api.Profile `json:"connections,omitempty"`
}

// strict reports whether traffic must stay protected while no service runs.
func (w *wishes) strict() bool {
	if w.Assignment != nil {
		return true
	}
	for _, p := range w.Connections {
		if p == api.Require {
			return true
		}
	}
	return false
}

func loadWishes(files host.Files) (wishes, error) {
	var w wishes
	if err := loadState(files, wishesFile, &w); err != nil {
		return wishes{}, fmt.Errorf("read what was connected before: %w", err)
	}
	return w, nil
}

func (w *wishes) save(files host.Files) error {
	if w.Assignment == nil && len(w.Connections) == 0 {
		return files.Remove(wishesFile)
	}
	return saveState(files, wishesFile, w)
}

// KeepsGuard reports whether a service with this State left a firewall in
// force on purpose: traffic must not leave unprotected although it is down.
func KeepsGuard(state host.Files) bool {
	w, err := loadWishes(state)
	return err != nil || w.strict()
}

// ForgetWishes makes the next service start with nothing connected and nothing
// assigned.
func ForgetWishes(state host.Files) error { return state.Remove(wishesFile) }
