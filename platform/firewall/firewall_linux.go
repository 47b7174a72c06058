package firewall

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"sallyport/core/host"
)

// tableName is the name of our table, of family inet.
const tableName = "sallyport"

// patience is how long the kernel may take for one transaction.
const patience = 30 * time.Second

// A Firewall sets our table. Two of them in one network namespace would replace
// each other's rules.
type Firewall struct {
	mark    uint32
	uid     uint32
	changes chan struct{}

	mu     sync.Mutex // guards what follows, and holds one Set, Cleanup or Verify at a time
	last   host.FirewallIntent
	set    bool     // last is in force, as far as we know
	labels []string // that are counted
	base   *baseline
	watch  *watcher
	closed bool
}

// New returns a Firewall that touches nothing until Set or Cleanup.
func New(c Config) *Firewall {
	return &Firewall{mark: c.Mark, uid: uint32(os.Geteuid()), changes: make(chan struct{}, 1)}
}

// Set implements host.Firewall.
func (f *Firewall) Set(i host.FirewallIntent) error {
	if err := i.Check(); err != nil {
		return fmt.Errorf("set firewall: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.set && reflect.DeepEqual(f.last, i) && f.verifyLocked() == nil {
		return nil
	}
	if err := f.setLocked(&i); err != nil {
		return fmt.Errorf("set firewall: %w", explain(err))
	}
	f.last, f.set = clone(i), true
	return nil
}

// clone returns a copy that the caller of Set cannot change.
func clone(i host.FirewallIntent) host.FirewallIntent {
	i.Inner, i.Rules, i.Beside = slices.Clone(i.Inner), slices.Clone(i.Rules), slices.Clone(i.Beside)
	x := &i.Exempt
	x.IKE, x.LAN, x.Fetch, x.TCP, x.TCPPorts = slices.Clone(x.IKE), slices.Clone(x.LAN), slices.Clone(x.Fetch), slices.Clone(x.TCP), slices.Clone(x.TCPPorts)
	return i
}

// Cleanup implements host.Firewall. It removes our table and nothing else.
func (f *Firewall) Cleanup() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.setLocked(&host.FirewallIntent{}); err != nil {
		return fmt.Errorf("clean up firewall: %w", explain(err))
	}
	f.last, f.set = host.FirewallIntent{}, true
	return nil
}

// explain marks the errors of a process without privilege, and of a kernel
// without nftables.
func explain(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: run the service as root or with CAP_NET_ADMIN (%w)", host.ErrPrivilege, err)
	case errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EAFNOSUPPORT):
		return fmt.Errorf("%w: this kernel has no nftables, or lacks a part of it (%w)", host.ErrUnsupported, err)
	}
	return err
}

// attempts is how often a transaction is tried: another program that changes
// our table between our look and our transaction makes it fail as a whole.
const attempts = 3

func (f *Firewall) setLocked(i *host.FirewallIntent) error {
	if !i.IsZero() && f.watch == nil && !f.closed {
		w, err := newWatcher(f.changes)
		if err != nil {
			return err
		}
		f.watch = w
	}
	var err error
	for range attempts {
		if err = f.replaceLocked(i); err == nil || !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EEXIST) && !errors.Is(err, unix.EBUSY) {
			break
		}
	}
	return err
}

func (f *Firewall) replaceLocked(i *host.FirewallIntent) error {
	generation, err := currentGeneration()
	if err != nil {
		return err
	}
	c, err := f.dialLocked()
	if err != nil {
		return err
	}
	defer c.CloseLasting()
	table := &nftables.Table{Name: tableName, Family: nftables.TableFamilyINet}
	exists, err := hasTable(c)
	if err != nil {
		return err
	}
	if i.IsZero() {
		if exists {
			c.DelTable(table)
			if err := c.Flush(); err != nil {
				return err
			}
			generation++
		}
		f.labels = nil
		f.baseLocked(generation)
		return nil
	}

	var old []*nftables.Chain
	var have map[string]uint64
	if exists {
		if old, err = chains(c); err != nil {
			return err
		}
		if have, err = readCounters(); err != nil {
			return fmt.Errorf("list counters: %w", err)
		}
	}
	few := *i
	b := &batch{conn: c, table: table, mark: f.mark, uid: f.uid, intent: &few}
	few.Rules, b.labels = fewLabels(i.Rules)
	if err := b.replace(old, have, !f.set); err != nil {
		return err
	}
	if err := c.Flush(); err != nil {
		return err
	}
	generation++
	if !exists {
		// New chains drop nothing until the transaction that makes them takes
		// effect. From now on they drop everything if they lose their rules.
		b.addHooks()
		if err := c.Flush(); err != nil {
			return err
		}
		generation++
	}
	f.labels = b.labels
	f.baseLocked(generation)
	return nil
}

// dialLocked opens a connection for one transaction, with room for it.
func (f *Firewall) dialLocked() (*nftables.Conn, error) {
	return nftables.New(nftables.AsLasting(), nftables.WithSockOptions(func(c *netlink.Conn) error {
		raw, err := c.SyscallConn()
		if err != nil {
			return err
		}
		if e := raw.Control(func(fd uintptr) {
			// Only limits; what they refuse here shows when the room is needed.
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 256<<20)
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 256<<20)
			var sa unix.Sockaddr
			if sa, err = unix.Getsockname(int(fd)); err != nil {
				return
			}
			if nl, ok := sa.(*unix.SockaddrNetlink); ok && f.watch != nil {
				f.watch.ours.Store(nl.Pid)
			}
		}); e != nil {
			return e
		}
		if err != nil {
			return err
		}
		return c.SetDeadline(time.Now().Add(patience))
	}))
}

func hasTable(c *nftables.Conn) (bool, error) {
	tables, err := c.ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil {
		return false, fmt.Errorf("list tables: %w", err)
	}
	for _, t := range tables {
		if t.Name == tableName {
			return true, nil
		}
	}
	return false, nil
}

func chains(c *nftables.Conn) ([]*nftables.Chain, error) {
	all, err := c.ListChainsOfTableFamily(nftables.TableFamilyINet)
	if err != nil {
		return nil, fmt.Errorf("list chains: %w", err)
	}
	var ours []*nftables.Chain
	for _, chain := range all {
		if chain.Table.Name == tableName {
			ours = append(ours, chain)
		}
	}
	return ours, nil
}
