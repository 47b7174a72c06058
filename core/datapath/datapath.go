// Package datapath carries packets between the TUN device, ESP and the UDP
// sockets. Outbound it reads super-packets, cuts them into segments and seals
// each straight into one group of datagrams; inbound it opens each datagram
// straight into a growing super-packet. One goroutine runs each direction of
// each device to completion: there are no queues between goroutines. Where there
// are more than two cores, several take turns at reading the TUN (lanes.go).
//
// IPsec rules: RFC 4301 (SPD, selectors checked after decryption, tunnel mode
// headers), RFC 4303 (ESP), RFC 3948 (UDP encapsulation), RFC 6040 (ECN).
package datapath

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/core/host"
	"sallyport/core/sad"
	"sallyport/core/spd"
)

// A Socket is a UDP socket that the datapath receives from, and sends ESP on.
type Socket struct {
	Conn host.UDPConn
	// NATT says that the socket carries ESP, keepalives, and IKE behind the
	// non-ESP marker; otherwise it carries bare IKE messages only (port 500).
	NATT bool
}

// A Config is what a Datapath needs.
type Config struct {
	// TUN may be nil; SetTUN changes it.
	TUN     host.TUN
	Sockets []Socket
	// IKE is called with each IKE message that arrives, on the goroutine that
	// received it. It must not block.
	IKE func(Datagram)
	// Notify is called with each Event, on the goroutine that found it: one of
	// Run's, or the one that called Install or Activate. It must not block, nor
	// call SetTUN. No lock of the datapath is held.
	Notify func(Event)
	// Now tells the time; nil means time.Now.
	Now func() time.Time
	// HideDSCP keeps the inner DSCP from the outer header. Otherwise it is
	// copied, as RFC 4301, section 5.1.2, has it; the ECN bits always are.
	HideDSCP bool
	// Lanes is how many goroutines take turns at reading the TUN, and each socket
	// that carries ESP, so that several cores work for one SA; 0 means one on two cores, and with more one
	// less than there are, at most maxLanes.
	Lanes int
}

// A Datagram is an IKE message that arrived.
type Datagram struct {
	Data   []byte         // without marker; the callee owns it
	Local  netip.AddrPort // address invalid when the system did not tell it
	Remote netip.AddrPort
	NATT   bool // it came on a NAT-T socket or a stream, behind a marker
	TCP    bool // it came on a stream
	Socket int  // index in Config.Sockets, or the stream's number
}

// A Datapath moves packets. All its methods may be called at any time, also
// while Run runs.
type Datapath struct {
	cfg Config
	sas sad.Table
	// come counts the SAs that were installed.
	come atomic.Uint64

	policy atomic.Pointer[policy]
	out    outbound
	in     []*inbound // the first lane of each socket
	lost   lostLimiter

	streams atomic.Pointer[streams]
	gone    drops // of streams that have ended

	tun atomic.Pointer[device]
	// mu guards the fields below and the life of the TUN's goroutine.
	mu      sync.Mutex
	running bool
	ctx     context.Context
	wg      sync.WaitGroup
	failed  chan error
}

// A policy is a compiled SPD.
type policy struct {
	*spd.Policy
	groups []*group // of each entry; nil unless it protects
}

// New returns a Datapath that discards every packet until SetPolicy.
func New(cfg Config) (*Datapath, error) {
	if cfg.IKE == nil || cfg.Notify == nil {
		return nil, errors.New("datapath: no callback")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	d := &Datapath{cfg: cfg, failed: make(chan error, 1)}
	d.out.init(d, cfg.lanes())
	d.streams.Store(&streams{next: len(cfg.Sockets)})
	for i, s := range cfg.Sockets {
		d.in = append(d.in, newInbound(d, i, s))
	}
	d.policy.Store(&policy{Policy: spd.NewPolicy(nil)})
	if cfg.TUN != nil {
		d.tun.Store(newDevice(cfg.TUN))
	}
	return d, nil
}

// Run moves packets until ctx ends or a socket or the TUN fails. It closes the
// sockets and the TUN, and returns when every goroutine has ended. A Datapath
// runs once.
func (d *Datapath) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d.mu.Lock()
	if d.ctx != nil {
		d.mu.Unlock()
		return errors.New("datapath: ran before")
	}
	d.ctx, d.running = ctx, true
	for _, in := range d.in {
		d.wg.Go(func() { d.fail(ctx, in.run()) })
	}
	for _, in := range d.streams.Load().byNumber {
		d.wg.Go(in.runStream)
	}
	if t := d.tun.Load(); t != nil {
		d.startLocked(t)
	}
	d.mu.Unlock()

	var err error
	select {
	case <-ctx.Done():
	case err = <-d.failed:
	}
	cancel()
	d.mu.Lock()
	d.running = false
	for _, s := range d.cfg.Sockets {
		s.Conn.Close()
	}
	d.closeStreamsLocked()
	if t := d.tun.Swap(nil); t != nil {
		d.dismissLocked(t)
	}
	d.mu.Unlock()
	d.wg.Wait()
	return err
}

// fail ends Run with err, unless it ends already.
func (d *Datapath) fail(ctx context.Context, err error) {
	if err == nil || ctx.Err() != nil {
		return
	}
	select {
	case d.failed <- err:
	default:
	}
}

// startLocked starts the goroutine that reads t.
func (d *Datapath) startLocked(t *device) {
	ctx := d.ctx
	t.started = true
	d.wg.Go(func() {
		defer close(t.done)
		if t.after != nil {
			<-t.after.done
			t.after = nil
		}
		if err := d.out.run(t); !t.closing.Load() {
			d.fail(ctx, fmt.Errorf("read %s: %w", t.Name(), err))
		}
	})
}

// SetTUN makes the datapath use t, closes the device used before and waits until
// it is no longer read. nil means none: protected packets that arrive are
// dropped. A TUN that is set while Run does not run any more is closed.
func (d *Datapath) SetTUN(t host.TUN) {
	var next *device
	if t != nil {
		next = newDevice(t)
	}
	d.mu.Lock()
	if d.ctx != nil && !d.running && next != nil {
		d.mu.Unlock()
		t.Close()
		return
	}
	old := d.tun.Swap(next)
	if old != nil {
		d.dismissLocked(old)
	}
	if next != nil && d.running {
		if old != nil && old.started {
			next.after = old
		}
		d.startLocked(next)
	}
	d.mu.Unlock()
	if old != nil && old.started {
		<-old.done
	}
}

// dismissLocked closes a device, and keeps what it has counted.
func (d *Datapath) dismissLocked(t *device) {
	d.gone.add(OutOverflow, overflowed(t.TUN))
	t.close()
}

// SetPolicy replaces the SPD.
func (d *Datapath) SetPolicy(entries []spd.Entry) {
	p := &policy{Policy: spd.NewPolicy(entries), groups: make([]*group, len(entries))}
	protects := make(map[uint32]bool)
	d.out.mu.Lock()
	for i, e := range entries {
		if e.Action == spd.Protect {
			p.groups[i] = d.out.groupLocked(e.Group)
			protects[e.Group] = true
		}
	}
	d.out.hosts.name(protects)
	d.policy.Store(p)
	d.out.restageLocked()
	d.out.forgetLocked(protects)
	// Under the same lock, so that d.out and the table name the same groups.
	d.sas.Forget(func(id uint32) bool { return protects[id] })
	d.out.unlock()
}

// Install adds a pair of SAs; with p.Active it sends what waited for one.
func (d *Datapath) Install(p sad.Params) error {
	if err := d.checkPath(p.Path); err != nil {
		return err
	}
	sa, err := d.sas.Install(p)
	if err != nil {
		return err
	}
	d.come.Add(1)
	if p.Active {
		d.out.release(sa.Group)
	}
	return nil
}

// Activate makes outbound packets of the pair's group and resource take the pair.
func (d *Datapath) Activate(inSPI uint32) error {
	sa, err := d.sas.Activate(inSPI)
	if err != nil {
		return err
	}
	d.out.release(sa.Group)
	return nil
}

// Retire makes the pair receive only. Activate its successor first.
func (d *Datapath) Retire(inSPI uint32) error { return d.sas.Retire(inSPI) }

// Rest lets nothing be sent on the pair until it is activated again.
func (d *Datapath) Rest(inSPI uint32) error { return d.sas.Rest(inSPI) }

// Remove removes the pair and returns what it has carried.
func (d *Datapath) Remove(inSPI uint32) (sad.Counters, error) {
	sa, err := d.sas.Remove(inSPI)
	if err != nil {
		return sad.Counters{}, err
	}
	return sa.Counters(), nil
}

// SetPath changes where the pair's packets are sent.
func (d *Datapath) SetPath(inSPI uint32, p sad.Path) error {
	if err := d.checkPath(p); err != nil {
		return err
	}
	return d.sas.SetPath(inSPI, p)
}

// SAs returns the table of SAs, for lookups and NewSPI. Changes are made
// through the methods of d.
func (d *Datapath) SAs() *sad.Table { return &d.sas }

// Counters returns what a pair has carried.
func (d *Datapath) Counters(inSPI uint32) (sad.Counters, error) {
	sa := d.sas.Lookup(inSPI)
	if sa == nil {
		return sad.Counters{}, sad.ErrUnknown
	}
	return sa.Counters(), nil
}

func (d *Datapath) checkPath(p sad.Path) error {
	natt := p.Socket >= 0 && p.Socket < len(d.cfg.Sockets) && d.cfg.Sockets[p.Socket].NATT
	if !natt && p.Socket != Nowhere && !d.isStream(p.Socket) {
		return fmt.Errorf("datapath: socket %d carries no ESP", p.Socket)
	}
	if !p.Remote.IsValid() {
		return errors.New("datapath: path without remote address")
	}
	if p.MTU < 0 || p.MTU != 0 && p.MTU < MinMTU {
		return fmt.Errorf("datapath: path MTU of %d", p.MTU)
	}
	return nil
}
