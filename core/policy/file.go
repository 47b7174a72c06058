package policy

import (
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"

	"sallyport/core/config"
)

// Limits of a policy file.
const (
	maxFile    = 8 << 20
	maxLists   = 1024
	maxFilters = 20_000 // of one list
	maxName    = 128
	maxText    = 1024 // of a description
)

// Parse reads a policy file. The file's name serves the messages only. The
// error joins every fault found, each a *config.Error. What depends on the
// machine Validate checks.
func Parse(file string, data []byte) (*Policy, error) {
	tree, err := config.Parse(file, data, maxFile)
	if err != nil {
		return nil, err
	}
	p := new(Policy)
	if err := tree.Decode(p, docs); err != nil {
		return nil, err
	}
	p.source = tree
	if err := p.check().Err(); err != nil {
		return nil, err
	}
	return p, nil
}

// Marshal writes p as the file that Parse reads: the export.
func Marshal(p *Policy) []byte {
	return config.Marshal("A Sallyport IPsec policy. It does nothing until it is assigned. Secrets are elsewhere: this file only names them.", p, docs)
}

// Schema returns the JSON Schema of the file format, as published in docs.
func Schema() []byte {
	return config.Schema("Sallyport IPsec policy (TOML)", reflect.TypeFor[Policy](), docs)
}

// CheckName reports what keeps name from naming a policy: it becomes a file
// name on every system.
func CheckName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("is missing")
	case len(name) > maxName:
		return fmt.Errorf("%s is longer than %d bytes", shown(name), maxName)
	}
	for _, r := range name {
		if !letterOrDigit(r) && !strings.ContainsRune(" ._-()+", r) {
			return fmt.Errorf("%s holds %q; letters, digits, spaces and \"._-()+\" are allowed", shown(name), r)
		}
	}
	if !letterOrDigit(rune(name[0])) || strings.ContainsRune(". ", rune(name[len(name)-1])) {
		return fmt.Errorf("%s must begin with a letter or digit and not end in a dot or space", shown(name))
	}
	base, _, _ := strings.Cut(strings.ToUpper(name), ".")
	base = strings.TrimRight(base, " ")
	device := base == "CON" || base == "PRN" || base == "AUX" || base == "NUL"
	if len(base) == 4 && (base[:3] == "COM" || base[:3] == "LPT") && '0' <= base[3] && base[3] <= '9' || device {
		return fmt.Errorf("%s is a device on Windows", shown(name))
	}
	return nil
}

func letterOrDigit(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
}

// clean reports whether s is printable text of one line.
func clean(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool {
		return r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0x2028 || r == 0x2029
	}) < 0
}

var docs = config.Docs{
	"Policy.version":          {Doc: "Version of this format: 1.", Required: true},
	"Policy.name":             {Doc: "Name of the policy. The file is called NAME.toml.", Required: true},
	"Policy.description":      {Doc: "What the policy is for."},
	"Policy.key_exchange":     {Doc: "Main mode: the IKE SA."},
	"Policy.default_response": {Doc: "The default response rule: peers for whose traffic no rule negotiates."},
	"Policy.downgrade":        {Doc: "The memory of where protection has worked: there a later failure blocks and asks."},
	"Policy.exemptions":       {Doc: "What passes in clear text all the same, beside IKE and ESP of the service, DHCP, neighbour discovery and loopback."},
	"Policy.filter_lists":     {Doc: "Which packets, by name. \"" + ListAllIP + "\" and \"" + ListAllICMP + "\" are there without being written.", MaxItems: maxLists},
	"Policy.filter_actions":   {Doc: "What happens to them, by name. \"" + StockPermit + "\", \"" + StockBlock + "\", \"" + StockRespond + "\", \"" + StockRequest + "\" and \"" + StockRequire + "\" are there without being written.", MaxItems: maxLists},
	"Policy.rules":            {Doc: "The rules: the most specific filter decides, not the order of the file.", MaxItems: maxLists},

	"Rule.name":            {Doc: "Name of the rule.", Required: true},
	"Rule.filter_list":     {Doc: "Name of the filter list.", Required: true},
	"Rule.filter_action":   {Doc: "Name of the filter action.", Required: true},
	"Rule.tunnel":          {Doc: "Tunnel endpoint: the name of a connection or the address of a gateway.", Default: "none: host to host, the peer is the destination"},
	"Rule.connection_type": {Doc: "Interfaces that the rule is for: all, lan, or remote (dialled, cellular, tunnels of others).", Default: TypeAll, Enum: []string{TypeAll, TypeLAN, TypeRemote}},
	"Rule.enabled":         {Doc: "Whether the rule is in force.", Default: "true"},
	"Rule.auth":            {Doc: "Authentication methods, in order of preference. With a connection as tunnel endpoint the connection's own serve."},

	"FilterList.name":        {Doc: "Name of the filter list.", Required: true},
	"FilterList.description": {Doc: "What it is for."},
	"FilterList.filters":     {Doc: "The filters; a packet that one of them matches is in the list.", Required: true, MaxItems: maxFilters},

	"Filter.source":           {Doc: "An address, a prefix \"10.0.0.0/8\", a range \"10.0.0.1-10.0.0.9\", \"me\" (this machine), \"any\", or \"gateway\" (the rule's tunnel endpoint).", Required: true},
	"Filter.destination":      {Doc: "Written like source.", Required: true},
	"Filter.protocol":         {Doc: "\"tcp\", \"udp\", \"icmp\" (of either address family), another name, or a number.", Default: "any"},
	"Filter.source_port":      {Doc: "A port, a service's name or a range \"1024-65535\".", Default: "any"},
	"Filter.destination_port": {Doc: "Written like source_port.", Default: "any"},
	"Filter.mirrored":         {Doc: "Whether packets with source and destination exchanged match too. A filter of a rule that negotiates must say true.", Default: "true"},

	"FilterAction.name":                  {Doc: "Name of the filter action.", Required: true},
	"FilterAction.description":           {Doc: "What it is for."},
	"FilterAction.action":                {Doc: "Let packets pass, stop them, or negotiate security.", Required: true, Enum: []string{ActionPermit, ActionBlock, ActionNegotiate}},
	"FilterAction.methods":               {Doc: "Security methods: ESP algorithms in order of preference, as \"aes256gcm16\"; \"default\" stands for the built-in list.", Default: "default"},
	"FilterAction.accept_unsecured":      {Doc: "Accept unsecured communication, but always respond using IPsec.", Default: "false"},
	"FilterAction.fallback_to_unsecured": {Doc: "Allow clear text with a peer that cannot or will not negotiate. It is shown, and never done where protection has worked before.", Default: "false"},
	"FilterAction.fallback_time":         {Doc: "How long clear text lasts before security is asked for again.", Default: "5m"},
	"FilterAction.respond_only":          {Doc: "Traffic starts no negotiation; the peer or the user does.", Default: "false"},
	"FilterAction.session_key_pfs":       {Doc: "A new key exchange for each session key.", Default: "false"},
	"FilterAction.rekey_seconds":         {Doc: "New session keys after that many seconds.", Default: "3600"},
	"FilterAction.rekey_kilobytes":       {Doc: "New session keys after that many kilobytes.", Default: "the cipher's limit"},

	"AuthMethod.method":       {Doc: "X.509 certificate (certificate), pre-shared key (psk), or the user whom a peer asks for (eap) that has proved itself with a certificate; of the end that begins.", Required: true, Enum: []string{MethodCertificate, MethodPSK, MethodEAP}},
	"AuthMethod.user":         {Doc: "EAP: the name that the peer knows the user by."},
	"AuthMethod.eap_methods":  {Doc: "EAP: methods allowed, the preferred first: mschapv2, gtc, tls, ttls, peap.", Default: "all that there are the means for"},
	"AuthMethod.cas":          {Doc: "Certificate, EAP: authorities that the peer's certificate must lead to, from the certificate store."},
	"AuthMethod.certificates": {Doc: "Certificate: our own, then intermediates, from the certificate store. EAP: the user's, for EAP-TLS."},
	"AuthMethod.key":          {Doc: "Certificate: name of its private key in the secret store."},
	"AuthMethod.secret":       {Doc: "Pre-shared key, or password of the user: its name in the secret store; never the secret itself. A password that is missing is asked for, with a gateway as tunnel endpoint."},
	"AuthMethod.local_id":     {Doc: "Who we are.", Default: "the certificate's subject, or with a pre-shared key the own address"},
	"AuthMethod.remote_id":    {Doc: "Who the peer must be, or a pattern, as \"*.example.com\".", Default: "whomever its certificate or the key proves; required with eap"},

	"KeyExchange.methods":        {Doc: "Main mode methods: IKE algorithms in order of preference, as \"aes256gcm16-prfsha384-x25519\"; \"default\" stands for the built-in list.", Default: "default"},
	"KeyExchange.master_key_pfs": {Doc: "A new IKE SA for each session key.", Default: "false"},
	"KeyExchange.lifetime":       {Doc: "New master keys after.", Default: "8h"},

	"DefaultResponse.enabled": {Doc: "Whether to answer.", Default: "false"},
	"DefaultResponse.methods": {Doc: "Security methods, as in a filter action.", Default: "default"},
	"DefaultResponse.auth":    {Doc: "Authentication methods, in order of preference."},

	"Downgrade.ttl":  {Doc: "How long it is remembered, from the last time that protection worked.", Default: "720h"},
	"Downgrade.pins": {Doc: "Addresses, prefixes or ranges of peers with whom communication is never unsecured, as if protection had worked before.", MaxItems: maxFilters},

	"Exemptions.lan":           {Doc: "The networks of the LAN interfaces, as far as their addresses are private or link-local, without their name servers. Rules that name private addresses win.", Default: "false"},
	"Exemptions.lan_discovery": {Doc: "With lan: multicast DNS, LLMNR and SSDP.", Default: "false"},
}
