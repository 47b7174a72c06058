// Package profile holds stored connection profiles: their schema, their strict
// reader and writer, and the importers of foreign formats.
package profile

// A Connection is one stored profile, as its file NAME.toml says it. Values
// are checked by Validate; zero values mean the documented default.
type Connection struct {
	Version  int      `toml:"version"` // of the schema: 1
	Name     string   `toml:"name"`
	Role     string   `toml:"role,omitempty"`     // "initiator" (default) or "responder"
	Profile  string   `toml:"profile,omitempty"`  // "respond" (default), "request" or "require"
	Gateways []string `toml:"gateways,omitempty"` // "vpn.example.com", "192.0.2.1:4500", "[2001:db8::1]"
	// Transport says how an initiator reaches its gateways: over UDP, over TCP
	// (RFC 9329), or by default over TCP where nobody answers on UDP.
	Transport string `toml:"transport,omitempty"` // "auto" (default), "udp" or "tcp"
	// TCPPorts are, "4500" or within TLS "443/tls", the gateway's TCP ports, tried in
	// order; of a responder, without "/tls", the ports where it waits for both.
	// Default: an initiator's "4500", a responder's none.
	TCPPorts []string `toml:"tcp_ports,omitempty"`
	// TLSName is the name that an initiator asks for within TLS; default: the
	// gateway's own.
	TLSName string `toml:"tls_name,omitempty"`
	// Addresses wanted from the gateway: "0.0.0.0" and "::" ask for any, another address asks for that one.
	VirtualIPs []string `toml:"virtual_ips,omitempty"`

	Local    Auth    `toml:"local"`
	Remote   Auth    `toml:"remote"`
	IKE      IKE     `toml:"ike,omitempty"`
	Children []Child `toml:"children"`
	Pools    []Pool  `toml:"pools,omitempty"` // responder: addresses to hand out
	DNS      DNS     `toml:"dns,omitempty"`   // initiator
}

// An Auth says how one end proves who it is.
type Auth struct {
	Method string `toml:"method"` // "psk", "certificate" or "eap"
	// ID is the end's identity. Of the remote: what its identity must be (empty
	// or "%any": any that it proves). Of the local end, empty means the subject of
	// its certificate, or with a PSK the address it sends from.
	ID string `toml:"id,omitempty"`
	// User is whom the gateway asks with EAP. With method "certificate" it does so
	// after the certificate (RFC 4739).
	User string `toml:"user,omitempty"`
	// Secret names the PSK, or the user's password, in the secret store. Of the
	// remote, empty means the same PSK as the local end's. A user without one is
	// asked at each connect.
	Secret string `toml:"secret,omitempty"`
	// Secrets are the pre-shared keys of single peers of a responder, which come
	// before Secret, and with which it proves itself to them too.
	Secrets []PSK `toml:"secrets,omitempty"`
	// WeakSecret lets a pre-shared key be shorter than MinPSK, which is found by
	// trying.
	WeakSecret bool `toml:"weak_secret,omitempty"`
	// Ask says that the user is asked for what opens the own proof, whenever the
	// connection is made: the pre-shared key, which is not stored then, or the
	// passphrase of the private key, which is stored encrypted. It is for the
	// local end of an initiator only.
	Ask bool `toml:"ask,omitempty"`
	// Certificates name files of the certificate store, the end's own first,
	// then intermediates. Key names the private key in the secret store. Both
	// are for the local end only.
	Certificates []string `toml:"certificates,omitempty"`
	Key          string   `toml:"key,omitempty"`
	// Token names, as a PKCS #11 URI (RFC 7512), the private key of the local end on
	// a smart card or token, in place of Key. Its certificate is there too, unless
	// Certificates has it. PIN names the PIN in the secret store; without it the
	// user is asked at each connect.
	Token string `toml:"token,omitempty"`
	PIN   string `toml:"pin,omitempty"`
	// More are further certificates of the local end.
	More []Own `toml:"more,omitempty"`
	// Prefer is the number of the certificate to show where the peer takes
	// several: 1 is that of Certificates, 2 the first of More. 0: an initiator
	// asks its user, a responder shows the first.
	Prefer int `toml:"prefer,omitempty"`
	// CAs name the certificate authorities that the remote's certificate must
	// lead to. An initiator may leave them out when ID names the gateway: then
	// the system's authorities count, and the user is asked about a gateway that
	// they do not know, whose certificate takes their place here.
	CAs []string `toml:"cas,omitempty"`
	// Revocation says what must be known of whether the remote's certificate was
	// revoked: "off", "soft" (the default) or "strict". RevocationPrivate lets
	// servers in private networks be asked.
	Revocation        string `toml:"revocation,omitempty"`
	RevocationPrivate bool   `toml:"revocation_private,omitempty"`
	// WeakCertificates accepts the remote's certificates with RSA keys of 1024 to
	// 2047 bits, and signatures of their authorities over SHA-1.
	WeakCertificates bool `toml:"weak_certificates,omitempty"`
	// Signatures restrict the signature schemes, as "rsa-pss-sha256", "ecdsa-sha384", "ed25519", "rsa-sha256".
	Signatures []string `toml:"signatures,omitempty"`
	EAP        EAP      `toml:"eap,omitempty"`
	// Users names the list of users in the secret store, of the remote end of a
	// responder that asks them with EAP (see ParseUsers).
	Users string `toml:"users,omitempty"`
	// RADIUS says who knows the users in place of such a list.
	RADIUS RADIUS `toml:"radius,omitempty"`
}

// A PSK is the pre-shared key of one peer.
type PSK struct {
	ID     string `toml:"id"` // the peer's identity, or a pattern of it
	Secret string `toml:"secret,omitempty"`
}

// A RADIUS says which servers a responder asks about its users.
type RADIUS struct {
	Servers []string `toml:"servers,omitempty"` // "192.0.2.5", "192.0.2.5:1812": tried in turn
	Secret  string   `toml:"secret,omitempty"`  // names what is shared with them, in the secret store
	NAS     string   `toml:"nas,omitempty"`     // who we are; default: the connection's name
}

// secrets are the fields that name a secret.
func (c *Connection) secrets() []*string {
	refs := []*string{&c.Local.Secret, &c.Local.Key, &c.Local.PIN, &c.Remote.Secret, &c.Remote.Users, &c.Remote.RADIUS.Secret}
	for i := range c.Remote.Secrets {
		refs = append(refs, &c.Remote.Secrets[i].Secret)
	}
	for i := range c.IKE.PPKs {
		refs = append(refs, &c.IKE.PPKs[i].Secret)
	}
	for i := range c.Local.More {
		refs = append(refs, &c.Local.More[i].Key)
	}
	return refs
}

// IKE holds the settings of the IKE SA.
type IKE struct {
	Proposals     []string `toml:"proposals,omitempty"`      // "aes256gcm16-prfsha384-x25519"
	RekeyTime     Duration `toml:"rekey_time,omitempty"`     // default 4h
	LifeTime      Duration `toml:"life_time,omitempty"`      // the SA ends then, rekeyed or not; default rekey_time and an eighth
	ReauthTime    Duration `toml:"reauth_time,omitempty"`    // 0: never
	LivenessDelay Duration `toml:"liveness_delay,omitempty"` // idle time before a liveness check; default 30s
	// RetransmitTimeout and RetransmitTries shape retransmission: the k-th wait is timeout × 1.8^k.
	RetransmitTimeout Duration `toml:"retransmit_timeout,omitempty"` // default 1s
	RetransmitTries   int      `toml:"retransmit_tries,omitempty"`   // default 4
	// Unique closes older IKE SAs of the same peer when it connects again.
	Unique bool `toml:"unique,omitempty"`
	// NoResume gives and takes no tickets (RFC 5723): each loss of the connection
	// proves both ends anew.
	NoResume bool `toml:"no_resume,omitempty"`
	// Quantum says what is wanted of key exchange that withstands quantum computers.
	Quantum string `toml:"quantum,omitempty"`
	// PPKs are post-quantum pre-shared keys: an initiator's one, those of a responder's peers.
	PPKs        []PPK `toml:"ppks,omitempty"`
	PPKRequired bool  `toml:"ppk_required,omitempty"`
	// Childless makes the IKE SA first, and each Child SA with a key exchange of its own.
	Childless bool `toml:"childless,omitempty"`
	// MOBIKE says whether the tunnel may change its outer addresses (RFC 4555):
	// "allow" (the default) or "never". CheckPath lets a responder follow a peer
	// only when it has answered from its new address.
	MOBIKE    string `toml:"mobike,omitempty"`
	CheckPath bool   `toml:"check_path,omitempty"`
	// Redirect is the gateway, an address or a name, to which a responder sends
	// peers that have proved themselves (RFC 5685).
	Redirect string `toml:"redirect,omitempty"`
}

// A Child is one Child SA to negotiate.
type Child struct {
	Name string `toml:"name"`
	// LocalTS and RemoteTS select the traffic: "10.0.0.0/8", "10.0.0.0/8[tcp/443]", "10.0.0.1-10.0.0.9",
	// "dynamic". Dynamic is the end's virtual address where it has one and the
	// address it speaks IKE from where not. Defaults: an initiator's local and a
	// responder's remote "dynamic", the other two "0.0.0.0/0", "::/0".
	LocalTS      []string `toml:"local_ts,omitempty"`
	RemoteTS     []string `toml:"remote_ts,omitempty"`
	Proposals    []string `toml:"proposals,omitempty"`  // "aes256gcm16-x25519"
	RekeyTime    Duration `toml:"rekey_time,omitempty"` // default 1h
	LifeTime     Duration `toml:"life_time,omitempty"`  // the SA ends then, rekeyed or not; default rekey_time and an eighth
	RekeyBytes   uint64   `toml:"rekey_bytes,omitempty"`
	RekeyPackets uint64   `toml:"rekey_packets,omitempty"`
	// PerResourceSAs is how many more Child SAs of the same traffic there are, over
	// which the flows are spread (RFC 9611); OnePerProcessor: one for each processor.
	PerResourceSAs int `toml:"per_resource_sas,omitempty"`
}

// Values of Child.PerResourceSAs.
const (
	OnePerProcessor = -1
	MaxPerResource  = 16
)

// A Pool hands out inner addresses and DNS servers to peers.
type Pool struct {
	Name      string   `toml:"name"`
	Addresses string   `toml:"addresses"` // "10.20.0.0/24" or "10.20.0.10-10.20.0.99"
	DNS       []string `toml:"dns,omitempty"`
	Domains   []string `toml:"domains,omitempty"` // split DNS (RFC 8598)
	// Groups are those of users whom EAP has proved: the pool is for them, and for
	// nobody else. Empty: it is for everybody whose groups have none of their own.
	Groups []string `toml:"groups,omitempty"`
}

// DNS says what to do with the name servers that the gateway assigns.
type DNS struct {
	Ignore  bool     `toml:"ignore,omitempty"`  // leave the machine's DNS alone
	Servers []string `toml:"servers,omitempty"` // instead of the gateway's
	Only    []string `toml:"only,omitempty"`    // ask them only for these domains
}
