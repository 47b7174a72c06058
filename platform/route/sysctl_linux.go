package route

import (
	"errors"
	"io/fs"
	"os"

	"sallyport/core/host"
)

// setSysctls adapts the kernel's settings to c; v4 tells whether c has routes
// of IPv4. Settings that c no longer needs go back.
func setSysctls(n *notes, c host.RouteConfig, v4 bool) error {
	if !c.Forward {
		if err := n.drop(isForwarding); err != nil {
			return err
		}
	}
	if !v4 {
		if err := n.drop(isReversePath); err != nil {
			return err
		}
	}
	if hasIPv6() {
		// The default for new devices may be off where IPv6 as such is on.
		if err := n.change("net/ipv6/conf/"+c.Device+"/disable_ipv6", "0"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if c.Forward {
		if err := forward4(n); err != nil {
			return err
		}
		if hasIPv6() {
			if err := forward6(n); err != nil {
				return err
			}
		}
	}
	if v4 {
		return loosenReversePath(n, c.Device)
	}
	return nil
}

// loosenReversePath keeps strict reverse path filters (rp_filter 1) from
// dropping the answers to our sockets. The filter asks whether a packet that
// came in by eth0 from the gateway would also leave by eth0, but asks for a
// packet without our mark, which would leave by the tunnel. src_valid_mark does
// not help by itself, because an incoming packet carries a mark only if
// netfilter gives it one. Loose mode (2) asks only whether the source has a
// route at all.
//
// IPv6 has no such setting; firewalld's IPv6_rpfilter=strict has the same
// effect, and must be set to loose by the administrator.
func loosenReversePath(n *notes, device string) error {
	all, err := readSysctl("net/ipv4/conf/all/rp_filter")
	if err != nil {
		return err
	}
	devices, err := os.ReadDir(sysctlRoot + "net/ipv4/conf")
	if err != nil {
		return err
	}
	for _, d := range devices {
		if name := d.Name(); name == "all" || name == "default" || name == "lo" || name == device {
			continue
		}
		name := "net/ipv4/conf/" + d.Name() + "/rp_filter"
		own, err := readSysctl(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // gone meanwhile
		}
		if err != nil {
			return err
		}
		if max(all, own) != "1" { // the greater one is in force
			continue
		}
		if err := n.change(name, "2"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// forward4 turns on forwarding. The kernel then sets it, and
// accept_redirects' meaning, on every device, so each one's own value is noted.
func forward4(n *notes) error {
	if now, err := readSysctl("net/ipv4/ip_forward"); err != nil || now == "1" {
		return err
	}
	if err := n.rememberEach("net/ipv4/conf", "forwarding"); err != nil {
		return err
	}
	return n.change("net/ipv4/ip_forward", "1")
}

// forward6 turns on forwarding. A forwarding machine ignores router
// advertisements and drops the default route it learned from one, unless
// accept_ra is 2.
func forward6(n *notes) error {
	const conf = "net/ipv6/conf"
	if now, err := readSysctl(conf + "/all/forwarding"); err != nil || now == "1" {
		return err
	}
	devices, err := os.ReadDir(sysctlRoot + conf)
	if err != nil {
		return err
	}
	for _, d := range devices {
		name := conf + "/" + d.Name() + "/accept_ra"
		if now, err := readSysctl(name); err != nil || now != "1" || d.Name() == "all" || d.Name() == "default" {
			continue
		}
		if err := n.change(name, "2"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := n.rememberEach(conf, "forwarding"); err != nil {
		return err
	}
	return n.change(conf+"/all/forwarding", "1")
}

// rememberEach notes a setting of every device, and saves the notes.
func (n *notes) rememberEach(conf, setting string) error {
	devices, err := os.ReadDir(sysctlRoot + conf)
	if err != nil {
		return err
	}
	for _, d := range devices {
		if d.Name() == "all" {
			continue
		}
		if err := n.remember(conf + "/" + d.Name() + "/" + setting); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return n.save()
}
