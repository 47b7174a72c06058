package interop_test

import (
	"testing"

	"sallyport/platform/internal/lab"
)

// gatewayConf is strongSwan as a company's gateway: one connection per kind of
// client, chosen by the identity that the client asks for. Its first IKE
// proposal is not what a client guesses first, which leads to
// INVALID_KE_PAYLOAD.
const gatewayConf = `
conn-defaults {
  version = 2
  local_addrs = 198.51.100.1, 2001:db8:1::1
  send_cert = always
  pools = v4, v6
  proposals = aes256gcm16-prfsha384-ecp384, aes128-sha256-x25519, aes256-sha512-modp2048, chacha20poly1305-prfsha512-ecp521, default
  children {
    net : child-defaults {
    }
  }
}
child-defaults {
  local_ts = 10.10.0.0/16, fd00:10::/64
  esp_proposals = aes256gcm16-ecp384, aes128gcm16-x25519, chacha20poly1305-ecp521, aes256-sha512-modp2048, default
}
psk-auth {
  local {
    auth = psk
  }
  remote {
    auth = psk
  }
}
connections {
  psk : conn-defaults, psk-auth {
    local {
      id = psk.vpn.test
    }
  }
  full : conn-defaults, psk-auth {
    local {
      id = full.vpn.test
    }
    children {
      net {
        local_ts = 0.0.0.0/0, ::/0
      }
    }
  }
  cbc : conn-defaults, psk-auth {
    proposals = aes256-sha512-modp2048
    local {
      id = cbc.vpn.test
    }
    children {
      net {
        esp_proposals = aes256-sha512-modp2048
      }
    }
  }
  chacha : conn-defaults, psk-auth {
    proposals = chacha20poly1305-prfsha512-ecp521
    local {
      id = chacha.vpn.test
    }
    children {
      net {
        esp_proposals = chacha20poly1305-ecp521
      }
    }
  }
  rsa : conn-defaults {
    local {
      auth = pubkey
      id = rsa.vpn.test
      certs = gw-rsa.crt
    }
    remote {
      auth = pubkey
      cacerts = ca-rsa.crt
    }
  }
  pss : conn-defaults {
    local {
      auth = rsa/pss-sha256
      id = pss.vpn.test
      certs = gw-pss.crt
    }
    remote {
      auth = ike:rsa/pss-sha384
      cacerts = ca-rsa.crt
    }
  }
  ecdsa256 : conn-defaults {
    local {
      auth = pubkey
      id = ecdsa256.vpn.test
      certs = gw-ecdsa256.crt
    }
    remote {
      auth = pubkey
      cacerts = ca-ecdsa256.crt
    }
  }
  ecdsa384 : conn-defaults {
    local {
      auth = pubkey
      id = ecdsa384.vpn.test
      certs = gw-ecdsa384.crt
    }
    remote {
      auth = pubkey
      cacerts = ca-ecdsa384.crt
    }
  }
  ecdsa521 : conn-defaults {
    local {
      auth = pubkey
      id = ecdsa521.vpn.test
      certs = gw-ecdsa521.crt
    }
    remote {
      auth = pubkey
      cacerts = ca-ecdsa521.crt
    }
  }
  ed25519 : conn-defaults {
    local {
      auth = pubkey
      id = ed25519.vpn.test
      certs = gw-ed25519.crt
    }
    remote {
      auth = pubkey
      cacerts = ca-ed25519.crt
    }
  }
  inter : conn-defaults {
    local {
      auth = pubkey
      id = inter.vpn.test
      certs = gw-inter.crt, inter.crt
    }
    remote {
      auth = pubkey
      cacerts = ca-ecdsa256.crt
    }
  }
  expired : conn-defaults {
    local {
      auth = pubkey
      id = expired.vpn.test
      certs = gw-expired.crt
    }
    remote {
      auth = pubkey
      cacerts = ca-ecdsa256.crt
    }
  }
  other : conn-defaults {
    local {
      auth = pubkey
      id = other.vpn.test
      certs = gw-other.crt
    }
    remote {
      auth = pubkey
      cacerts = ca-ecdsa256.crt
    }
  }
}
pools {
  v4 {
    addrs = 10.20.0.0/24
    dns = 10.10.0.10
  }
  v6 {
    addrs = fd00:20::/120
    dns = fd00:10::10
  }
}
secrets {
  ike-psk {
    secret = "correct horse battery staple"
  }
}
`

// newPKI issues what gatewayConf and the clients' files name.
func newPKI(t testing.TB) *lab.PKI {
	t.Helper()
	p := lab.NewPKI(t)
	for _, key := range []string{"rsa", "ecdsa256", "ecdsa384", "ecdsa521", "ed25519"} {
		p.Issue(t, lab.Leaf{Name: "gw-" + key, Issuer: "ca-" + key, Key: key, SANs: []string{key + ".vpn.test"}})
		p.Issue(t, lab.Leaf{Name: "alice-" + key, Issuer: "ca-" + key, Key: key, SANs: []string{"alice@vpn.test"}, Client: true})
	}
	p.Issue(t, lab.Leaf{Name: "gw-pss", Issuer: "ca-rsa", Key: "rsa", SANs: []string{"pss.vpn.test"}})
	p.Issue(t, lab.Leaf{Name: "inter", Issuer: "ca-ecdsa256", Key: "ecdsa256", CA: true})
	p.Issue(t, lab.Leaf{Name: "gw-inter", Issuer: "inter", Key: "ecdsa256", SANs: []string{"inter.vpn.test"}})
	p.Issue(t, lab.Leaf{Name: "alice-inter", Issuer: "inter", Key: "ecdsa256", SANs: []string{"alice@vpn.test"}, Client: true})
	p.Issue(t, lab.Leaf{Name: "gw-other", Issuer: "ca-other", Key: "ecdsa256", SANs: []string{"other.vpn.test"}})
	p.Issue(t, lab.Leaf{Name: "gw-expired", Issuer: "ca-ecdsa256", Key: "ecdsa256", SANs: []string{"expired.vpn.test"},
		NotBefore: longAgo, NotAfter: longAgo.AddDate(1, 0, 0)})
	return p
}

// newGateway starts strongSwan as the gateway of a laboratory.
func newGateway(t testing.TB, l *lab.Lab, p *lab.PKI, options ...string) *lab.StrongSwan {
	t.Helper()
	dir := l.SwanDir("gateway", gatewayConf)
	names := []string{"gw-rsa", "gw-pss", "gw-ecdsa256", "gw-ecdsa384", "gw-ecdsa521", "gw-ed25519", "gw-inter", "gw-other", "gw-expired"}
	p.Install(t, dir, append([]string{"inter", "ca-rsa", "ca-ecdsa256", "ca-ecdsa384", "ca-ecdsa521", "ca-ed25519"}, names...), names)
	return l.Gateway.StrongSwan(dir, options...)
}
