package sad

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"sallyport/core/esp"
	"sallyport/core/spd"
)

// Errors of a Table.
var (
	ErrUnknown = errors.New("sad: no such SA")
	ErrExists  = errors.New("sad: SPI in use")
	ErrSPI     = errors.New("sad: reserved SPI")
)

// minSPI is the first SPI that is not reserved (RFC 4303, section 2.1).
const minSPI = 256

// A Table holds the pairs of SAs. Its zero value is empty.
type Table struct {
	mu     sync.Mutex // guards groups, serial and changes of sas
	sas    atomic.Pointer[spis]
	groups map[uint32]*Group
	serial uint64
}

// Lookup returns the pair with the inbound SPI spi, or nil.
func (t *Table) Lookup(spi uint32) *SA {
	if spi < minSPI {
		return nil
	}
	return t.sas.Load().lookup(spi)
}

// All returns the pairs in no order.
func (t *Table) All() []*SA {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sas.Load().all()
}

// Group returns the group called id, which it makes when there is none. It stays
// until it is forgotten and has no pair.
func (t *Table) Group(id uint32) *Group {
	t.mu.Lock()
	defer t.mu.Unlock()
	g := t.groupLocked(id)
	g.named = true
	return g
}

func (t *Table) groupLocked(id uint32) *Group {
	g := t.groups[id]
	if g == nil {
		if t.groups == nil {
			t.groups = make(map[uint32]*Group)
		}
		g = &Group{ID: id}
		t.groups[id] = g
	}
	return g
}

// Forget drops the groups that neither keep names nor a pair belongs to.
func (t *Table) Forget(keep func(id uint32) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id := range t.groups {
		if !keep(id) {
			t.forgetLocked(id)
		}
	}
}

// ForgetGroup drops the group called id, unless a pair belongs to it: then it
// goes with the last one.
func (t *Table) ForgetGroup(id uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forgetLocked(id)
}

func (t *Table) forgetLocked(id uint32) {
	if g := t.groups[id]; g != nil {
		g.named = false
		if g.pairs == 0 {
			delete(t.groups, id)
		}
	}
}

// NewSPI returns a random SPI that no pair uses.
func (t *Table) NewSPI(rand io.Reader) (uint32, error) {
	var b [4]byte
	for {
		if _, err := io.ReadFull(rand, b[:]); err != nil {
			return 0, fmt.Errorf("sad: draw an SPI: %w", err)
		}
		if spi := binary.BigEndian.Uint32(b[:]); spi >= minSPI && t.Lookup(spi) == nil {
			return spi, nil
		}
	}
}

// Install adds a pair. The keys are not kept.
func (t *Table) Install(p Params) (*SA, error) {
	if p.InSPI < minSPI || p.OutSPI < minSPI {
		return nil, ErrSPI
	}
	opener, err := esp.NewOpener(p.Suite, p.KeyIn)
	if err != nil {
		return nil, fmt.Errorf("inbound SA: %w", err)
	}
	sealer, err := esp.NewSealer(p.OutSPI, p.Suite, p.KeyOut)
	if err != nil {
		return nil, fmt.Errorf("outbound SA: %w", err)
	}
	sa := &SA{
		InSPI: p.InSPI, OutSPI: p.OutSPI, Resource: p.Resource,
		Soft: p.Soft, Hard: p.Hard,
		Inbound:  spd.NewPair(p.Remote, p.Local),
		Outbound: spd.NewPair(p.Local, p.Remote),
	}
	sa.In.Opener = opener
	sa.In.Peer = p.Path.Remote
	sa.Out.Sealer = sealer
	sa.path.Store(&p.Path)

	t.mu.Lock()
	defer t.mu.Unlock()
	if t.Lookup(p.InSPI) != nil {
		return nil, ErrExists
	}
	t.serial++
	sa.Serial = t.serial
	sa.Group = t.groupLocked(p.Group)
	sa.Group.pairs++
	t.sas.Store(t.sas.Load().with(sa))
	if p.Active {
		sa.Group.setLocked(sa)
	}
	return sa, nil
}

// Activate makes outbound packets of the pair's group and resource take it.
func (t *Table) Activate(inSPI uint32) (*SA, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	sa := t.Lookup(inSPI)
	if sa == nil || sa.retired.Load() {
		return nil, ErrUnknown
	}
	sa.Group.setLocked(sa)
	return sa, nil
}

// Retire makes the pair receive only.
func (t *Table) Retire(inSPI uint32) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	sa := t.Lookup(inSPI)
	if sa == nil {
		return ErrUnknown
	}
	sa.retired.Store(true)
	sa.Group.unsetLocked(sa)
	return nil
}

// Rest lets nothing be sent on the pair until it is activated again.
func (t *Table) Rest(inSPI uint32) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	sa := t.Lookup(inSPI)
	if sa == nil {
		return ErrUnknown
	}
	sa.Group.unsetLocked(sa)
	return nil
}

// Remove removes the pair and returns it.
func (t *Table) Remove(inSPI uint32) (*SA, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	sa := t.Lookup(inSPI)
	if sa == nil {
		return nil, ErrUnknown
	}
	sa.closed.Store(true)
	sa.Group.unsetLocked(sa)
	t.sas.Store(t.sas.Load().without(inSPI))
	if sa.Group.pairs--; sa.Group.pairs == 0 && !sa.Group.named {
		delete(t.groups, sa.Group.ID)
	}
	return sa, nil
}

// SetPath changes where the pair's packets are sent.
func (t *Table) SetPath(inSPI uint32, p Path) error {
	sa := t.Lookup(inSPI)
	if sa == nil {
		return ErrUnknown
	}
	sa.path.Store(&p)
	return nil
}

// LowerMTU lowers the MTU of the pair's path to mtu, unless the path was changed
// or is as small already.
func (s *SA) LowerMTU(seen *Path, mtu int) bool {
	if mtu >= seen.OuterMTU() {
		return false
	}
	p := *seen
	p.MTU = mtu
	return s.path.CompareAndSwap(seen, &p)
}
