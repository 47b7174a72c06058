package message

import "fmt"

// A NotifyType names the condition that a Notify payload reports (RFC 7296, section
// 3.10.1, and RFC 4555, 4478, 4739, 5685, 5723, 5998, 6023, 6290, 6311, 7383, 7427, 7791,
// 8019, 8784, 8983, 9242, 9370, 9593 and 9611).
type NotifyType uint16

// The values of NotifyType.
const (
	NotifyUnsupportedCriticalPayload    NotifyType = 1
	NotifyInvalidIKESPI                 NotifyType = 4
	NotifyInvalidMajorVersion           NotifyType = 5
	NotifyInvalidSyntax                 NotifyType = 7
	NotifyInvalidMessageID              NotifyType = 9
	NotifyInvalidSPI                    NotifyType = 11
	NotifyNoProposalChosen              NotifyType = 14
	NotifyInvalidKEPayload              NotifyType = 17
	NotifyAuthenticationFailed          NotifyType = 24
	NotifySinglePairRequired            NotifyType = 34
	NotifyNoAdditionalSAs               NotifyType = 35
	NotifyInternalAddressFailure        NotifyType = 36
	NotifyFailedCPRequired              NotifyType = 37
	NotifyTSUnacceptable                NotifyType = 38
	NotifyInvalidSelectors              NotifyType = 39
	NotifyUnacceptableAddresses         NotifyType = 40
	NotifyUnexpectedNATDetected         NotifyType = 41
	NotifyTemporaryFailure              NotifyType = 43
	NotifyChildSANotFound               NotifyType = 44
	NotifyAuthorizationFailed           NotifyType = 46
	NotifyStateNotFound                 NotifyType = 47
	NotifyTSMaxQueue                    NotifyType = 48
	NotifyInitialContact                NotifyType = 16384
	NotifySetWindowSize                 NotifyType = 16385
	NotifyAdditionalTSPossible          NotifyType = 16386
	NotifyIPCompSupported               NotifyType = 16387
	NotifyNATDetectionSourceIP          NotifyType = 16388
	NotifyNATDetectionDestinationIP     NotifyType = 16389
	NotifyCookie                        NotifyType = 16390
	NotifyUseTransportMode              NotifyType = 16391
	NotifyHTTPCertLookupSupported       NotifyType = 16392
	NotifyRekeySA                       NotifyType = 16393
	NotifyESPTFCPaddingNotSupported     NotifyType = 16394
	NotifyNonFirstFragmentsAlso         NotifyType = 16395
	NotifyMOBIKESupported               NotifyType = 16396
	NotifyAdditionalIP4Address          NotifyType = 16397
	NotifyAdditionalIP6Address          NotifyType = 16398
	NotifyNoAdditionalAddresses         NotifyType = 16399
	NotifyUpdateSAAddresses             NotifyType = 16400
	NotifyCookie2                       NotifyType = 16401
	NotifyNoNATsAllowed                 NotifyType = 16402
	NotifyAuthLifetime                  NotifyType = 16403
	NotifyMultipleAuthSupported         NotifyType = 16404
	NotifyAnotherAuthFollows            NotifyType = 16405
	NotifyRedirectSupported             NotifyType = 16406
	NotifyRedirect                      NotifyType = 16407
	NotifyRedirectedFrom                NotifyType = 16408
	NotifyTicketLTOpaque                NotifyType = 16409
	NotifyTicketRequest                 NotifyType = 16410
	NotifyTicketAck                     NotifyType = 16411
	NotifyTicketNack                    NotifyType = 16412
	NotifyTicketOpaque                  NotifyType = 16413
	NotifyEAPOnlyAuthentication         NotifyType = 16417
	NotifyChildlessIKEv2Supported       NotifyType = 16418
	NotifyQuickCrashDetection           NotifyType = 16419
	NotifyMessageIDSyncSupported        NotifyType = 16420
	NotifyReplayCounterSyncSupported    NotifyType = 16421
	NotifyMessageIDSync                 NotifyType = 16422
	NotifyReplayCounterSync             NotifyType = 16423
	NotifyFragmentationSupported        NotifyType = 16430
	NotifySignatureHashAlgorithms       NotifyType = 16431
	NotifyCloneIKESASupported           NotifyType = 16432
	NotifyCloneIKESA                    NotifyType = 16433
	NotifyPuzzle                        NotifyType = 16434
	NotifyUsePPK                        NotifyType = 16435
	NotifyPPKIdentity                   NotifyType = 16436
	NotifyNoPPKAuth                     NotifyType = 16437
	NotifyIntermediateExchangeSupported NotifyType = 16438
	NotifyIP4Allowed                    NotifyType = 16439
	NotifyIP6Allowed                    NotifyType = 16440
	NotifyAdditionalKeyExchange         NotifyType = 16441
	NotifySupportedAuthMethods          NotifyType = 16443
	NotifySAResourceInfo                NotifyType = 16444
	// NotifyPadding is ours, from the range for private use: it makes a message as
	// long as it has to be, and whoever does not know it passes over it.
	NotifyPadding NotifyType = 58171
)

var notifyTypeNames = map[NotifyType]string{
	NotifyUnsupportedCriticalPayload:    "UNSUPPORTED_CRITICAL_PAYLOAD",
	NotifyInvalidIKESPI:                 "INVALID_IKE_SPI",
	NotifyInvalidMajorVersion:           "INVALID_MAJOR_VERSION",
	NotifyInvalidSyntax:                 "INVALID_SYNTAX",
	NotifyInvalidMessageID:              "INVALID_MESSAGE_ID",
	NotifyInvalidSPI:                    "INVALID_SPI",
	NotifyNoProposalChosen:              "NO_PROPOSAL_CHOSEN",
	NotifyInvalidKEPayload:              "INVALID_KE_PAYLOAD",
	NotifyAuthenticationFailed:          "AUTHENTICATION_FAILED",
	NotifySinglePairRequired:            "SINGLE_PAIR_REQUIRED",
	NotifyNoAdditionalSAs:               "NO_ADDITIONAL_SAS",
	NotifyInternalAddressFailure:        "INTERNAL_ADDRESS_FAILURE",
	NotifyFailedCPRequired:              "FAILED_CP_REQUIRED",
	NotifyTSUnacceptable:                "TS_UNACCEPTABLE",
	NotifyInvalidSelectors:              "INVALID_SELECTORS",
	NotifyUnacceptableAddresses:         "UNACCEPTABLE_ADDRESSES",
	NotifyUnexpectedNATDetected:         "UNEXPECTED_NAT_DETECTED",
	NotifyTemporaryFailure:              "TEMPORARY_FAILURE",
	NotifyChildSANotFound:               "CHILD_SA_NOT_FOUND",
	NotifyAuthorizationFailed:           "AUTHORIZATION_FAILED",
	NotifyStateNotFound:                 "STATE_NOT_FOUND",
	NotifyTSMaxQueue:                    "TS_MAX_QUEUE",
	NotifyInitialContact:                "INITIAL_CONTACT",
	NotifySetWindowSize:                 "SET_WINDOW_SIZE",
	NotifyAdditionalTSPossible:          "ADDITIONAL_TS_POSSIBLE",
	NotifyIPCompSupported:               "IPCOMP_SUPPORTED",
	NotifyNATDetectionSourceIP:          "NAT_DETECTION_SOURCE_IP",
	NotifyNATDetectionDestinationIP:     "NAT_DETECTION_DESTINATION_IP",
	NotifyCookie:                        "COOKIE",
	NotifyUseTransportMode:              "USE_TRANSPORT_MODE",
	NotifyHTTPCertLookupSupported:       "HTTP_CERT_LOOKUP_SUPPORTED",
	NotifyRekeySA:                       "REKEY_SA",
	NotifyESPTFCPaddingNotSupported:     "ESP_TFC_PADDING_NOT_SUPPORTED",
	NotifyNonFirstFragmentsAlso:         "NON_FIRST_FRAGMENTS_ALSO",
	NotifyMOBIKESupported:               "MOBIKE_SUPPORTED",
	NotifyAdditionalIP4Address:          "ADDITIONAL_IP4_ADDRESS",
	NotifyAdditionalIP6Address:          "ADDITIONAL_IP6_ADDRESS",
	NotifyNoAdditionalAddresses:         "NO_ADDITIONAL_ADDRESSES",
	NotifyUpdateSAAddresses:             "UPDATE_SA_ADDRESSES",
	NotifyCookie2:                       "COOKIE2",
	NotifyNoNATsAllowed:                 "NO_NATS_ALLOWED",
	NotifyAuthLifetime:                  "AUTH_LIFETIME",
	NotifyMultipleAuthSupported:         "MULTIPLE_AUTH_SUPPORTED",
	NotifyAnotherAuthFollows:            "ANOTHER_AUTH_FOLLOWS",
	NotifyRedirectSupported:             "REDIRECT_SUPPORTED",
	NotifyRedirect:                      "REDIRECT",
	NotifyRedirectedFrom:                "REDIRECTED_FROM",
	NotifyTicketLTOpaque:                "TICKET_LT_OPAQUE",
	NotifyTicketRequest:                 "TICKET_REQUEST",
	NotifyTicketAck:                     "TICKET_ACK",
	NotifyTicketNack:                    "TICKET_NACK",
	NotifyTicketOpaque:                  "TICKET_OPAQUE",
	NotifyEAPOnlyAuthentication:         "EAP_ONLY_AUTHENTICATION",
	NotifyChildlessIKEv2Supported:       "CHILDLESS_IKEV2_SUPPORTED",
	NotifyQuickCrashDetection:           "QUICK_CRASH_DETECTION",
	NotifyMessageIDSyncSupported:        "IKEV2_MESSAGE_ID_SYNC_SUPPORTED",
	NotifyReplayCounterSyncSupported:    "IPSEC_REPLAY_COUNTER_SYNC_SUPPORTED",
	NotifyMessageIDSync:                 "IKEV2_MESSAGE_ID_SYNC",
	NotifyReplayCounterSync:             "IPSEC_REPLAY_COUNTER_SYNC",
	NotifyFragmentationSupported:        "IKEV2_FRAGMENTATION_SUPPORTED",
	NotifySignatureHashAlgorithms:       "SIGNATURE_HASH_ALGORITHMS",
	NotifyCloneIKESASupported:           "CLONE_IKE_SA_SUPPORTED",
	NotifyCloneIKESA:                    "CLONE_IKE_SA",
	NotifyPuzzle:                        "PUZZLE",
	NotifyUsePPK:                        "USE_PPK",
	NotifyPPKIdentity:                   "PPK_IDENTITY",
	NotifyNoPPKAuth:                     "NO_PPK_AUTH",
	NotifyIntermediateExchangeSupported: "INTERMEDIATE_EXCHANGE_SUPPORTED",
	NotifyIP4Allowed:                    "IP4_ALLOWED",
	NotifyIP6Allowed:                    "IP6_ALLOWED",
	NotifyAdditionalKeyExchange:         "ADDITIONAL_KEY_EXCHANGE",
	NotifySupportedAuthMethods:          "SUPPORTED_AUTH_METHODS",
	NotifySAResourceInfo:                "SA_RESOURCE_INFO",
	NotifyPadding:                       "PADDING",
}

func (t NotifyType) String() string {
	if name, ok := notifyTypeNames[t]; ok {
		return name
	}
	return fmt.Sprintf("notify(%d)", uint16(t))
}

// IsError reports whether the condition is an error rather than a status; an
// unknown error still fails the request that it answers (RFC 7296, section 3.10.1).
func (t NotifyType) IsError() bool { return t < 16384 }
