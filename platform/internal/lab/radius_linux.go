package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// RADIUSSecret is shared with FreeRADIUS.
const RADIUSSecret = "the way to the server of users"

// freeRADIUSConf is FreeRADIUS with the methods of EAP and nothing else.
const freeRADIUSConf = `
name = radiusd
prefix = /usr
libdir = /usr/lib/freeradius
logdir = DIR
run_dir = DIR
security {
	allow_vulnerable_openssl = yes
	status_server = no
}
client gateway {
	ipaddr = 0.0.0.0/0
	secret = "SECRET"
	require_message_authenticator = yes
}
modules {
	eap {
		default_eap_type = mschapv2
		tls-config tls-common {
			private_key_file = DIR/private/SERVER.key
			certificate_file = DIR/x509/SERVER.crt
			ca_file = DIR/x509ca/CA.crt
			tls_min_version = "1.2"
			tls_max_version = "TLSVERSION"
			ecdh_curve = ""
			include_length = yes
		}
		mschapv2 {
		}
		gtc {
			challenge = "Your code, please: "
			auth_type = PAP
		}
		tls {
			tls = tls-common
		}
		ttls {
			tls = tls-common
			default_eap_type = mschapv2
			virtual_server = inner
		}
		peap {
			tls = tls-common
			default_eap_type = mschapv2
			virtual_server = inner
		}
	}
	mschap {
	}
	pap {
	}
	files {
		usersfile = DIR/users
	}
}
server default {
	listen {
		type = auth
		ipaddr = ADDRESS
		port = 1812
	}
	authorize {
		eap {
			ok = return
		}
		files
		pap
	}
	authenticate {
		Auth-Type PAP {
			pap
		}
		Auth-Type MS-CHAP {
			mschap
		}
		eap
	}
	post-auth {
		files
	}
}
server inner {
	authorize {
		eap {
			ok = return
		}
		files
		pap
	}
	authenticate {
		Auth-Type PAP {
			pap
		}
		Auth-Type MS-CHAP {
			mschap
		}
		eap
	}
}
`

// FreeRADIUS starts FreeRADIUS with a users file, and the certificate of server
// and its authority out of dir (see PKI.Install). tls is the newest version of
// TLS that it speaks.
func (h *Host) FreeRADIUS(dir, server, ca, users, tls string) *Process {
	h.lab.t.Helper()
	return h.freeRADIUS(dir, strings.NewReplacer("DIR", dir, "SECRET", RADIUSSecret, "SERVER", server, "CA.crt", ca+".crt", "ADDRESS", InsideV4.String(), "TLSVERSION", tls).Replace(freeRADIUSConf), users)
}

// The questions of FreeRADIUSTokens.
const (
	TokenPassword = "Password of the company"
	TokenCode     = "Code that your token shows"
)

// FreeRADIUSTokens starts FreeRADIUS as a server of one-time codes behind
// EAP-GTC: it challenges twice, for the password and then for the code. Its own
// module asks once only; the packets are written in its policy language.
func (h *Host) FreeRADIUSTokens(dir, password, code string) *Process {
	h.lab.t.Helper()
	// The last field of an EAP-GTC packet with that identifier (RFC 3748, section 5.6).
	ask := func(id int, text string) string { return fmt.Sprintf("0x01%02x%04x06%x", id, len(text)+5, text) }
	says := func(id int, text string) string { return fmt.Sprintf("/^0x02%02x%04x06%x$/i", id, len(text)+5, text) }
	conf := fmt.Sprintf(freeRADIUSTokensConf, dir, dir, RADIUSSecret, InsideV4, ask(0x51, TokenPassword), says(0x51, password), ask(0x52, TokenCode), says(0x52, code))
	return h.freeRADIUS(dir, conf, "")
}

const freeRADIUSTokensConf = `
name = radiusd
prefix = /usr
libdir = /usr/lib/freeradius
logdir = %s
run_dir = %s
security {
	allow_vulnerable_openssl = yes
	status_server = no
}
client gateway {
	ipaddr = 0.0.0.0/0
	secret = "%s"
	require_message_authenticator = yes
}
modules {
	always handled {
		rcode = handled
	}
	always ok {
		rcode = ok
	}
	always reject {
		rcode = reject
	}
}
server default {
	listen {
		type = auth
		ipaddr = %s
		port = 1812
	}
	authorize {
		update control {
			Auth-Type := Tokens
		}
	}
	authenticate {
		Auth-Type Tokens {
			update reply {
				Message-Authenticator := 0x00
			}
			if (!&State && "%%{EAP-Message}" =~ /^0x02......01/) {
				update reply {
					EAP-Message := %s
					State := 0x01
				}
				update control {
					Response-Packet-Type := Access-Challenge
				}
				handled
			}
			elsif ("%%{State}" == "0x01" && "%%{EAP-Message}" =~ %s) {
				update reply {
					EAP-Message := %s
					State := 0x02
				}
				update control {
					Response-Packet-Type := Access-Challenge
				}
				handled
			}
			elsif ("%%{State}" == "0x02" && "%%{EAP-Message}" =~ %s) {
				update reply {
					EAP-Message := 0x03520004
					Class := "staff"
				}
				ok
			}
			else {
				update reply {
					EAP-Message := 0x04520004
				}
				reject
			}
		}
	}
}
`

// freeRADIUS starts FreeRADIUS with a configuration and a users file.
func (h *Host) freeRADIUS(dir, conf, users string) *Process {
	h.lab.t.Helper()
	for name, text := range map[string]string{"radiusd.conf": conf, "users": users} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			h.lab.t.Fatal(err)
		}
	}
	p := h.Start("freeradius", Command("freeradius", "-f", "-x", "-x", "-d", dir, "-D", "/usr/share/freeradius", "-l", "stdout", "-t"))
	for end := time.Now().Add(15 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if strings.Contains(p.Log(), "Ready to process requests") {
			return p
		}
		select {
		case <-p.Done:
			h.lab.t.Fatalf("FreeRADIUS ended at once: %v\n%s", p.Err, p.Log())
		default:
		}
		if time.Now().After(end) {
			h.lab.t.Fatalf("FreeRADIUS does not start\n%s", p.Log())
		}
	}
}
