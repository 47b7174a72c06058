package ike

import (
	"sallyport/core/ike/message"
	"sallyport/core/pki"
	"sallyport/core/ts"
)

// A set is a set of payload kinds.
type set uint32

const (
	hasSA set = 1 << iota
	hasKE
	hasIDi
	hasIDr
	hasAuth
	hasNonce
	hasTSi
	hasTSr
	hasCP
	hasEAP
	hasDelete
)

// An inbox is the payloads of one message, sorted. It aliases the message.
type inbox struct {
	has      set
	sa       *message.SA
	ke       *message.KE
	idi, idr *message.ID
	auth     *message.Auth
	nonce    []byte
	tsi, tsr ts.List
	cp       *message.CP
	eap      []byte   // the packet
	certs    [][]byte // X.509 certificates, in the order sent
	ocsp     [][]byte // OCSP responses (RFC 4806)
	certReqs []*message.CertReq
	notifies []*message.Notify
	deletes  []*message.Delete
	vendors  [][]byte
}

// sortPayloads sorts the payloads of a message. Payloads that nobody needs are
// passed over, an unknown critical one and a second one of a kind that comes
// alone are errors.
func sortPayloads(payloads []message.Payload) (*inbox, *notifyError) {
	if err := message.CheckCritical(payloads); err != nil {
		e := &notifyError{notify: message.NotifyUnsupportedCriticalPayload, code: FailProtocol, err: err}
		for _, p := range payloads {
			if u, ok := p.(*message.Unknown); ok && u.Critical {
				e.data = []byte{byte(u.PayloadType)}
				break
			}
		}
		return nil, e
	}
	in := &inbox{}
	for _, p := range payloads {
		var kind set
		switch p := p.(type) {
		case *message.SA:
			kind, in.sa = hasSA, p
		case *message.KE:
			kind, in.ke = hasKE, p
		case *message.ID:
			if p.Responder {
				kind, in.idr = hasIDr, p
			} else {
				kind, in.idi = hasIDi, p
			}
		case *message.Auth:
			kind, in.auth = hasAuth, p
		case *message.Nonce:
			kind, in.nonce = hasNonce, p.Data
		case *message.TS:
			if p.Responder {
				kind, in.tsr = hasTSr, p.Selectors
			} else {
				kind, in.tsi = hasTSi, p.Selectors
			}
		case *message.CP:
			kind, in.cp = hasCP, p
		case *message.EAP:
			kind, in.eap = hasEAP, p.Packet
		case *message.Cert:
			switch {
			case p.Encoding == message.CertX509Signature:
				in.certs = append(in.certs, p.Data)
			case p.Encoding == message.CertOCSP && len(in.ocsp) < pki.MaxCertificates:
				in.ocsp = append(in.ocsp, p.Data)
			}
			continue
		case *message.CertReq:
			in.certReqs = append(in.certReqs, p)
			continue
		case *message.Notify:
			in.notifies = append(in.notifies, p)
			continue
		case *message.VendorID:
			in.vendors = append(in.vendors, p.Data)
			continue
		case *message.Delete:
			in.deletes = append(in.deletes, p)
			in.has |= hasDelete
			continue
		default:
			continue
		}
		if in.has&kind != 0 {
			return nil, syntaxError("two payloads of type %v", p.Type())
		}
		in.has |= kind
	}
	return in, nil
}

// notify returns the first notify of a type, or nil.
func (in *inbox) notify(kind message.NotifyType) *message.Notify {
	for _, n := range in.notifies {
		if n.Kind == kind {
			return n
		}
	}
	return nil
}

// grouped reports whether a Child SA of the configuration is one of several, as
// both ends want it (RFC 9611).
func (in *inbox) grouped(cfg *ChildConfig) bool {
	return cfg.Resources > 0 && in.notify(message.NotifySAResourceInfo) != nil
}

// refusal returns the first error notify, or nil.
func (in *inbox) refusal() *message.Notify {
	for _, n := range in.notifies {
		if n.Kind.IsError() {
			return n
		}
	}
	return nil
}
