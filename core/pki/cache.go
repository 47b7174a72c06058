package pki

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// The bounds on a Cache.
const (
	maxCached      = 256
	maxCachedBytes = 16 << 20
)

// A Cache keeps what a Check has read, in memory, for as long as it serves.
// What comes out of it is judged anew each time. It may be used from several
// goroutines; the zero value is empty.
type Cache struct {
	mu      sync.Mutex // guards the rest
	entries map[string]cached
	size    int
}

type cached struct {
	body  []byte
	until time.Time
}

func (f *Fetch) key() string { return f.URL + "\x00" + string(f.Request) + "\x00" + f.from }

// Get returns what is kept of a Fetch; nil: nothing that serves.
func (c *Cache) Get(f Fetch, now time.Time) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[f.key()]
	if e.body == nil || !now.Before(e.until) {
		return nil
	}
	return e.body
}

// Put keeps what a Fetch brought until a time. The Cache owns body.
func (c *Cache) Put(f Fetch, body []byte, until, now time.Time) {
	if !now.Before(until) || len(body) == 0 || len(body) > maxCachedBytes {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries == nil {
		c.entries = make(map[string]cached)
	}
	c.dropLocked(f.key())
	c.roomLocked(len(body), now)
	c.entries[f.key()] = cached{body, until}
	c.size += len(body)
}

func (c *Cache) dropLocked(key string) {
	c.size -= len(c.entries[key].body)
	delete(c.entries, key)
}

// roomLocked makes room: first goes what serves no longer, then what ends first.
func (c *Cache) roomLocked(n int, now time.Time) {
	if len(c.entries) < maxCached && c.size+n <= maxCachedBytes {
		return
	}
	var keys []string
	for k := range c.entries {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int {
		return cmp.Or(c.entries[a].until.Compare(c.entries[b].until), cmp.Compare(a, b))
	})
	for _, k := range keys {
		if len(c.entries) < maxCached && c.size+n <= maxCachedBytes && now.Before(c.entries[k].until) {
			return
		}
		c.dropLocked(k)
	}
}
