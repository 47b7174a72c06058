package hosttest

import "maps"

// Kept returns what brings the machine back to what it holds now, whatever its
// service does until then: its files and the rules of its firewall. It is what is
// left of a service that was killed.
func (m *Machine) Kept() (restore func()) {
	var files []func()
	for _, f := range []*Files{m.Profiles, m.Certs, m.Secrets, m.Policies, m.State} {
		f.mu.Lock()
		data := maps.Clone(f.data)
		f.mu.Unlock()
		files = append(files, func() {
			f.mu.Lock()
			f.data = data
			f.mu.Unlock()
		})
	}
	m.mu.Lock()
	intent, tampered := m.intent, m.tampered
	m.mu.Unlock()
	return func() {
		for _, f := range files {
			f()
		}
		m.mu.Lock()
		m.intent, m.tampered = intent, tampered
		m.mu.Unlock()
	}
}
