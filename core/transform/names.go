package transform

import (
	"strconv"
	"strings"
)

// String names the protocol: "IKE", "ESP".
func (p Protocol) String() string {
	switch p {
	case ProtoIKE:
		return "IKE"
	case ProtoAH:
		return "AH"
	case ProtoESP:
		return "ESP"
	}
	return "PROTO_" + strconv.Itoa(int(p))
}

// String names the transform type as IANA does, without the suffix.
func (t Type) String() string {
	switch t {
	case TypeEncr:
		return "ENCR"
	case TypePRF:
		return "PRF"
	case TypeInteg:
		return "INTEG"
	case TypeKE:
		return "KE"
	case TypeESN:
		return "ESN"
	}
	if t.additional() {
		return "ADDKE" + strconv.Itoa(t.nth())
	}
	return "TYPE_" + strconv.Itoa(int(t))
}

// String names the algorithm and, where it varies, its key length:
// "AES_GCM_16_256", "HMAC_SHA2_256_128". It knows the algorithms that we do
// not implement too, for a peer may offer them.
func (t Transform) String() string {
	if t.Type.additional() {
		return "KE" + strconv.Itoa(t.Type.nth()) + "_" + strings.TrimPrefix(Transform{Type: TypeKE, ID: t.ID}.String(), "KE_")
	}
	name, ok := names[t.Type][t.ID]
	if !ok {
		name = t.Type.String() + "_" + strconv.Itoa(int(t.ID))
	}
	if t.KeyBits != 0 {
		name += "_" + strconv.Itoa(int(t.KeyBits))
	}
	return name
}

// names follows the registry "Internet Key Exchange Version 2 (IKEv2) Parameters".
var names = map[Type]map[ID]string{
	TypeEncr: {
		1: "DES_IV64", 2: "DES", Encr3DES: "3DES", 4: "RC5", 5: "IDEA", 6: "CAST",
		7: "BLOWFISH", 8: "3IDEA", 9: "DES_IV32", 11: "NULL",
		EncrAESCBC: "AES_CBC", 13: "AES_CTR", 14: "AES_CCM_8", 15: "AES_CCM_12", 16: "AES_CCM_16",
		18: "AES_GCM_8", 19: "AES_GCM_12", EncrAESGCM16: "AES_GCM_16", 21: "NULL_AUTH_AES_GMAC",
		23: "CAMELLIA_CBC", 24: "CAMELLIA_CTR", 25: "CAMELLIA_CCM_8", 26: "CAMELLIA_CCM_12", 27: "CAMELLIA_CCM_16",
		EncrChaCha20Poly: "CHACHA20_POLY1305",
		29:               "AES_CCM_8_IIV", 30: "AES_GCM_16_IIV", 31: "CHACHA20_POLY1305_IIV",
	},
	TypePRF: {
		1: "PRF_HMAC_MD5", PRFHMACSHA1: "PRF_HMAC_SHA1", 3: "PRF_HMAC_TIGER", 4: "PRF_AES128_XCBC",
		PRFHMACSHA256: "PRF_HMAC_SHA2_256", PRFHMACSHA384: "PRF_HMAC_SHA2_384", PRFHMACSHA512: "PRF_HMAC_SHA2_512",
		8: "PRF_AES128_CMAC", 9: "PRF_HMAC_STREEBOG_512",
	},
	TypeInteg: {
		IntegNone: "INTEG_NONE", 1: "HMAC_MD5_96", IntegHMACSHA1_96: "HMAC_SHA1_96", 3: "DES_MAC", 4: "KPDK_MD5",
		5: "AES_XCBC_96", 6: "HMAC_MD5_128", 7: "HMAC_SHA1_160", 8: "AES_CMAC_96",
		9: "AES_128_GMAC", 10: "AES_192_GMAC", 11: "AES_256_GMAC",
		IntegHMACSHA256128: "HMAC_SHA2_256_128", IntegHMACSHA384192: "HMAC_SHA2_384_192", IntegHMACSHA512256: "HMAC_SHA2_512_256",
	},
	TypeKE: {
		KENone: "KE_NONE", 1: "MODP_768", KEMODP1024: "MODP_1024", 5: "MODP_1536",
		KEMODP2048: "MODP_2048", KEMODP3072: "MODP_3072", KEMODP4096: "MODP_4096", 17: "MODP_6144", 18: "MODP_8192",
		KEECP256: "ECP_256", KEECP384: "ECP_384", KEECP521: "ECP_521",
		22: "MODP_1024_160", 23: "MODP_2048_224", 24: "MODP_2048_256", 25: "ECP_192", 26: "ECP_224",
		27: "ECP_224_BP", 28: "ECP_256_BP", 29: "ECP_384_BP", 30: "ECP_512_BP",
		KEX25519: "CURVE_25519", 32: "CURVE_448", 33: "GOST3410_2012_256", 34: "GOST3410_2012_512",
		35: "ML_KEM_512", KEMLKEM768: "ML_KEM_768", KEMLKEM1024: "ML_KEM_1024",
	},
	TypeESN: {ESNNo: "NO_ESN", ESNYes: "ESN"},
}
