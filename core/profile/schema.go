package profile

import (
	"encoding/json"
	"reflect"
	"strings"

	"sallyport/core/api"
)

// A fieldDoc describes one field of the file format: for the published schema
// and for the comments that Marshal writes.
type fieldDoc struct {
	doc      string
	byItself string // default, in words
	enum     []string
	required bool
}

const durationPattern = `^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`

// fieldDocs is keyed by "Type.toml_name".
var fieldDocs = map[string]fieldDoc{
	"Connection.version":     {doc: "Version of this format: 1.", required: true},
	"Connection.name":        {doc: "Name of the connection: letters, digits, '.', '_', '-'. The file is called NAME.toml.", required: true},
	"Connection.role":        {doc: "Connect to a gateway (initiator) or wait for peers (responder).", byItself: Initiator, enum: []string{Initiator, Responder}},
	"Connection.profile":     {doc: "What may travel unprotected: respond (secure when asked), request (secure when possible), require (secure or nothing).", byItself: string(api.Respond), enum: []string{string(api.Respond), string(api.Request), string(api.Require)}},
	"Connection.gateways":    {doc: "Initiator: gateways to try in order, \"host\", \"host:port\", \"[IPv6]:port\"."},
	"Connection.virtual_ips": {doc: "Initiator: inner addresses to ask the gateway for; \"0.0.0.0\" and \"::\" take any of that family.", byItself: "ask for none"},
	"Connection.local":       {doc: "How this end proves who it is.", required: true},
	"Connection.remote":      {doc: "How the other end must prove who it is.", required: true},
	"Connection.ike":         {doc: "The IKE SA: the control channel."},
	"Connection.children":    {doc: "The traffic to protect, one table each.", required: true},
	"Connection.pools":       {doc: "Responder: inner addresses and name servers to hand out to peers."},
	"Connection.dns":         {doc: "Initiator: what to do with the gateway's name servers."},

	"Auth.method":       {doc: "Pre-shared key (psk) or X.509 certificate (certificate).", required: true, enum: []string{MethodPSK, MethodCertificate}},
	"Auth.id":           {doc: "Identity: host name, user@host, address, or distinguished name. Of the remote end it may be a pattern, as \"*.example.com\" or \"%any\".", byItself: "local: the certificate's subject, or with a PSK the own address; remote: any that it proves"},
	"Auth.secret":       {doc: "Name of the pre-shared key in the secret store; never the key itself.", byItself: "remote: the local one"},
	"Auth.certificates": {doc: "Local: the own certificate, then intermediates."},
	"Auth.key":          {doc: "Local: name of the private key in the secret store."},
	"Auth.cas":          {doc: "Remote: certificate authorities that its certificate must lead to."},
	"Auth.signatures":   {doc: "Signature schemes allowed: rsa-pss-sha256/384/512, rsa-sha256/384/512, ecdsa-sha256/384/512, ed25519, and rsa-sha1, which is weak.", byItself: "every one that is not weak"},

	"IKE.proposals":          {doc: "Algorithms in order of preference, as \"aes256gcm16-prfsha384-x25519\"; \"default\" stands for the built-in list.", byItself: "default"},
	"IKE.rekey_time":         {doc: "New keys after.", byItself: "4h"},
	"IKE.life_time":          {doc: "The IKE SA ends then, rekeyed or not.", byItself: "rekey_time and an eighth"},
	"IKE.reauth_time":        {doc: "Prove both identities again after.", byItself: "never"},
	"IKE.liveness_delay":     {doc: "Ask a silent peer for a sign of life after.", byItself: "30s"},
	"IKE.retransmit_timeout": {doc: "First wait for an answer; each further wait is 1.8 times as long.", byItself: "1s"},
	"IKE.retransmit_tries":   {doc: "Retransmissions before the peer counts as dead.", byItself: "4"},
	"IKE.unique":             {doc: "Close older IKE SAs of the same peer when it connects again.", byItself: "only when the peer says that it has lost them"},

	"Child.name":          {doc: "Name of the child: letters, digits, '.', '_', '-'.", required: true},
	"Child.local_ts":      {doc: "Own side of the traffic: \"10.0.0.0/8\", \"10.0.0.1-10.0.0.9\", \"10.0.0.0/8[tcp/443]\", \"dynamic\" (the virtual address, or without one the IKE address).", byItself: "initiator: dynamic; responder: everything"},
	"Child.remote_ts":     {doc: "Other side of the traffic, written like local_ts.", byItself: "initiator: everything; responder: dynamic"},
	"Child.proposals":     {doc: "Algorithms in order of preference, as \"aes256gcm16-x25519\"; with a key exchange each rekeying has forward secrecy.", byItself: "default"},
	"Child.rekey_time":    {doc: "New keys after.", byItself: "1h"},
	"Child.life_time":     {doc: "The Child SA ends then, rekeyed or not.", byItself: "rekey_time and an eighth"},
	"Child.rekey_bytes":   {doc: "New keys after that many bytes.", byItself: "no limit but the cipher's"},
	"Child.rekey_packets": {doc: "New keys after that many packets.", byItself: "no limit but the cipher's"},

	"Pool.name":      {doc: "Name of the pool.", required: true},
	"Pool.addresses": {doc: "Addresses to hand out: \"10.20.0.0/24\" or \"10.20.0.10-10.20.0.99\".", required: true},
	"Pool.dns":       {doc: "Name servers to hand out."},
	"Pool.domains":   {doc: "Domains that these name servers answer for (RFC 8598).", byItself: "every name"},

	"DNS.ignore":  {doc: "Leave the machine's DNS as it is.", byItself: "false"},
	"DNS.servers": {doc: "Name servers to use instead of the gateway's."},
	"DNS.only":    {doc: "Domains to ask these name servers for.", byItself: "what the gateway says, or every name"},
}

func docOf(t reflect.Type, name string) fieldDoc { return fieldDocs[t.Name()+"."+name] }

// Schema returns the JSON Schema of the file format, as published in docs.
// What a schema cannot say (which fields exclude one another, the syntax of
// proposals) Parse checks.
func Schema() []byte {
	s := tableSchema(reflect.TypeFor[Connection]())
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "Sallyport connection profile (TOML)"
	out, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		// Maps of strings, numbers and lists always marshal.
		panic("profile: " + err.Error())
	}
	return append(out, '\n')
}

func tableSchema(t reflect.Type) map[string]any {
	properties, required := map[string]any{}, []string{}
	for i, name := range fieldNames(t) {
		d := docOf(t, name)
		p := valueSchema(t.Field(i).Type)
		p["description"] = d.doc
		if d.byItself != "" {
			p["description"] = d.doc + " Default: " + strings.TrimSuffix(d.byItself, ".") + "."
		}
		if d.enum != nil {
			p["enum"] = d.enum
		}
		if d.required {
			required = append(required, name)
		}
		properties[name] = p
	}
	s := map[string]any{"type": "object", "additionalProperties": false, "properties": properties}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

func valueSchema(t reflect.Type) map[string]any {
	if t == reflect.TypeFor[Duration]() {
		return map[string]any{"type": "string", "pattern": durationPattern}
	}
	switch t.Kind() {
	case reflect.Struct:
		return tableSchema(t)
	case reflect.Slice:
		return map[string]any{"type": "array", "maxItems": maxItems, "items": valueSchema(t.Elem())}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int, reflect.Uint64:
		return map[string]any{"type": "integer", "minimum": 0}
	}
	return map[string]any{"type": "string"}
}
