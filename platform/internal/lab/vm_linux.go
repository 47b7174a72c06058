package lab

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
)

// Addresses of the virtual machine inside, on a device that stands for the network
// behind it.
const (
	VMInsideV4 = "10.30.0.10"
	VMInsideV6 = "fd00:30::10"
)

// A VM is a machine with a kernel of its own, Debian's, which has ESP: for gateways
// that leave ESP to the kernel, as libreswan does, where the kernel of this machine
// has none. Its processor is emulated, and about a tenth as fast as a real one.
type VM struct {
	Log  string // the file that holds what the kernel says
	Proc *Process

	host *Host
}

// vmInit is the first process of the machine: it brings up the devices and serves a
// shell to the laboratory, on a device of its own.
//
//go:embed vm_init.sh
var vmInit []byte

// vmShell is where the machine serves the shell.
const vmShell = "10.99.0.2:7"

// NewVM boots the machine as a further one at the wan of the picture.
func (l *Lab) NewVM() *VM {
	l.t.Helper()
	root, err := vmTree()
	if err != nil {
		l.t.Fatalf("the packages of the virtual machine: %v", err)
	}
	kernel, err := filepath.Glob(filepath.Join(root, "vmlinuz-*"))
	if err != nil || len(kernel) != 1 {
		l.t.Fatalf("kernels in %s: %v, %v", root, kernel, err)
	}
	bridge, err := l.Wan.nl.LinkByName("br0")
	if err != nil {
		l.t.Fatal(err)
	}
	for _, name := range []string{"vm", "vmshell"} {
		l.Wan.Run("ip tuntap add " + name + " mode tap")
		l.Wan.Run("ip link set " + name + " up")
	}
	port, err := l.Wan.nl.LinkByName("vm")
	if err != nil {
		l.t.Fatal(err)
	}
	if err := l.Wan.nl.LinkSetMaster(port, bridge.(*netlink.Bridge)); err != nil {
		l.t.Fatal(err)
	}
	l.Wan.Run("ip addr add 10.99.0.1/24 dev vmshell")
	vm := &VM{Log: l.file("vm-console.log"), host: l.Wan}
	args := []string{"-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1536", "-nodefaults", "-no-reboot", "-display", "none",
		"-serial", "file:" + vm.Log, "-kernel", kernel[0], "-initrd", filepath.Join(root, "initrd"),
		"-append", "console=ttyS0 rdinit=/init panic=-1 mitigations=off net.ifnames=0"}
	for i, tap := range []string{"vm", "vmshell"} {
		args = append(args, "-netdev", fmt.Sprintf("tap,id=n%d,ifname=%s,script=no,downscript=no", i, tap),
			"-device", fmt.Sprintf("virtio-net-pci,netdev=n%d,mac=52:54:00:00:00:0%d,romfile=", i, i+1))
	}
	l.showOnFailure(vm.Log)
	vm.Proc = l.Wan.Start("qemu", Command("qemu-system-x86_64", args...))
	for end := time.Now().Add(3 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
		if out, err := vm.Try(5*time.Second, "echo up"); err == nil && out == "up\n" {
			return vm
		}
		select {
		case <-vm.Proc.Done:
			l.t.Fatalf("qemu ended: %v\n%s", vm.Proc.Err, vm.Proc.Log())
		default:
		}
		if time.Now().After(end) {
			l.t.Fatal("the virtual machine does not come up")
		}
	}
}

// For returns the same machine for a part of the test.
func (vm *VM) For(l *Lab) *VM {
	c := *vm
	c.host = vm.host.of(l)
	return &c
}

// Try runs a script in the machine, with bash, and returns all that it wrote.
func (vm *VM) Try(limit time.Duration, script string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	c, err := vm.host.Dial(ctx, "tcp", vmShell)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(limit)); err != nil {
		return "", err
	}
	// The braces make bash read all of it before a program can take it for its input.
	if _, err := io.WriteString(c, "exec 2>&1\n{\n"+script+"\n} </dev/null\nexit\n"); err != nil {
		return "", err
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return "", err
	}
	out, err := io.ReadAll(c)
	return string(out), err
}

// Run is Try, and ends the test when the machine cannot be asked.
func (vm *VM) Run(script string) string {
	vm.host.lab.t.Helper()
	out, err := vm.Try(time.Minute, script)
	if err != nil {
		vm.host.lab.t.Fatalf("in the virtual machine: %v\n%s\n%s", err, script, out)
	}
	return out
}

// Put writes a file of the machine.
func (vm *VM) Put(path, text string) {
	vm.host.lab.t.Helper()
	const end = "END-OF-FILE"
	if strings.Contains(text, end) {
		vm.host.lab.t.Fatalf("%s holds %s", path, end)
	}
	if out := vm.Run("cat > " + path + " <<'" + end + "'\n" + strings.TrimSuffix(text, "\n") + "\n" + end); out != "" {
		vm.host.lab.t.Fatalf("write %s: %s", path, out)
	}
}

// vmTree returns a folder with a kernel and an initrd that is the whole system of
// the machine. The first call on a machine makes it, which takes some minutes.
var vmTree = sync.OnceValues(func() (string, error) {
	return debianTree("vm", func(building, from string) error {
		root := filepath.Join(building, "root")
		if err := os.MkdirAll(building, 0o755); err != nil {
			return err
		}
		if err := debootstrap("minbase", "linux-image-cloud-amd64,libreswan,libnss3-tools,iproute2,iputils-ping,kmod,procps,socat", "bookworm", root, from); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(root, "init"), vmInit, 0o755); err != nil {
			return err
		}
		// Without what an emulated machine has no use for, the system is half as large;
		// it is not compressed, for the emulated processor would be slow to unpack it.
		return run("sh", "-euc", `cd "$0/root" && mv boot/vmlinuz-* .. && rm -rf boot usr/share/doc usr/share/locale usr/share/man var/cache var/lib/apt &&
			cd usr/lib/modules/*/kernel && rm -rf drivers/gpu drivers/infiniband drivers/scsi drivers/md drivers/media drivers/nvme drivers/hv drivers/ata drivers/usb fs sound &&
			cd "$0/root" && find . -path './dev/*' -prune -o -print | cpio -o -H newc --quiet > ../initrd && cd .. && rm -rf root`, building)
	})
})
