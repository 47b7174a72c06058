package lab

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// A StrongSwan is one instance of strongSwan with ESP in user space
// (kernel-libipsec, which always encapsulates in UDP).
type StrongSwan struct {
	Dir string // where swanctl.conf, x509, x509ca and private are

	host *Host
	root string // where its programs are; empty: on this machine
	proc *Process
	conf string // path of strongswan.conf
	log  string
}

const swanPlugins = `random nonce drbg openssl gmp aes sha1 sha2 md5 hmac kdf curve25519 mgf1 xcbc cmac ccm ctr gcm chapoly ` +
	`pem pkcs1 pkcs8 pkcs12 x509 pubkey revocation constraints eap-identity eap-mschapv2 eap-tls eap-ttls eap-md5 eap-radius kernel-libipsec kernel-netlink socket-default vici resolve updown counters`

// SwanDir makes a folder for the files of an instance, with this swanctl.conf.
func (l *Lab) SwanDir(name, conf string) string {
	l.t.Helper()
	dir := l.Dir(name)
	if err := os.WriteFile(filepath.Join(dir, "swanctl.conf"), []byte(conf), 0o600); err != nil {
		l.t.Fatal(err)
	}
	return dir
}

// StrongSwan starts an instance over the files of dir. Options are lines for
// its section of strongswan.conf.
func (h *Host) StrongSwan(dir string, options ...string) *StrongSwan {
	h.lab.t.Helper()
	return h.strongSwan("", dir, options)
}

func (h *Host) strongSwan(root, dir string, options []string) *StrongSwan {
	h.lab.t.Helper()
	base := filepath.Base(dir)
	s := &StrongSwan{Dir: dir, host: h, root: root, conf: h.lab.file(base + ".strongswan.conf"), log: h.lab.file(base + ".charon.log")}
	socket := h.lab.file(base + ".vici")
	// By itself charon repeats a request after 4 s, and a datagram that is lost while
	// a cable is plugged in would cost a test as much. It gives up no sooner for it.
	conf := fmt.Sprintf(`charon-systemd {
  load = %s
  retransmit_timeout = 0.5
  retransmit_tries = 9
  journal {
    default = -1
  }
  filelog {
    log {
      path = %s
      time_format = %%H:%%M:%%S
      default = 1
      ike = 2
      flush_line = yes
    }
  }
  plugins {
    vici {
      socket = unix://%s
    }
    resolve {
      file = %s
    }
  }
  %s
}
swanctl {
  socket = unix://%s
  load = pem pkcs1 pkcs8 pkcs12 x509 openssl pubkey random
}
`, swanPlugins, s.log, socket, h.lab.file(base+".resolv.conf"), strings.Join(options, "\n  "), socket)
	if err := os.WriteFile(s.conf, []byte(conf), 0o600); err != nil {
		h.lab.t.Fatal(err)
	}
	_ = os.Remove(socket)
	_ = os.Remove(s.log)
	daemon := s.program("charon-systemd")
	daemon.Env = append(daemon.Env, s.env()...)
	s.proc = h.Start("charon", daemon)
	h.lab.showOnFailure(s.log)
	for end := time.Now().Add(15 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		// The socket is there a moment before somebody listens on it.
		if c, err := net.Dial("unix", socket); err == nil {
			c.Close()
			break
		}
		select {
		case <-s.proc.Done:
			h.lab.t.Fatalf("charon ended at once: %v\n%s", s.proc.Err, s.proc.Log())
		default:
		}
		if time.Now().After(end) {
			h.lab.t.Fatalf("charon does not start\n%s", s.proc.Log())
		}
	}
	if out, err := s.Ctl(20*time.Second, "--load-all", "--noprompt"); err != nil {
		h.lab.t.Fatalf("swanctl --load-all: %v\n%s", err, out)
	}
	return s
}

// program returns a command of this instance's version.
func (s *StrongSwan) program(name string, args ...string) *exec.Cmd {
	if s.root == "" {
		return Command(name, args...)
	}
	return Command("chroot", append([]string{s.root, "/usr/sbin/" + name}, args...)...)
}

func (s *StrongSwan) env() []string {
	return []string{"STRONGSWAN_CONF=" + s.conf, "SWANCTL_DIR=" + s.Dir}
}

// Command returns a swanctl command for this instance.
func (s *StrongSwan) Command(args ...string) *exec.Cmd {
	cmd := s.program("swanctl", args...)
	cmd.Env = append(cmd.Env, s.env()...)
	return cmd
}

// Ctl runs swanctl for this instance.
func (s *StrongSwan) Ctl(limit time.Duration, args ...string) (string, error) {
	out, errOut, err := s.host.Output(limit, s.Command(args...))
	return out + errOut, err
}

// Initiate brings up the child "net" of a connection.
func (s *StrongSwan) Initiate(conn string) error {
	if out, err := s.Ctl(25*time.Second, "--initiate", "--child", "net", "--ike", conn, "--timeout", "20"); err != nil {
		return fmt.Errorf("swanctl --initiate %s: %w\n%s", conn, err, out)
	}
	return nil
}

// Terminate takes a connection down.
func (s *StrongSwan) Terminate(conn string) error {
	if out, err := s.Ctl(15*time.Second, "--terminate", "--ike", conn, "--timeout", "10"); err != nil {
		return fmt.Errorf("swanctl --terminate %s: %w\n%s", conn, err, out)
	}
	return nil
}

// SAs returns the list of its SAs.
func (s *StrongSwan) SAs() string {
	out, _ := s.Ctl(10*time.Second, "--list-sas")
	return out
}

// Log returns what it has logged.
func (s *StrongSwan) Log() string {
	b, _ := os.ReadFile(s.log)
	return string(b)
}

// Mark returns the place in the log as of now, for Since.
func (s *StrongSwan) Mark() int { return len(s.Log()) }

// Since returns what has been logged since a Mark.
func (s *StrongSwan) Since(mark int) string {
	log := s.Log()
	return log[min(mark, len(log)):]
}

// PID returns the number of its process.
func (s *StrongSwan) PID() int { return s.proc.Cmd.Process.Pid }

// Stop ends the instance.
func (s *StrongSwan) Stop() { s.proc.Stop() }

// Kill ends the instance as a crash would: its peers are told nothing.
func (s *StrongSwan) Kill() { s.proc.Kill() }

// ResolvConf returns the path of the file into which the instance writes the
// name servers that it is given.
func (s *StrongSwan) ResolvConf() string {
	return s.host.lab.file(filepath.Base(s.Dir) + ".resolv.conf")
}

// Pid returns the number of its process.
func (s *StrongSwan) Pid() int { return s.proc.Cmd.Process.Pid }
