package lab

import (
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
	conf := strings.NewReplacer("DIR", dir, "SECRET", RADIUSSecret, "SERVER", server, "CA.crt", ca+".crt", "ADDRESS", InsideV4.String(), "TLSVERSION", tls).Replace(freeRADIUSConf)
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
