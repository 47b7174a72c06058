package lab

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A Libreswan is an instance of libreswan's pluto in a virtual machine, whose kernel
// does its ESP.
type Libreswan struct {
	VM *VM
}

// plutoLog is the log of pluto, in the virtual machine.
const plutoLog = "/run/pluto.log"

// Libreswan starts pluto with connections (the text of an ipsec.conf), secrets (of an
// ipsec.secrets) and those of the certificates of a PKI that keys names, each with its
// private key and its authorities.
func (vm *VM) Libreswan(conns, secrets string, pki *PKI, cas []string, keys ...string) *Libreswan {
	t := vm.host.lab.t
	t.Helper()
	p := &Libreswan{VM: vm}
	vm.Put("/etc/ipsec.conf", "config setup\n\tlogfile="+plutoLog+"\n\tuniqueids=no\n"+conns)
	vm.Put("/etc/ipsec.secrets", secrets)
	vm.Run("mkdir -p /run/pluto && ipsec initnss")
	dir := vm.host.lab.Dir("libreswan")
	pki.Install(t, dir, append(cas, keys...), keys)
	for _, name := range keys {
		file := filepath.Join(dir, name+".p12")
		vm.host.Run("openssl pkcs12 -export -passout pass:x -out " + file + " -name " + name +
			" -inkey " + filepath.Join(dir, "private", name+".key") + " -in " + filepath.Join(dir, "x509", name+".crt"))
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		vm.Put("/run/p12", base64.StdEncoding.EncodeToString(b))
		if out := vm.Run("base64 -d /run/p12 > /run/key.p12; pk12util -i /run/key.p12 -d sql:/var/lib/ipsec/nss -W x"); !strings.Contains(out, "SUCCESSFUL") {
			t.Fatalf("pk12util: %s", out)
		}
	}
	for _, name := range cas {
		b, err := os.ReadFile(filepath.Join(dir, "x509ca", name+".crt"))
		if err != nil {
			t.Fatal(err)
		}
		vm.Put("/run/ca.crt", string(b))
		if out := vm.Run("certutil -A -a -i /run/ca.crt -n " + name + " -t CT,, -d sql:/var/lib/ipsec/nss"); out != "" {
			t.Fatalf("certutil: %s", out)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := vm.Try(10*time.Second, "tail -n 150 "+plutoLog)
			t.Logf("pluto:\n%s", out)
		}
	})
	out := vm.Run("ipsec pluto --config /etc/ipsec.conf\n" +
		"for n in $(seq 80); do ipsec whack --ready >/dev/null 2>&1 && break; sleep .1; done\n" +
		"ipsec addconn --config /etc/ipsec.conf --autoall && echo loaded")
	if !strings.Contains(out, "loaded") {
		t.Fatalf("pluto: %s", out)
	}
	return p
}

// For returns the same instance for a part of the test.
func (p *Libreswan) For(l *Lab) *Libreswan { return &Libreswan{p.VM.For(l)} }

// Up makes a connection of which it is the initiator.
func (p *Libreswan) Up(name string) {
	p.VM.host.lab.t.Helper()
	out := p.VM.Run("timeout 30 ipsec auto --up " + name)
	if !strings.Contains(out, "initiator established Child SA") {
		p.VM.host.lab.t.Fatalf("libreswan: %s does not come up:\n%s", name, out)
	}
}

// Down ends a connection.
func (p *Libreswan) Down(name string) {
	p.VM.host.lab.t.Helper()
	p.VM.Run("timeout 30 ipsec auto --down " + name)
}

// Await waits up to a minute until pluto's log holds each of the patterns, extended
// regular expressions.
func (p *Libreswan) Await(patterns ...string) {
	p.VM.host.lab.t.Helper()
	for _, x := range patterns {
		script := fmt.Sprintf("for i in $(seq 80); do grep -Eq -- '%s' %s && echo there && break; sleep .3; done", x, plutoLog)
		if out := p.VM.Run(script); out != "there\n" {
			p.VM.host.lab.t.Fatalf("pluto's log holds no %q %s", x, out)
		}
	}
}
