package profile

import (
	"reflect"

	"sallyport/core/api"
	"sallyport/core/config"
)

// docs describe the fields of the file format: for the published schema and
// for the comments that Marshal writes.
var docs = config.Docs{
	"Connection.version":     {Doc: "Version of this format: 1.", Required: true},
	"Connection.name":        {Doc: "Name of the connection: letters, digits, '.', '_', '-'. The file is called NAME.toml.", Required: true},
	"Connection.role":        {Doc: "Connect to a gateway (initiator) or wait for peers (responder).", Default: Initiator, Enum: []string{Initiator, Responder}},
	"Connection.profile":     {Doc: "What may travel unprotected: respond (secure when asked), request (secure when possible), require (secure or nothing).", Default: string(api.Respond), Enum: []string{string(api.Respond), string(api.Request), string(api.Require)}},
	"Connection.gateways":    {Doc: "Initiator: gateways to try in order, \"host\", \"host:port\", \"[IPv6]:port\"."},
	"Connection.transport":   {Doc: "Initiator: reach the gateway over UDP, over TCP (RFC 9329), or over TCP only where nobody answers on UDP (auto).", Default: TransportAuto, Enum: []string{TransportAuto, TransportUDP, TransportTCP}},
	"Connection.tcp_ports":   {Doc: "TCP ports of the gateway, tried in order: \"4500\", or within TLS \"443/tls\". Of a responder: where it waits for peers, bare and within TLS: \"4500\".", Default: "initiator: 4500; responder: none"},
	"Connection.tls_name":    {Doc: "Initiator: server name to ask for within TLS.", Default: "the gateway's name"},
	"Connection.virtual_ips": {Doc: "Initiator: inner addresses to ask the gateway for; \"0.0.0.0\" and \"::\" take any of that family.", Default: "ask for none"},
	"Connection.local":       {Doc: "How this end proves who it is.", Required: true},
	"Connection.remote":      {Doc: "How the other end must prove who it is.", Required: true},
	"Connection.ike":         {Doc: "The IKE SA: the control channel."},
	"Connection.children":    {Doc: "The traffic to protect, one table each.", Required: true},
	"Connection.pools":       {Doc: "Responder: inner addresses and name servers to hand out to peers."},
	"Connection.dns":         {Doc: "Initiator: what to do with the gateway's name servers."},

	"Auth.method":             {Doc: "Pre-shared key (psk), X.509 certificate (certificate), or a user whom the gateway asks (eap; local end of an initiator).", Required: true, Enum: []string{MethodPSK, MethodCertificate, MethodEAP}},
	"Auth.user":               {Doc: "Local: the user whom the gateway asks with EAP; with method = \"certificate\" after the certificate (RFC 4739)."},
	"Auth.eap":                {Doc: "Local: how the user answers."},
	"Auth.users":              {Doc: "Remote, responder: name of the list of users in the secret store: [[users]] with name, password and groups. Beside method = \"certificate\" or \"psk\" they prove themselves after their machine (RFC 4739)."},
	"Auth.radius":             {Doc: "Remote, responder: the servers that know the users, in place of a list."},
	"RADIUS.servers":          {Doc: "RADIUS servers, tried in turn: \"192.0.2.5\", \"192.0.2.5:1812\"."},
	"RADIUS.secret":           {Doc: "Name of what is shared with them, in the secret store."},
	"RADIUS.nas":              {Doc: "NAS-Identifier: who we are.", Default: "the connection's name"},
	"Pool.groups":             {Doc: "Groups of users, proved by EAP, whom the pool is for, and for nobody else.", Default: "everybody whose groups have no pool of their own"},
	"EAP.methods":             {Doc: "Methods of EAP allowed, the preferred first: mschapv2, gtc, tls, ttls, peap.", Default: "all that the connection has the means for"},
	"EAP.inner":               {Doc: "Methods allowed within TTLS and PEAP: mschapv2, gtc, and within TTLS pap, which stands alone.", Default: "mschapv2, gtc"},
	"EAP.anonymous":           {Doc: "Name that TTLS and PEAP say outside of TLS.", Default: "user"},
	"EAP.server":              {Doc: "Identity in the certificate of the server behind tls, ttls and peap.", Default: "that of the gateway"},
	"EAP.only":                {Doc: "The gateway may prove itself within EAP alone (RFC 5998): by tls, ttls or peap.", Default: "false"},
	"Auth.id":                 {Doc: "Identity: host name, user@host, address, or distinguished name. Of the remote end it may be a pattern, as \"*.example.com\" or \"%any\".", Default: "local: the certificate's subject, or with a PSK the own address; remote: any that it proves"},
	"Auth.secret":             {Doc: "Name of the pre-shared key, or of the user's password, in the secret store; never the secret itself.", Default: "remote: the local one"},
	"Auth.secrets":            {Doc: "Remote, responder: pre-shared keys of single peers; the others prove secret."},
	"Auth.weak_secret":        {Doc: "The pre-shared key may be shorter than 8 bytes, although it is found by trying.", Default: "false"},
	"PSK.id":                  {Doc: "Identity of the peer, or a pattern of it, as \"*.example.com\".", Required: true},
	"PSK.secret":              {Doc: "Name of its pre-shared key in the secret store.", Required: true},
	"Auth.ask":                {Doc: "Local: ask the user at each connect for the pre-shared key, or for the passphrase of the private key, which is stored encrypted.", Default: "false"},
	"Auth.certificates":       {Doc: "Local: the own certificate, then intermediates. In a file to import, each is a file beside it, or the certificate itself in PEM."},
	"Auth.key":                {Doc: "Local: name of the private key in the secret store."},
	"Auth.token":              {Doc: "Local: private key and certificate on a smart card or token, as a PKCS #11 URI (RFC 7512): \"pkcs11:token=Alice;id=%01\"; \"sallyport tokens\" lists them."},
	"Auth.pin":                {Doc: "Local: name of the token's PIN in the secret store; never the PIN itself.", Default: "it is asked for at each connect"},
	"Auth.more":               {Doc: "Local: further certificates, each shown to a peer that asks for its authority and not for that of the first."},
	"Auth.prefer":             {Doc: "Local: number of the certificate to show where the gateway takes several: 1 is the first, 2 that of the first [[local.more]].", Default: "initiator: the user is asked; responder: the first"},
	"Own.id":                  {Doc: "Own identity with this certificate.", Default: "the certificate's subject"},
	"Own.certificates":        {Doc: "The certificate, then intermediates, and the authority where remote.cas does not name it.", Required: true},
	"Own.key":                 {Doc: "Name of its private key in the secret store."},
	"Auth.cas":                {Doc: "Remote: certificate authorities that its certificate must lead to, written like certificates.", Default: "initiator whose remote.id names the gateway: the system's, and the user is asked about an unknown gateway"},
	"Auth.revocation":         {Doc: "Remote: refuse a certificate that its authority has revoked (soft), one that is not known to be good (strict), or do not ask (off).", Default: RevocationSoft, Enum: []string{RevocationOff, RevocationSoft, RevocationStrict}},
	"Auth.revocation_private": {Doc: "Remote: servers in private networks may be asked whether a certificate was revoked.", Default: "false"},
	"Auth.weak_certificates":  {Doc: "Remote: accept its certificate and those of its authorities with RSA keys of 1024 to 2047 bits and with signatures over SHA-1, which somebody with means can forge.", Default: "false"},
	"Auth.signatures":         {Doc: "Signature schemes allowed: rsa-pss-sha256/384/512, rsa-sha256/384/512, ecdsa-sha256/384/512, ed25519, and rsa-sha1, which is weak.", Default: "every one that is not weak"},

	"IKE.proposals":          {Doc: "Algorithms in order of preference, as \"aes256gcm16-prfsha384-x25519\"; \"default\" stands for the built-in list.", Default: "default"},
	"IKE.rekey_time":         {Doc: "New keys after.", Default: "4h"},
	"IKE.life_time":          {Doc: "The IKE SA ends then, rekeyed or not.", Default: "rekey_time and an eighth"},
	"IKE.reauth_time":        {Doc: "Prove both identities again after.", Default: "never"},
	"IKE.liveness_delay":     {Doc: "Ask a silent peer for a sign of life after.", Default: "30s"},
	"IKE.retransmit_timeout": {Doc: "First wait for an answer; each further wait is 1.8 times as long.", Default: "1s"},
	"IKE.retransmit_tries":   {Doc: "Retransmissions before the peer counts as dead.", Default: "4"},
	"IKE.unique":             {Doc: "Close older IKE SAs of the same peer when it connects again.", Default: "only when the peer says that it has lost them"},
	"IKE.no_resume":          {Doc: "Prove both identities again whenever the connection was lost, instead of resuming it with a ticket (RFC 5723).", Default: "false"},
	"IKE.mobike":             {Doc: "The tunnel may go on from another address after a change of network (MOBIKE, RFC 4555).", Default: MOBIKEAllow, Enum: []string{MOBIKEAllow, MOBIKENever}},
	"IKE.redirect":           {Doc: "Responder: the gateway, an address or a name, to send peers to once they have proved themselves (RFC 5685), as when this one is to go.", Default: "none: they are served here"},
	"IKE.check_path":         {Doc: "Responder: follow a peer to another address only when it has answered from there.", Default: "false"},

	"IKE.quantum":      {Doc: "Key exchange that withstands quantum computers (ML-KEM after the first one, RFC 9370): prefer it and do without where the gateway cannot, require it, or leave it off.", Default: "prefer with the built-in proposals; as ike.proposals say with others", Enum: []string{QuantumPrefer, QuantumRequire, QuantumOff}},
	"IKE.ppks":         {Doc: "Post-quantum pre-shared keys (RFC 8784): the one of an initiator, those of a responder's peers."},
	"IKE.ppk_required": {Doc: "Refuse the other end without a post-quantum pre-shared key.", Default: "false"},
	"IKE.childless":    {Doc: "Initiator: make the IKE SA first, where the gateway can (RFC 6023), and every Child SA with a key exchange of its own.", Default: "false"},
	"PPK.id":           {Doc: "Name of the key, as both ends know it.", Required: true},
	"PPK.secret":       {Doc: "Name of the key in the secret store. In a file to import, a file that holds it: as it is, in hexadecimal after 0x, or in base64 after 0s."},

	"Child.name":             {Doc: "Name of the child: letters, digits, '.', '_', '-'.", Required: true},
	"Child.local_ts":         {Doc: "Own side of the traffic: \"10.0.0.0/8\", \"10.0.0.1-10.0.0.9\", \"10.0.0.0/8[tcp/443]\", \"dynamic\" (the virtual address, or without one the IKE address).", Default: "initiator: dynamic; responder: everything"},
	"Child.remote_ts":        {Doc: "Other side of the traffic, written like local_ts.", Default: "initiator: everything; responder: dynamic"},
	"Child.proposals":        {Doc: "Algorithms in order of preference, as \"aes256gcm16-x25519\"; with a key exchange each rekeying has forward secrecy.", Default: "default"},
	"Child.rekey_time":       {Doc: "New keys after.", Default: "1h"},
	"Child.life_time":        {Doc: "The Child SA ends then, rekeyed or not.", Default: "rekey_time and an eighth"},
	"Child.rekey_bytes":      {Doc: "New keys after that many bytes.", Default: "no limit but the cipher's"},
	"Child.rekey_packets":    {Doc: "New keys after that many packets.", Default: "no limit but the cipher's"},
	"Child.per_resource_sas": {Doc: "How many more Child SAs of the same traffic the flows are spread over where the other end can (RFC 9611): the initiator asks for them, the responder allows that many; -1 is one for each processor.", Default: "0", Least: OnePerProcessor},

	"Pool.name":      {Doc: "Name of the pool.", Required: true},
	"Pool.addresses": {Doc: "Addresses to hand out: \"10.20.0.0/24\" or \"10.20.0.10-10.20.0.99\".", Required: true},
	"Pool.dns":       {Doc: "Name servers to hand out."},
	"Pool.domains":   {Doc: "Domains that these name servers answer for (RFC 8598).", Default: "every name"},

	"DNS.ignore":  {Doc: "Leave the machine's DNS as it is.", Default: "false"},
	"DNS.servers": {Doc: "Name servers to use instead of the gateway's."},
	"DNS.only":    {Doc: "Domains to ask these name servers for.", Default: "what the gateway says, or every name"},
}

// Schema returns the JSON Schema of the file format, as published in docs.
// What a schema cannot say (which fields exclude one another, the syntax of
// proposals) Parse checks.
func Schema() []byte {
	return config.Schema("Sallyport connection profile (TOML)", reflect.TypeFor[Connection](), docs)
}
