package firewall

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"sallyport/core/host"
)

// Attributes that are the same in all messages that concern a table, and the
// group that hears of them.
const (
	attrTable     = 1 // NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, ...
	attrSetName   = 2 // NFTA_SET_NAME, NFTA_SET_ELEM_LIST_SET
	attrGenID     = 1 // NFTA_GEN_ID
	groupNFTables = 7 // NFNLGRP_NFTABLES
	headerLen     = 4 // struct nfgenmsg
)

// A state tells whether the machine's rules are the same as before.
type state struct {
	generation uint32 // of all rules of the network namespace; each transaction adds one
	digest     [sha256.Size]byte
}

// A baseline is the state that our last transaction has left, read while the
// caller of Set goes on.
type baseline struct {
	generation uint32 // that the transaction began
	done       chan struct{}
	state      state // after done
	err        error // after done
}

func (f *Firewall) baseLocked(generation uint32) {
	b := &baseline{generation: generation, done: make(chan struct{})}
	go func() {
		defer close(b.done)
		b.state, b.err = look()
	}()
	f.waitLocked() // one at a time
	f.base = b
}

func (f *Firewall) waitLocked() {
	if f.base != nil {
		<-f.base.done
	}
}

// Verify implements host.FirewallWatcher.
func (f *Firewall) Verify() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.verifyLocked()
}

func (f *Firewall) verifyLocked() error {
	if !f.set {
		return nil
	}
	generation, err := currentGeneration()
	if err != nil {
		return fmt.Errorf("verify firewall: %w", err)
	}
	b := f.base
	if generation == b.generation {
		return nil // nobody has touched any table
	}
	<-b.done
	if b.err != nil || b.state.generation != b.generation {
		// Somebody was faster than our look: nobody knows what is ours.
		return fmt.Errorf("verify firewall: %w", host.ErrRulesChanged)
	}
	now, err := look()
	if err != nil {
		return fmt.Errorf("verify firewall: %w", err)
	}
	if now.digest != b.state.digest {
		return fmt.Errorf("verify firewall: %w", host.ErrRulesChanged)
	}
	b.state, b.generation = now, now.generation // the others' changes did not concern us
	return nil
}

// Changes implements host.FirewallWatcher.
func (f *Firewall) Changes() <-chan struct{} { return f.changes }

// Close implements host.FirewallWatcher. The rules stay.
func (f *Firewall) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil
	}
	f.closed = true
	f.waitLocked()
	var err error
	if f.watch != nil {
		err = f.watch.close()
	}
	close(f.changes)
	return err
}

func dial() (*netlink.Conn, error) {
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, err
	}
	return c, c.SetDeadline(time.Now().Add(patience))
}

func request(kind uint16, flags netlink.HeaderFlags, attributes []byte) netlink.Message {
	return netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | kind), Flags: netlink.Request | flags},
		Data:   append([]byte{unix.NFPROTO_INET, unix.NFNETLINK_V0, 0, 0}, attributes...),
	}
}

func readGeneration(c *netlink.Conn) (uint32, error) {
	m := request(unix.NFT_MSG_GETGEN, 0, nil)
	m.Data[0] = unix.NFPROTO_UNSPEC
	reply, err := c.Execute(m)
	if err != nil {
		return 0, fmt.Errorf("read generation of the rules: %w", err)
	}
	for _, r := range reply {
		if id := attribute(r.Data, attrGenID); len(id) == 4 {
			return binary.BigEndian.Uint32(id), nil
		}
	}
	return 0, errors.New("read generation of the rules: no answer")
}

func currentGeneration() (uint32, error) {
	c, err := dial()
	if err != nil {
		return 0, err
	}
	defer c.Close()
	return readGeneration(c)
}

// look reads our table back. What it reads belongs to one generation.
func look() (state, error) {
	c, err := dial()
	if err != nil {
		return state{}, err
	}
	defer c.Close()
	for range attempts {
		before, err := readGeneration(c)
		if err != nil {
			return state{}, err
		}
		h := sha256.New()
		err = digest(c, h)
		if err != nil {
			if errors.Is(err, errInterrupted) {
				continue
			}
			return state{}, fmt.Errorf("read rules: %w", err)
		}
		after, err := readGeneration(c)
		if err != nil {
			return state{}, err
		}
		if before == after {
			return state{before, [sha256.Size]byte(h.Sum(nil))}, nil
		}
	}
	return state{}, errors.New("read rules: they change all the time")
}

var errInterrupted = errors.New("the rules changed meanwhile")

// digest adds chains, rules, maps and their elements of our table to h.
func digest(c *netlink.Conn, h hash.Hash) error {
	name, err := netlink.MarshalAttributes([]netlink.Attribute{{Type: attrTable, Data: []byte(tableName + "\x00")}})
	if err != nil {
		return err
	}
	var sets [][]byte
	for _, kind := range []uint16{unix.NFT_MSG_GETTABLE, unix.NFT_MSG_GETCHAIN, unix.NFT_MSG_GETRULE, unix.NFT_MSG_GETSET} {
		messages, err := dump(c, request(kind, netlink.Dump, name))
		if err != nil {
			return err
		}
		for _, m := range messages {
			if !concerns(m.Data) {
				continue // the kernel gives all tables' or chains'
			}
			h.Write(m.Data[headerLen:])
			if kind == unix.NFT_MSG_GETSET {
				sets = append(sets, attribute(m.Data, attrSetName))
			}
		}
	}
	for _, set := range sets {
		names, err := netlink.MarshalAttributes([]netlink.Attribute{{Type: attrTable, Data: []byte(tableName + "\x00")}, {Type: attrSetName, Data: set}})
		if err != nil {
			return err
		}
		messages, err := dump(c, request(unix.NFT_MSG_GETSETELEM, netlink.Dump, names))
		if err != nil {
			return err
		}
		for _, m := range messages {
			h.Write(m.Data[headerLen:])
		}
	}
	return nil
}

func dump(c *netlink.Conn, m netlink.Message) ([]netlink.Message, error) {
	messages, err := c.Execute(m)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil // no table
	}
	if err != nil {
		return nil, err
	}
	for _, m := range messages {
		if m.Header.Flags&netlink.DumpInterrupted != 0 {
			return nil, errInterrupted
		}
		if len(m.Data) < headerLen {
			return nil, errors.New("message cut short")
		}
	}
	return messages, nil
}

// concerns reports whether a message is about our table.
func concerns(data []byte) bool {
	return len(data) > headerLen && data[0] == unix.NFPROTO_INET && string(attribute(data, attrTable)) == tableName+"\x00"
}

// attribute returns the first attribute of a type in a message, nil when there
// is none.
func attribute(data []byte, kind uint16) []byte {
	if len(data) < headerLen {
		return nil
	}
	return find(data[headerLen:], kind)
}

// find returns the first attribute of a type.
func find(b []byte, kind uint16) []byte {
	for len(b) >= unix.SizeofNlAttr {
		size := int(binary.NativeEndian.Uint16(b))
		if size < unix.SizeofNlAttr || size > len(b) {
			return nil
		}
		if binary.NativeEndian.Uint16(b[2:])&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER) == kind {
			return b[unix.SizeofNlAttr:size]
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	return nil
}

// readCounters returns the bytes of all counters of our table, by their names.
func readCounters() (map[string]uint64, error) {
	c, err := dial()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	table, err := netlink.MarshalAttributes([]netlink.Attribute{{Type: attrTable, Data: []byte(tableName + "\x00")}})
	if err != nil {
		return nil, err
	}
	for range attempts {
		var messages []netlink.Message
		messages, err = dump(c, request(unix.NFT_MSG_GETOBJ, netlink.Dump, table))
		if errors.Is(err, errInterrupted) {
			continue
		}
		if err != nil {
			return nil, err
		}
		bytes := make(map[string]uint64, len(messages))
		for _, m := range messages {
			if !concerns(m.Data) {
				continue
			}
			name := strings.TrimRight(string(attribute(m.Data, unix.NFTA_OBJ_NAME)), "\x00")
			if n := find(attribute(m.Data, unix.NFTA_OBJ_DATA), unix.NFTA_COUNTER_BYTES); len(n) == 8 {
				bytes[name] = binary.BigEndian.Uint64(n)
			}
		}
		return bytes, nil
	}
	return nil, err
}

// A watcher hears of each transaction.
type watcher struct {
	conn *netlink.Conn
	ours atomic.Uint32 // port of the connection that Set used last
	done chan struct{}
}

func newWatcher(changes chan<- struct{}) (*watcher, error) {
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{Groups: 1 << (groupNFTables - 1)})
	if err != nil {
		return nil, fmt.Errorf("watch rules: %w", err)
	}
	// Our own transactions are heard too, and have many messages.
	if raw, err := c.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20)
		})
	}
	w := &watcher{conn: c, done: make(chan struct{})}
	go w.run(changes)
	return w, nil
}

func (w *watcher) close() error {
	err := w.conn.Close()
	<-w.done
	return err
}

func (w *watcher) run(changes chan<- struct{}) {
	defer close(w.done)
	for {
		messages, err := w.conn.Receive()
		touched := errors.Is(err, unix.ENOBUFS) // some were lost: one may have been ours
		if err != nil && !touched {
			if !errors.Is(err, os.ErrClosed) && !errors.Is(err, unix.EBADF) {
				notify(changes) // deaf from now on
			}
			return
		}
		for _, m := range messages {
			touched = touched || m.Header.PID != w.ours.Load() && concerns(m.Data)
		}
		if touched {
			notify(changes)
		}
	}
}

func notify(changes chan<- struct{}) {
	select {
	case changes <- struct{}{}:
	default: // one waits already
	}
}
