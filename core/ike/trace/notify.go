package trace

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"time"

	"sallyport/core/ike/auth"
	"sallyport/core/ike/message"
	"sallyport/core/transform"
)

// notify says what a notify means, and its data as far as that may be told.
func (w *writer) notify(n *message.Notify) {
	if len(n.SPI) > 0 {
		w.field("protocol", "%v", n.Protocol)
		w.field("SPI", "%x", n.SPI[:min(len(n.SPI), 16)])
	}
	if s := meaning[n.Kind]; s != "" {
		w.field("meaning", "%s", s)
	} else if n.Kind.IsError() {
		w.field("meaning", "an error that is not known here")
	}
	w.notifyData(n)
}

func (w *writer) notifyData(n *message.Notify) {
	b := n.Data
	switch n.Kind {
	case message.NotifyInvalidKEPayload:
		if len(b) == 2 {
			w.field("wanted method", "%v", transform.Transform{Type: transform.TypeKE, ID: transform.ID(binary.BigEndian.Uint16(b))})
			return
		}
	case message.NotifyUnsupportedCriticalPayload:
		if len(b) == 1 {
			w.field("payload", "%v", message.PayloadType(b[0]))
			return
		}
	case message.NotifySignatureHashAlgorithms:
		if list, err := auth.ParseHashAlgorithms(b); err == nil {
			w.field("hashes", "%s", hashes(list))
			return
		}
	case message.NotifyAuthLifetime:
		if len(b) == 4 {
			w.field("lifetime", "%v", time.Duration(binary.BigEndian.Uint32(b))*time.Second)
			return
		}
	case message.NotifyAdditionalIP4Address, message.NotifyAdditionalIP6Address:
		if a, ok := netip.AddrFromSlice(b); ok {
			w.field("address", "%v", a)
			return
		}
	case message.NotifySetWindowSize:
		if len(b) == 4 {
			w.field("window", "%d", binary.BigEndian.Uint32(b))
			return
		}
	case message.NotifyIPCompSupported:
		if len(b) >= 3 {
			w.field("CPI", "%04x", binary.BigEndian.Uint16(b))
			w.field("transform", "%d", b[2])
			return
		}
	case message.NotifyInvalidMessageID:
		if len(b) == 4 {
			w.field("message ID", "%d", binary.BigEndian.Uint32(b))
			return
		}
	case message.NotifyRedirect, message.NotifyRedirectedFrom:
		if len(b) >= 2 {
			to := b[2:min(len(b), 2+int(b[1]))] // a nonce may follow it
			if a, ok := netip.AddrFromSlice(to); ok && b[0] != 3 {
				w.field("gateway", "%v", a)
			} else {
				w.field("gateway", "%s", textOrHex(to))
			}
			return
		}
	}
	if len(b) > 0 {
		w.length("data", b)
	}
}

// hashNames follows the registry "IKEv2 Hash Algorithms" (RFC 7427, RFC 8420).
var hashNames = map[uint16]string{1: "SHA-1", 2: "SHA-256", 3: "SHA-384", 4: "SHA-512", 5: "identity", 6: "Streebog-256", 7: "Streebog-512"}

func hashes(list []uint16) string {
	var names []string
	for _, h := range list {
		s := hashNames[h]
		if s == "" {
			s = "another"
		}
		names = append(names, s)
		if len(names) == maxFields {
			break
		}
	}
	return strings.Join(names, ", ")
}

// meaning says in a line what a notify is for.
var meaning = map[message.NotifyType]string{
	message.NotifyUnsupportedCriticalPayload: "a payload that is marked critical is not known",
	message.NotifyInvalidIKESPI:              "the sender knows no IKE SA with these SPIs",
	message.NotifyInvalidMajorVersion:        "the sender speaks another version of IKE",
	message.NotifyInvalidSyntax:              "the message breaks the rules of the protocol",
	message.NotifyInvalidMessageID:           "the message ID is not expected",
	message.NotifyInvalidSPI:                 "an ESP packet came with an unknown SPI",
	message.NotifyNoProposalChosen:           "none of the offered algorithms is acceptable",
	message.NotifyInvalidKEPayload:           "another key exchange method is wanted",
	message.NotifyAuthenticationFailed:       "the proof of identity is not accepted",
	message.NotifySinglePairRequired:         "only a single pair of addresses is acceptable as selectors",
	message.NotifyNoAdditionalSAs:            "no further Child SAs are accepted",
	message.NotifyInternalAddressFailure:     "no inner address can be assigned",
	message.NotifyFailedCPRequired:           "an inner address has to be asked for",
	message.NotifyTSUnacceptable:             "none of the traffic selectors is acceptable",
	message.NotifyInvalidSelectors:           "a packet does not fit the selectors of its SA",
	message.NotifyUnacceptableAddresses:      "the new addresses are not acceptable",
	message.NotifyUnexpectedNATDetected:      "there is a NAT although none is allowed",
	message.NotifyTemporaryFailure:           "not now: try again later",
	message.NotifyChildSANotFound:            "the Child SA to rekey is not known",
	message.NotifyAuthorizationFailed:        "the peer is known, and may not",
	message.NotifyStateNotFound:              "the state to go on from is not known",
	message.NotifyTSMaxQueue:                 "no further Child SAs of the same traffic are accepted",

	message.NotifyInitialContact:                "this is the only IKE SA that the sender has with us: older ones can go",
	message.NotifyAdditionalTSPossible:          "more selectors would be possible in further Child SAs",
	message.NotifyNATDetectionSourceIP:          "a hash of the address that the sender sends from: where it differs there is a NAT",
	message.NotifyNATDetectionDestinationIP:     "a hash of the address that the sender sends to: where it differs there is a NAT",
	message.NotifyCookie:                        "the sender of a request must return this before it is served",
	message.NotifyUseTransportMode:              "transport mode rather than tunnel mode",
	message.NotifyRekeySA:                       "this Child SA is to be replaced",
	message.NotifyESPTFCPaddingNotSupported:     "padding against traffic analysis is not accepted",
	message.NotifyNonFirstFragmentsAlso:         "fragments may travel in the SA too",
	message.NotifyMOBIKESupported:               "the sender can change its address (MOBIKE)",
	message.NotifyNoAdditionalAddresses:         "the sender has no other address",
	message.NotifyUpdateSAAddresses:             "the SAs move to the addresses that this message travels between",
	message.NotifyCookie2:                       "the peer must return this, to show that it is reached",
	message.NotifyNoNATsAllowed:                 "there must be no NAT between the ends",
	message.NotifyAuthLifetime:                  "the peer must authenticate anew within this time",
	message.NotifyMultipleAuthSupported:         "the sender can authenticate in several rounds",
	message.NotifyAnotherAuthFollows:            "another round of authentication follows",
	message.NotifyRedirectSupported:             "the sender can be redirected to another gateway",
	message.NotifyRedirect:                      "another gateway is to be used",
	message.NotifyRedirectedFrom:                "the gateway that redirected the sender",
	message.NotifyEAPOnlyAuthentication:         "the gateway may prove itself through EAP alone",
	message.NotifyChildlessIKEv2Supported:       "an IKE SA without a Child SA is possible",
	message.NotifyFragmentationSupported:        "the sender reassembles fragmented messages",
	message.NotifySignatureHashAlgorithms:       "the hashes that the sender verifies signatures with",
	message.NotifyPuzzle:                        "the sender of a request must solve this before it is served",
	message.NotifyUsePPK:                        "a postquantum pre-shared key can be mixed in",
	message.NotifyPPKIdentity:                   "which postquantum pre-shared key is used",
	message.NotifyIntermediateExchangeSupported: "further exchanges are possible before IKE_AUTH",
	message.NotifyAdditionalKeyExchange:         "more key exchanges follow",
	message.NotifySupportedAuthMethods:          "the ways of authentication that the sender accepts",
	message.NotifySAResourceInfo:                "the Child SA is one of several of the same traffic, each for a resource",
}
