// Package transform holds the algorithms of IKEv2 and ESP: identifiers,
// proposals and their selection, key exchange, PRFs and ciphers.
package transform

// A Protocol is the security protocol that a proposal is for (RFC 7296, section 3.3.1).
type Protocol uint8

// The protocols.
const (
	ProtoIKE Protocol = 1
	ProtoAH  Protocol = 2
	ProtoESP Protocol = 3
)

// A Type is a transform type (RFC 7296, section 3.3.2).
type Type uint8

// The transform types.
const (
	TypeEncr  Type = 1
	TypePRF   Type = 2
	TypeInteg Type = 3
	TypeKE    Type = 4
	TypeESN   Type = 5

	// Further key exchanges, of which each follows the one before (RFC 9370,
	// section 2.2.1): ADDKE1 to ADDKE7.
	TypeAddKE1 Type = 6
	TypeAddKE7 Type = 12
)

// MaxAdditional is how many key exchanges may follow the first one.
const MaxAdditional = int(TypeAddKE7-TypeAddKE1) + 1

// An ID is a transform identifier within its type (IANA "IKEv2 Parameters").
type ID uint16

// The identifiers that Sallyport implements.
const (
	Encr3DES         ID = 3
	EncrAESCBC       ID = 12
	EncrAESGCM16     ID = 20
	EncrChaCha20Poly ID = 28

	PRFHMACSHA1   ID = 2
	PRFHMACSHA256 ID = 5
	PRFHMACSHA384 ID = 6
	PRFHMACSHA512 ID = 7

	IntegNone          ID = 0
	IntegHMACSHA1_96   ID = 2
	IntegHMACSHA256128 ID = 12
	IntegHMACSHA384192 ID = 13
	IntegHMACSHA512256 ID = 14

	KENone      ID = 0
	KEMODP1024  ID = 2
	KEMODP2048  ID = 14
	KEMODP3072  ID = 15
	KEMODP4096  ID = 16
	KEECP256    ID = 19
	KEECP384    ID = 20
	KEECP521    ID = 21
	KEX25519    ID = 31
	KEMLKEM768  ID = 36 // draft-ietf-ipsecme-ikev2-mlkem
	KEMLKEM1024 ID = 37

	ESNNo  ID = 0
	ESNYes ID = 1
)

// A Transform is one algorithm of a proposal.
type Transform struct {
	Type    Type
	ID      ID
	KeyBits uint16 // 0: no key length attribute
}

// A Proposal is one alternative of an SA payload. Transforms of one type are
// alternatives in order of preference.
type Proposal struct {
	Number     uint8
	Protocol   Protocol
	SPI        []byte
	Transforms []Transform
}

// A Suite is what two peers agreed on: at most one transform of each type.
// Zero transforms mean "none": Integ with an AEAD, PRF for ESP, KE without PFS.
type Suite struct {
	Protocol Protocol
	Encr     Transform
	PRF      Transform
	Integ    Transform
	KE       Transform
	ESN      bool
	// Additional are the methods of the key exchanges ADDKE1 to ADDKE7, KENone
	// where there is none (RFC 9370).
	Additional [MaxAdditional]ID
}
