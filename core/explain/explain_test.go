package explain

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"strconv"
	"strings"
	"testing"
	"time"

	"sallyport/core/api"
	"sallyport/core/eap"
	"sallyport/core/host"
	"sallyport/core/ike"
	"sallyport/core/ike/auth"
	"sallyport/core/ike/message"
	"sallyport/core/pki"
	"sallyport/core/profile"
	"sallyport/core/ts"
)

// constants returns the values of the constants of a type in a file.
func constants(t *testing.T, file, typeName string) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	inGroup := false // an iota group names its type once
	ast.Inspect(f, func(n ast.Node) bool {
		if _, ok := n.(*ast.GenDecl); ok {
			inGroup = false
		}
		v, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if id, ok := v.Type.(*ast.Ident); ok {
			inGroup = id.Name == typeName
		}
		if !inGroup {
			return true
		}
		if len(v.Values) == 1 {
			if lit, ok := v.Values[0].(*ast.BasicLit); ok {
				s, err := strconv.Unquote(lit.Value)
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, s)
				return true
			}
		}
		out = append(out, v.Names[0].Name)
		return true
	})
	return out
}

func TestEveryCodeIsExplained(t *testing.T) {
	all := constants(t, "../api/error.go", "ErrorCode")
	if len(all) < 30 {
		t.Fatalf("found %d codes", len(all))
	}
	for _, code := range all {
		if _, ok := general[api.ErrorCode(code)]; !ok {
			t.Errorf("%s is not explained", code)
			continue
		}
		for _, c := range []Context{{}, {Connection: "office"}, {Connection: "office", Gateway: []string{"vpn.example.com"}}} {
			e := About(api.ErrorCode(code), c)
			for what, s := range map[string]string{"What": e.What, "Why": e.Why, "Next": e.Next} {
				if !strings.HasSuffix(s, ".") || strings.Contains(s, "%!") || strings.Contains(s, "  ") {
					t.Errorf("%s: %s is %q", code, what, s)
				}
			}
			if len(c.Gateway) == 0 && c.Connection != "" && (strings.Contains(e.Why+e.Next, "the gateway does") || e.Params[ParamServerHint] != "") {
				t.Errorf("%s: a responder is told of its gateway: %s", code, e)
			}
		}
	}
	if len(general) != len(all) {
		t.Errorf("%d codes, %d explanations", len(all), len(general))
	}
}

func TestEveryFailureIsExplained(t *testing.T) {
	all := constants(t, "../ike/failure.go", "FailureCode")
	if len(all) < 15 || len(all) != len(codes) {
		t.Errorf("%d failure codes, %d mapped: %v", len(all), len(codes), all)
	}
}

func TestExplain(t *testing.T) {
	fail := func(code ike.FailureCode, err error) error {
		return fmt.Errorf("x: %w", &ike.Failure{Code: code, Err: err})
	}
	who := auth.Identity{Type: auth.IDRFC822, Data: []byte("alice@vpn.test")}
	name := func(s string) []byte {
		der, err := asn1.Marshal(pkix.Name{CommonName: s}.ToRDNSequence())
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	shown := &x509.Certificate{RawSubject: name("alice"), RawIssuer: name("ca"),
		NotBefore: time.Date(2020, 1, 2, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2021, 1, 2, 0, 0, 0, 0, time.UTC)}
	for _, tt := range []struct {
		name string
		err  error
		code api.ErrorCode
		want string // in What, Why or Next
	}{
		{"silent", fail(ike.FailSilent, nil), api.CodeGatewaySilent, "UDP ports 500 and 4500"},
		{"silent after the first answer", fail(ike.FailSilent, errors.New("no answer to IKE_AUTH")), api.CodeGatewaySilent, "No answer to IKE_AUTH. Try another network"},
		{"silent for want of a certificate, perhaps", fail(ike.FailSilent, errors.New("no answer to IKE_AUTH")), api.CodeGatewaySilent, "of the authorities that this connection trusts (remote.cas)"},
		{"no common signature scheme", fail(ike.FailLocalCredential, fmt.Errorf("auth: our Ed25519 key: %w", auth.ErrNoScheme)), api.CodeLocalCredential, "Our Ed25519 key: no common signature scheme. Use a certificate with a key that the gateway can verify"},
		{"silent to a user", fail(ike.FailSilent, &ike.SilentToUser{Method: eap.TypeMSCHAPv2}), api.CodeGatewaySilent, "when the name or the password is wrong"},
		{"networks of the gateway's own", fail(ike.FailTSUnacceptable, &ike.OutsideAnswer{Local: ts.Any()[:1], Remote: ts.Any()[1:]}), api.CodeTSUnacceptable, "::/0 behind itself, 0.0.0.0/0 on this side. Compare"},
		{"networks refused", &ike.Failure{Code: ike.FailTSUnacceptable, Notify: message.NotifyTSUnacceptable}, api.CodeTSUnacceptable, "(TS_UNACCEPTABLE)"},
		{"proposal", &ike.Failure{Code: ike.FailNoProposal, Notify: message.NotifyNoProposalChosen, Unauthenticated: true}, api.CodeNoProposal, "anyone on the way"},
		{"PSK", fail(ike.FailPSKMismatch, nil), api.CodePSKMismatch, "another pre-shared key than ours"},
		{"refused", fail(ike.FailAuthRefused, nil), api.CodeAuthRefused, "AUTHENTICATION_FAILED"},
		{"pre-shared key refused", fail(ike.FailAuthRefused, &ike.RefusedProof{ID: who}), api.CodeAuthRefused, `the pre-shared key of "alice@vpn.test"`},
		{"pre-shared key or gateway's identity refused", fail(ike.FailAuthRefused, &ike.RefusedProof{ID: who, Asked: auth.Identity{Type: auth.IDFQDN, Data: []byte("gw.test")}}), api.CodeAuthRefused, `and asked to be "gw.test". Check the pre-shared key and the identities of both ends (local.id, remote.id)`},
		{"certificate refused", fail(ike.FailAuthRefused, &ike.RefusedProof{ID: who, Certificate: shown}), api.CodeAuthRefused, "the certificate of CN=alice, issued by CN=ca."},
		{"user not asked", fail(ike.FailAuthRefused, &ike.RefusedProof{ID: who, EAP: true}), api.CodeAuthRefused, "without asking for the user"},
		{"user turned away", fail(ike.FailAuthRefused, &eap.RefusedError{Untried: true, Message: "who?"}), api.CodeAuthRefused, `no password was sent. It says: "who?".`},
		{"user's server of another name", fail(ike.FailPeerIdentity, fmt.Errorf("%w: %w", eap.ErrServer, &pki.Error{Kind: pki.Identity, Detail: "holds b"})), api.CodePeerIdentity, "The server that asks for the user (EAP) is not the one that this connection asks for. Holds b. Behind many gateways"},
		{"user's server of an unknown CA", fail(ike.FailPeerCertificate, fmt.Errorf("%w: %w", eap.ErrServer, &pki.Error{Kind: pki.UnknownCA, Detail: "has no path"})), api.CodePeerUnknownCA, "The certificate of the server that asks for the user does not lead to an authority"},
		{"expired certificate refused", fail(ike.FailAuthRefused, &ike.RefusedProof{ID: who, Certificate: shown, Expired: true, Unasked: true}), api.CodeAuthRefused, "valid from 2020-01-02 to 2021-01-02 only"},
		{"certificate of another authority refused", fail(ike.FailAuthRefused, &ike.RefusedProof{ID: who, Certificate: shown, Unasked: true}), api.CodeAuthRefused, "other authorities than the one of ours, CN=ca,"},
		{"user's certificate refused", fail(ike.FailAuthRefused, fmt.Errorf("%w: %w", ike.ErrUserCertificate, eap.ErrRefused)), api.CodePasswordRefused, "the user's certificate"},
		{"user refused", fail(ike.FailAuthRefused, &eap.RefusedError{Code: 691, Message: "no"}), api.CodePasswordRefused, "name and password"},
		{"password expired", fail(ike.FailAuthRefused, &eap.RefusedError{Code: 648}), api.CodePasswordRefused, "has expired"},
		{"method of EAP", fail(ike.FailEAPMethod, eap.ErrNoMethod), api.CodeEAPMethod, "method of EAP"},
		{"addresses not asked for", &ike.Failure{Code: ike.FailNoAddress, Notify: message.NotifyFailedCPRequired}, api.CodeNoAddress, "this connection asks for none (FAILED_CP_REQUIRED). Let it ask: virtual_ips"},
		{"no address left", &ike.Failure{Code: ike.FailNoAddress, Notify: message.NotifyInternalAddressFailure}, api.CodeNoAddress, "enlarge its address pool"},
		{"other notify", &ike.Failure{Code: ike.FailPeerRefused, Notify: message.NotifyTemporaryFailure}, api.CodePeerRefused, "refused the connection: TEMPORARY_FAILURE"},
		{"unknown CA", fail(ike.FailPeerCertificate, &pki.Error{Kind: pki.UnknownCA, Subject: "CN=gw", Detail: "has no path"}), api.CodePeerUnknownCA, `Certificate "CN=gw" has no path.`},
		{"expired", fail(ike.FailPeerCertificate, &pki.Error{Kind: pki.Expired, Detail: "expired yesterday"}), api.CodePeerExpired, "Expired yesterday. Check the date"},
		{"clock", fail(ike.FailPeerCertificate, &pki.Error{Kind: pki.NotYetValid, Clock: true, Detail: "is of tomorrow"}), api.CodePeerExpired, "clock of this machine seems to be wrong"},
		{"revoked", fail(ike.FailPeerCertificate, &pki.Error{Kind: pki.Revoked, Subject: "CN=gw", Detail: "was revoked"}), api.CodePeerRevoked, `Certificate "CN=gw" was revoked.`},
		{"revocation unknown", fail(ike.FailPeerCertificate, &pki.Error{Kind: pki.RevocationUnknown, Detail: "is not known to be good"}), api.CodeRevocationUnknown, "Is not known to be good."},
		{"identity", fail(ike.FailPeerIdentity, &pki.Error{Kind: pki.Identity, Expected: "a", Found: "b", Detail: "holds b"}), api.CodePeerIdentity, "Holds b."},
		{"weak, and could be allowed", fail(ike.FailPeerCertificate, &pki.Error{Kind: pki.Weak, Allowable: true, Detail: "has a weak key"}), api.CodePeerWeak, "Has a weak key."},
		{"weak", fail(ike.FailPeerCertificate, &pki.Error{Kind: pki.Weak, Detail: "has a weak key"}), api.CodePeerCertificate, "Has a weak key."},
		{"own certificate", fail(ike.FailLocalCredential, &pki.Error{Kind: pki.Expired, Detail: "expired"}), api.CodeLocalCredential, "Expired."},
		{"lifetime", fail(ike.FailExpired, nil), api.CodePeerClosed, "before new keys"},
		{"replaced", fail(ike.FailReplaced, nil), api.CodePeerClosed, "same identity"},
		{"dead", fail(ike.FailPeerDead, nil), api.CodePeerDead, "stopped answering"},
		{"no transport", &TransportError{true, fmt.Errorf("dial: %w", context.DeadlineExceeded)}, api.CodeNoTransport, "No answer on UDP; TCP: dial"},
		{"no TUN", fmt.Errorf("open /dev/net/tun: %w", host.ErrNoTUN), api.CodeNoTUN, "Open /dev/net/tun: the TUN driver is missing. On Linux load"},
		{"privilege", fmt.Errorf("open tun: %w", host.ErrPrivilege), api.CodeNoPrivilege, "as root"},
		{"ports", fmt.Errorf("bind: %w", host.ErrPortInUse), api.CodePortInUse, "ss -ulpn"},
		{"unsupported", &HostError{fmt.Errorf("routes: %w", host.ErrUnsupported)}, api.CodeUnsupported, "not available on this system yet"},
		{"another service", fmt.Errorf("lock: %w", host.ErrInUse), api.CodeBusy, "another Sallyport service"},
		{"unsafe", fmt.Errorf("read a: %w", host.ErrUnsafe), api.CodeLocalCredential, "chmod 600"},
		{"resolve", &ResolveError{errors.New("no such host")}, api.CodeResolve, "No such host."},
		{"route", &RouteError{"192.0.2.1", errors.New("network is unreachable")}, api.CodeNoNetwork, "192.0.2.1: network is unreachable"},
		{"host", &HostError{errors.New("file exists")}, api.CodeNetworkSetup, "File exists. The machine is as it was"},
		{"secret is not there", &CredentialError{"local.secret", fs.ErrNotExist}, api.CodeLocalCredential, "local.secret names in the profile is not in the store"},
		{"id is not in the certificate", &CredentialError{"local.id", &pki.Error{Kind: pki.Identity, Detail: "does not hold it"}}, api.CodeLocalCredential, "Set local.id"},
		{"profile", errors.Join(&profile.Error{File: "a.toml", Line: 3, Field: "name", Msg: "is missing"}, &profile.Error{File: "a.toml", Line: 4, Field: "role", Msg: "is wrong"}), api.CodeProfileInvalid, "a.toml:3: name: is missing\na.toml:4: role: is wrong"},
		{"unsupported profile", &profile.Error{File: "s.conf", Msg: "EAP is not supported yet", Unsupported: true}, api.CodeUnsupported, "EAP"},
		{"password", &profile.Error{File: "s.conf", Msg: "the pre-shared key is missing", NeedsPassword: true}, api.CodeLocalCredential, "--password-stdin"},
		{"not found", fmt.Errorf("%w: x", profile.ErrNotFound), api.CodeNotFound, "sallyport list"},
		{"exists", fmt.Errorf("%w: x", profile.ErrExists), api.CodeExists, "--replace"},
		{"request", fmt.Errorf("%w: it holds no file", profile.ErrRequest), api.CodeUsage, "holds no file"},
		{"deadline", fmt.Errorf("wait: %w", context.DeadlineExceeded), api.CodeTimeout, "--wait"},
		{"cancelled", context.Canceled, api.CodeCancelled, "given up"},
		{"anything else", errors.New("ike: message: odd\nthing\x1b"), api.CodeInternal, "Odd; thing. Please report it"},
	} {
		e := Explain(tt.err, Context{Connection: "office", Gateway: []string{"vpn.example.com"}})
		if e.Code != tt.code || !strings.Contains(e.Error(), tt.want) {
			t.Errorf("%s: got %s: %s\nwant %s: %s", tt.name, e.Code, e, tt.code, tt.want)
		}
		if e.What == "" || e.Why == "" || e.Next == "" || e.Params[ParamConnection] != "office" {
			t.Errorf("%s: incomplete: %+v", tt.name, e)
		}
	}
	e := Explain(&ike.Failure{Code: ike.FailNoProposal, Unauthenticated: true}, Context{Connection: "office", Gateway: []string{"gw"}})
	if e.What != `Could not connect to "office" (gw).` || e.Params[ParamUnverified] != "true" {
		t.Errorf("unauthenticated refusal: %+v", e)
	}
	own := &api.Error{Code: api.CodeBusy, What: "Busy."}
	if got := Explain(fmt.Errorf("x: %w", own), Context{}); got != own {
		t.Errorf("an explained error is explained again: %+v", got)
	}
	e = Explain(&profile.Error{File: "a.toml", Line: 3, Field: "name", Msg: "is missing"}, Context{})
	if e.Position == nil || e.Position.File != "a.toml" || e.Position.Line != 3 || e.Position.Field != "name" || e.What != "a.toml cannot be used." {
		t.Errorf("position: %+v", e)
	}
	e = Explain(fail(ike.FailPeerDead, nil), Context{Connection: "gw"})
	if e.Why != "The peer stopped answering." || e.Params[ParamServerHint] != "" {
		t.Errorf("responder: %+v", e)
	}
	e = Explain(fail(ike.FailPSKMismatch, nil), Context{Connection: "office", Gateway: []string{"vpn.example.com"}})
	if e.What != `Could not connect to "office" (vpn.example.com).` || e.Params[ParamServerHint] == "" {
		t.Errorf("%+v", e)
	}
}
