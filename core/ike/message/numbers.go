package message

import "fmt"

// An ExchangeType says what an exchange is for (RFC 7296, section 3.1).
type ExchangeType uint8

// The values of ExchangeType.
const (
	IKESAInit        ExchangeType = 34
	IKEAuth          ExchangeType = 35
	CreateChildSA    ExchangeType = 36
	Informational    ExchangeType = 37
	IKESessionResume ExchangeType = 38
	IKEIntermediate  ExchangeType = 43
	IKEFollowupKE    ExchangeType = 44
)

var exchangeTypeNames = map[ExchangeType]string{
	IKESAInit:        "IKE_SA_INIT",
	IKEAuth:          "IKE_AUTH",
	CreateChildSA:    "CREATE_CHILD_SA",
	Informational:    "INFORMATIONAL",
	IKESessionResume: "IKE_SESSION_RESUME",
	IKEIntermediate:  "IKE_INTERMEDIATE",
	IKEFollowupKE:    "IKE_FOLLOWUP_KE",
}

func (t ExchangeType) String() string {
	if name, ok := exchangeTypeNames[t]; ok {
		return name
	}
	return fmt.Sprintf("exchange(%d)", uint8(t))
}

// A PayloadType names a payload (RFC 7296, section 3.2).
type PayloadType uint8

// The values of PayloadType.
const (
	PayloadNone     PayloadType = 0
	PayloadSA       PayloadType = 33
	PayloadKE       PayloadType = 34
	PayloadIDi      PayloadType = 35
	PayloadIDr      PayloadType = 36
	PayloadCERT     PayloadType = 37
	PayloadCERTREQ  PayloadType = 38
	PayloadAUTH     PayloadType = 39
	PayloadNonce    PayloadType = 40
	PayloadNotify   PayloadType = 41
	PayloadDelete   PayloadType = 42
	PayloadVendorID PayloadType = 43
	PayloadTSi      PayloadType = 44
	PayloadTSr      PayloadType = 45
	PayloadSK       PayloadType = 46
	PayloadCP       PayloadType = 47
	PayloadEAP      PayloadType = 48
	PayloadSKF      PayloadType = 53
)

var payloadTypeNames = map[PayloadType]string{
	PayloadNone:     "none",
	PayloadSA:       "SA",
	PayloadKE:       "KE",
	PayloadIDi:      "IDi",
	PayloadIDr:      "IDr",
	PayloadCERT:     "CERT",
	PayloadCERTREQ:  "CERTREQ",
	PayloadAUTH:     "AUTH",
	PayloadNonce:    "Nonce",
	PayloadNotify:   "N",
	PayloadDelete:   "D",
	PayloadVendorID: "V",
	PayloadTSi:      "TSi",
	PayloadTSr:      "TSr",
	PayloadSK:       "SK",
	PayloadCP:       "CP",
	PayloadEAP:      "EAP",
	PayloadSKF:      "SKF",
}

func (t PayloadType) String() string {
	if name, ok := payloadTypeNames[t]; ok {
		return name
	}
	return fmt.Sprintf("payload(%d)", uint8(t))
}

// An IDType says what form an identity has (RFC 7296, section 3.5).
type IDType uint8

// The values of IDType.
const (
	IDIPv4Addr   IDType = 1
	IDFQDN       IDType = 2
	IDRFC822Addr IDType = 3
	IDIPv6Addr   IDType = 5
	IDDERASN1DN  IDType = 9
	IDDERASN1GN  IDType = 10
	IDKeyID      IDType = 11
	IDNull       IDType = 13
)

var idTypeNames = map[IDType]string{
	IDIPv4Addr:   "ID_IPV4_ADDR",
	IDFQDN:       "ID_FQDN",
	IDRFC822Addr: "ID_RFC822_ADDR",
	IDIPv6Addr:   "ID_IPV6_ADDR",
	IDDERASN1DN:  "ID_DER_ASN1_DN",
	IDDERASN1GN:  "ID_DER_ASN1_GN",
	IDKeyID:      "ID_KEY_ID",
	IDNull:       "ID_NULL",
}

func (t IDType) String() string {
	if name, ok := idTypeNames[t]; ok {
		return name
	}
	return fmt.Sprintf("ID(%d)", uint8(t))
}

// A CertEncoding says what a CERT or CERTREQ payload holds (RFC 7296, section 3.6).
type CertEncoding uint8

// The values of CertEncoding.
const (
	CertPKCS7            CertEncoding = 1
	CertX509Signature    CertEncoding = 4
	CertCRL              CertEncoding = 7
	CertHashAndURL       CertEncoding = 12
	CertHashAndURLBundle CertEncoding = 13
	CertOCSP             CertEncoding = 14
	CertRawPublicKey     CertEncoding = 15
)

var certEncodingNames = map[CertEncoding]string{
	CertPKCS7:            "PKCS #7 wrapped X.509",
	CertX509Signature:    "X.509 certificate",
	CertCRL:              "certificate revocation list",
	CertHashAndURL:       "hash and URL of X.509 certificate",
	CertHashAndURLBundle: "hash and URL of X.509 bundle",
	CertOCSP:             "OCSP content",
	CertRawPublicKey:     "raw public key",
}

func (t CertEncoding) String() string {
	if name, ok := certEncodingNames[t]; ok {
		return name
	}
	return fmt.Sprintf("encoding(%d)", uint8(t))
}

// An AuthMethod says how an AUTH payload was made (RFC 7296, section 3.8).
type AuthMethod uint8

// The values of AuthMethod.
const (
	AuthRSA       AuthMethod = 1
	AuthPSK       AuthMethod = 2
	AuthDSS       AuthMethod = 3
	AuthECDSA256  AuthMethod = 9
	AuthECDSA384  AuthMethod = 10
	AuthECDSA521  AuthMethod = 11
	AuthGSPM      AuthMethod = 12
	AuthNull      AuthMethod = 13
	AuthSignature AuthMethod = 14
)

var authMethodNames = map[AuthMethod]string{
	AuthRSA:       "RSA signature with SHA-1",
	AuthPSK:       "pre-shared key",
	AuthDSS:       "DSS signature",
	AuthECDSA256:  "ECDSA P-256 with SHA-256",
	AuthECDSA384:  "ECDSA P-384 with SHA-384",
	AuthECDSA521:  "ECDSA P-521 with SHA-512",
	AuthGSPM:      "secure password",
	AuthNull:      "null",
	AuthSignature: "digital signature",
}

func (t AuthMethod) String() string {
	if name, ok := authMethodNames[t]; ok {
		return name
	}
	return fmt.Sprintf("auth method(%d)", uint8(t))
}

// A CPType says whether configuration is asked for or given (RFC 7296, section 3.15).
type CPType uint8

// The values of CPType.
const (
	CFGRequest CPType = 1
	CFGReply   CPType = 2
	CFGSet     CPType = 3
	CFGAck     CPType = 4
)

var cpTypeNames = map[CPType]string{
	CFGRequest: "CFG_REQUEST",
	CFGReply:   "CFG_REPLY",
	CFGSet:     "CFG_SET",
	CFGAck:     "CFG_ACK",
}

func (t CPType) String() string {
	if name, ok := cpTypeNames[t]; ok {
		return name
	}
	return fmt.Sprintf("CFG(%d)", uint8(t))
}

// A CPAttributeType names a configuration attribute (RFC 7296, section 3.15.1; RFC 8598).
type CPAttributeType uint16

// The values of CPAttributeType.
const (
	CPInternalIP4Address  CPAttributeType = 1
	CPInternalIP4Netmask  CPAttributeType = 2
	CPInternalIP4DNS      CPAttributeType = 3
	CPInternalIP4NBNS     CPAttributeType = 4
	CPInternalIP4DHCP     CPAttributeType = 6
	CPApplicationVersion  CPAttributeType = 7
	CPInternalIP6Address  CPAttributeType = 8
	CPInternalIP6DNS      CPAttributeType = 10
	CPInternalIP6DHCP     CPAttributeType = 12
	CPInternalIP4Subnet   CPAttributeType = 13
	CPSupportedAttributes CPAttributeType = 14
	CPInternalIP6Subnet   CPAttributeType = 15
	CPInternalDNSDomain   CPAttributeType = 25
	CPInternalDNSSECTA    CPAttributeType = 26
)

var cpAttributeTypeNames = map[CPAttributeType]string{
	CPInternalIP4Address:  "INTERNAL_IP4_ADDRESS",
	CPInternalIP4Netmask:  "INTERNAL_IP4_NETMASK",
	CPInternalIP4DNS:      "INTERNAL_IP4_DNS",
	CPInternalIP4NBNS:     "INTERNAL_IP4_NBNS",
	CPInternalIP4DHCP:     "INTERNAL_IP4_DHCP",
	CPApplicationVersion:  "APPLICATION_VERSION",
	CPInternalIP6Address:  "INTERNAL_IP6_ADDRESS",
	CPInternalIP6DNS:      "INTERNAL_IP6_DNS",
	CPInternalIP6DHCP:     "INTERNAL_IP6_DHCP",
	CPInternalIP4Subnet:   "INTERNAL_IP4_SUBNET",
	CPSupportedAttributes: "SUPPORTED_ATTRIBUTES",
	CPInternalIP6Subnet:   "INTERNAL_IP6_SUBNET",
	CPInternalDNSDomain:   "INTERNAL_DNS_DOMAIN",
	CPInternalDNSSECTA:    "INTERNAL_DNSSEC_TA",
}

func (t CPAttributeType) String() string {
	if name, ok := cpAttributeTypeNames[t]; ok {
		return name
	}
	return fmt.Sprintf("attribute(%d)", uint16(t))
}
