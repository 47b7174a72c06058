// Package trace writes the payloads of IKE messages for people. What it writes
// holds no key, no nonce, no proof of identity and no content of EAP: of these
// it gives the length alone, whoever sent them.
package trace

import (
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"sallyport/core/api"
	"sallyport/core/ike/auth"
	"sallyport/core/ike/message"
	"sallyport/core/pki"
	"sallyport/core/transform"
)

// Limits of what is written of one message. Peers choose what is in it.
const (
	maxPayloads = 64
	maxFields   = 32      // of one payload
	maxValue    = 600     // bytes of one value
	maxText     = 8 << 10 // bytes of all values
)

// Payloads describes the payloads of a message.
func Payloads(list []message.Payload) []api.Payload {
	out := make([]api.Payload, 0, min(len(list), maxPayloads))
	room := maxText
	for i, p := range list {
		if i == maxPayloads {
			out = append(out, api.Payload{Name: fmt.Sprintf("and %d more", len(list)-i)})
			break
		}
		w := writer{room: room}
		w.payload(p)
		room = w.room
		out = append(out, api.Payload{Name: name(p), Size: size(p), Fields: w.fields})
	}
	return out
}

// genericLen is the length of a payload's header.
const genericLen = 4

func size(p message.Payload) int {
	switch p := p.(type) {
	case *message.Encrypted:
		return genericLen + len(p.Body)
	case *message.Fragment:
		return 2*genericLen + len(p.Body)
	}
	return genericLen + len(p.AppendTo(nil))
}

func name(p message.Payload) string {
	if n, ok := p.(*message.Notify); ok {
		return "N(" + n.Kind.String() + ")"
	}
	return p.Type().String()
}

// A writer writes the fields of one payload.
type writer struct {
	fields []api.Field
	room   int
}

// field adds a field, as far as there is room.
func (w *writer) field(name, format string, args ...any) {
	if len(w.fields) >= maxFields || w.room <= 0 {
		return
	}
	if len(w.fields) == maxFields-1 {
		name, format, args = "more", "further values are left out", nil
	}
	v := clean(fmt.Sprintf(format, args...), min(maxValue, w.room))
	w.room -= len(v)
	w.fields = append(w.fields, api.Field{Name: name, Value: v})
}

// clean makes a stranger's text a line of at most n bytes.
func clean(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '.'
		}
		return r
	}, s)
	if len(s) <= n {
		return s
	}
	cut := n
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

func (w *writer) payload(p message.Payload) {
	switch p := p.(type) {
	case *message.SA:
		w.sa(p)
	case *message.KE:
		w.field("method", "%v", transform.Transform{Type: transform.TypeKE, ID: p.Method})
		w.length("public value", p.Data)
	case *message.Nonce:
		w.length("nonce", p.Data)
	case *message.ID:
		w.field("type", "%v", p.Kind)
		w.field("identity", "%v", auth.Identity{Type: auth.IDType(p.Kind), Data: bounded(p.Data)})
	case *message.Cert:
		w.cert(p)
	case *message.CertReq:
		w.certReq(p)
	case *message.Auth:
		w.auth(p)
	case *message.Notify:
		w.notify(p)
	case *message.Delete:
		w.field("protocol", "%v", p.Protocol)
		if p.Protocol == transform.ProtoIKE {
			w.field("meaning", "this IKE SA and all its Child SAs end")
		}
		for _, spi := range p.SPIs {
			w.field("SPI", "%08x", spi)
		}
	case *message.VendorID:
		w.field("vendor", "%s", textOrHex(p.Data))
	case *message.TS:
		for _, s := range p.Selectors {
			w.field("selector", "%v", s)
		}
	case *message.CP:
		w.cp(p)
	case *message.EAP:
		w.eap(p.Packet)
	case *message.Encrypted:
		w.field("content", "encrypted, %d bytes", len(p.Body))
	case *message.Fragment:
		w.field("fragment", "%d of %d", p.Number, p.Total)
		w.field("content", "encrypted, %d bytes", len(p.Body))
	case *message.Unknown:
		w.length("content", p.Body)
		if p.Critical {
			w.field("critical", "yes: whoever does not know this payload must refuse the message")
		}
	}
}

// length tells how long something is that is nobody's business.
func (w *writer) length(name string, b []byte) { w.field(name, "%s", bytesOf(len(b))) }

func bytesOf(n int) string {
	if n == 1 {
		return "1 byte"
	}
	return strconv.Itoa(n) + " bytes"
}

// bounded cuts what is far above any real value.
func bounded(b []byte) []byte { return b[:min(len(b), maxValue)] }

// textOrHex writes text as it is, and everything else in hexadecimal.
func textOrHex(b []byte) string {
	if len(b) == 0 {
		return "empty"
	}
	if utf8.Valid(b) && strings.IndexFunc(string(bounded(b)), func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return string(bounded(b))
	}
	return hex.EncodeToString(b[:min(len(b), 32)])
}

func (w *writer) sa(p *message.SA) {
	for _, x := range p.Proposals {
		var b strings.Builder
		b.WriteString(x.Protocol.String())
		if len(x.SPI) > 0 {
			fmt.Fprintf(&b, " SPI %x", x.SPI[:min(len(x.SPI), 16)])
		}
		last := transform.Type(0)
		for _, t := range x.Transforms {
			switch {
			case b.Len() > maxValue:
			case t.Type != last:
				fmt.Fprintf(&b, "; %v %v", t.Type, t.Transform)
			default:
				fmt.Fprintf(&b, ", %v", t.Transform)
			}
			last = t.Type
		}
		w.field(fmt.Sprintf("proposal %d", x.Number), "%s", b.String())
	}
}

func (w *writer) cert(p *message.Cert) {
	w.field("encoding", "%v", p.Encoding)
	if p.Encoding != message.CertX509Signature {
		w.length("content", p.Data)
		return
	}
	c, err := x509.ParseCertificate(p.Data)
	if err != nil {
		w.field("problem", "it is no certificate that can be read (%s)", bytesOf(len(p.Data)))
		return
	}
	w.field("subject", "%v", pki.Subject(c))
	w.field("issuer", "%v", auth.FromDN(c.RawIssuer))
	for i, id := range pki.Names(c) {
		if i > 0 && i < 9 { // the first is the subject
			w.field("identity", "%v", id)
		}
	}
	w.field("valid", "%s to %s", c.NotBefore.UTC().Format(time.DateOnly), c.NotAfter.UTC().Format(time.DateOnly))
	w.field("signed with", "%v", c.SignatureAlgorithm)
}

func (w *writer) certReq(p *message.CertReq) {
	w.field("encoding", "%v", p.Encoding)
	hashes := p.Hashes()
	w.field("authorities", "%d", len(hashes))
	for _, h := range hashes {
		w.field("key hash", "%x", h)
	}
}

func (w *writer) auth(p *message.Auth) {
	w.field("method", "%v", p.Method)
	if p.Method == message.AuthSignature {
		if scheme, err := auth.SchemeOf(p.Data); err == nil {
			w.field("scheme", "%s", scheme)
		} else {
			w.field("scheme", "unknown")
		}
	}
	w.length("proof", p.Data)
}

func (w *writer) cp(p *message.CP) {
	w.field("kind", "%v", p.Kind)
	for _, a := range p.Attributes {
		w.field(a.Type.String(), "%s", attribute(a, p.Kind))
	}
}

func attribute(a message.CPAttribute, kind message.CPType) string {
	if len(a.Value) == 0 {
		if kind == message.CFGRequest {
			return "any"
		}
		return "empty"
	}
	if p, ok := a.Prefix(); ok {
		return p.String()
	}
	if addr, ok := a.Addr(); ok {
		return addr.String()
	}
	switch a.Type {
	case message.CPApplicationVersion, message.CPInternalDNSDomain:
		return textOrHex(a.Value)
	case message.CPSupportedAttributes:
		var names []string
		for b := a.Value; len(b) >= 2 && len(names) < maxFields; b = b[2:] {
			names = append(names, message.CPAttributeType(binary.BigEndian.Uint16(b)).String())
		}
		return strings.Join(names, ", ")
	}
	return bytesOf(len(a.Value))
}

// eapCodes and eapTypes name what is said of EAP (RFC 3748, sections 4 and 5).
var (
	eapCodes = map[byte]string{1: "request", 2: "response", 3: "success", 4: "failure", 5: "initiate", 6: "finish"}
	eapTypes = map[byte]string{1: "identity", 2: "notification", 3: "NAK", 4: "MD5 challenge", 5: "one-time password", 6: "token card",
		13: "TLS", 18: "SIM", 21: "TTLS", 23: "AKA", 25: "PEAP", 26: "MSCHAPv2", 29: "MSCHAPv2", 43: "FAST", 50: "AKA'", 52: "pwd", 55: "TEAP", 254: "expanded"}
)

func (w *writer) eap(b []byte) {
	if len(b) < 4 {
		return
	}
	named := func(names map[byte]string, v byte) string {
		if s, ok := names[v]; ok {
			return s
		}
		return strconv.Itoa(int(v))
	}
	w.field("code", "%s", named(eapCodes, b[0]))
	w.field("identifier", "%d", b[1])
	if len(b) > 4 && b[0] <= 2 {
		w.field("type", "%s", named(eapTypes, b[4]))
		w.length("content", b[5:])
	}
}
