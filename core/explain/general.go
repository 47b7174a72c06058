package explain

import "sallyport/core/api"

// words are the general sentences for one code.
type words struct {
	what  string // with %s for the connection; empty: plain is said always
	plain string // what happened, where no connection is concerned
	why   string
	next  string
	hint  string // for the gateway's administrator
	// detail says that the error's own text belongs to the explanation.
	detail bool
}

const (
	notUp    = "Could not connect to %s."
	lost     = "The connection to %s ended."
	report   = "Please report it, with the output of \"sallyport log\"."
	impostor = "If they are right, somebody may be posing as the gateway: do not go on in this network."
)

// general explains every code.
var general = map[api.ErrorCode]words{
	api.CodeInternal: {what: "Something went wrong with %s.", plain: "Something went wrong inside Sallyport.",
		why: "This is a fault of Sallyport itself.", next: report, detail: true},
	api.CodeUsage: {plain: "The request cannot be understood.",
		why: "It lacks something, or holds something that does not belong there.", next: "\"sallyport help\" shows how it is written.", detail: true},
	api.CodeUnreachable: {plain: "The Sallyport service does not answer.",
		why: "It is not running, or it is stopping.", next: "Start it: \"sudo sallyportd start\", or \"sudo sallyportd run\" to watch it."},
	api.CodeNotAllowed: {plain: "You may not do this.",
		why: "The service lets only some users control it.", next: "Ask the administrator of this machine, or use sudo."},
	api.CodeNotFound: {what: "There is no connection %s.", plain: "There is no such connection.",
		why: "No profile of that name is stored.", next: "\"sallyport list\" shows the connections; \"sallyport import FILE\" adds one."},
	api.CodeExists: {what: "There is a connection %s already.", plain: "There is a connection of that name already.",
		why: "An import replaces nothing unless it is told to.", next: "Import it under another name (--name), or replace the old one (--replace)."},
	api.CodeBusy: {what: "%s is busy.", plain: "Another operation is under way.",
		why: "Another operation on it has not ended yet.", next: "Try again in a moment."},
	api.CodeProfileInvalid: {what: "The profile of %s cannot be used.", plain: "The file cannot be used.",
		why: "It is malformed.", next: "Correct the file and try again; nothing was changed.", detail: true},
	api.CodeUnsupported: {what: "%s needs something that Sallyport does not offer yet.", plain: "Sallyport does not offer this yet.",
		why: "It is not available on this system, or not yet.", next: "docs/platforms.md says what works on which system, docs/profile.md what a profile can say.", detail: true},
	api.CodeNoPrivilege: {what: notUp, plain: "The service lacks a right.",
		why: "The service may not change the network of this machine.", next: "Run it as root (\"sudo sallyportd run\"), as a system service (\"sudo sallyportd install\"), or with CAP_NET_ADMIN.", detail: true},
	api.CodeNoTUN: {what: notUp, plain: "There is no TUN device.",
		why: "The TUN device that carries the tunnel's packets cannot be opened.", next: "On Linux load the driver with \"sudo modprobe tun\"; a container needs /dev/net/tun passed through (--device /dev/net/tun). Then try again.", detail: true},
	api.CodeNetworkSetup: {what: notUp, plain: "The network could not be set up.",
		why: "The system refused the tunnel's addresses, routes or name servers.", next: "The machine is as it was before. Another VPN or a network manager may interfere; \"sallyport log\" has the details.", detail: true},
	api.CodeFirewall: {what: notUp, plain: "The firewall could not be set.",
		why: "The packet filter that keeps traffic from leaving unprotected could not be set, and without it nothing is connected that must be protected.", next: "Check that the kernel has nftables and that the service runs as root. To go without, connect with --profile respond.", detail: true},
	api.CodePolicyInvalid: {plain: "The policy cannot be used.",
		why: "It is malformed, or contradicts itself.", next: "Correct the file and try again; what was in force still is.", detail: true},
	api.CodeDowngrade: {what: "Traffic of %s is blocked.", plain: "Traffic is blocked.",
		why: "It was protected here before, and now the other side does not answer.", next: "Wait until it does, or let the traffic leave in clear for a while: \"sallyport allow-clear NAME\".", detail: true},
	api.CodePortInUse: {what: notUp, plain: "The IKE ports are in use.",
		why: "Another program has UDP port 500 or 4500.", next: "Find it with \"sudo ss -ulpn\" (often strongSwan or Libreswan), stop it, and try again.", detail: true},
	api.CodeNoNetwork: {what: notUp, plain: "There is no way to the gateway.",
		why: "This machine has no route to the gateway.", next: "Check that it is connected to a network that reaches the gateway, then try again.", detail: true},
	api.CodeResolve: {what: notUp, plain: "The gateway's name has no address.",
		why: "The gateway's name could not be resolved.", next: "Check how the gateway is spelled in the profile, and that this machine is online and its DNS works.", detail: true},
	api.CodeGatewaySilent: {what: notUp, plain: "The gateway does not answer.",
		why: "The gateway does not answer.", next: "Check the gateway's address, and that the network you are in lets UDP ports 500 and 4500 out: try another one, such as a phone's.",
		hint: "Does the gateway receive IKE from this client (tcpdump -ni any 'udp port 500 or udp port 4500'), and does its firewall let the answers out?", detail: true},
	api.CodeNoProposal: {what: notUp, plain: "There are no common algorithms.",
		why: "Client and gateway have no set of encryption algorithms in common (NO_PROPOSAL_CHOSEN).", next: "Ask the gateway's administrator which algorithms it accepts, and name them in the profile: proposals under [ike] and [[children]].",
		hint: "The gateway's log lists received and configured proposals beside NO_PROPOSAL_CHOSEN (strongSwan: swanctl --log, ike.proposals and esp_proposals). Which do you accept?", detail: true},
	api.CodeAuthRefused: {what: notUp, plain: "The gateway refused our credentials.",
		why: "The gateway does not accept how we prove who we are (AUTHENTICATION_FAILED). It does not say more, so as not to help attackers.", next: "Check this connection's own identity (local.id) and its secret or certificate with the gateway's administrator.",
		hint: "The gateway's log says why it answered AUTHENTICATION_FAILED: no connection for these identities, a wrong pre-shared key, or a client certificate that is unknown, expired or revoked."},
	api.CodePasswordRefused: {what: notUp, plain: "The gateway refused the user.",
		why: "The gateway does not accept the user's name and password, or the code.", next: "Connect again and type it once more. Nothing is tried by itself, so that the account is not locked.",
		hint: "Does the user exist, is the password right and the account open? The log of the gateway, or of the RADIUS server behind it, says why it refused.", detail: true},
	api.CodeEAPMethod: {what: notUp, plain: "The gateway asks in a way that cannot be answered.",
		why: "The gateway asks for the user's proof with a method of EAP that this connection does not allow, or has no means for.", next: "Ask the gateway's administrator which method it uses (MSCHAPv2, GTC, TLS, TTLS or PEAP), and allow it in the profile: methods under [local.eap]. EAP-TLS needs a certificate of the user.",
		hint: "Which methods of EAP does the gateway offer? It should have MSCHAPv2, TLS, TTLS, PEAP or GTC.", detail: true},
	api.CodePSKMismatch: {what: notUp, plain: "The pre-shared keys differ.",
		why: "The gateway proved itself with another pre-shared key than ours.", next: "Import the connection again with the right pre-shared key, and check remote.id. " + impostor,
		hint: "Which pre-shared key does the gateway hold for this pair of identities? A more specific entry for the client may hide it."},
	api.CodePeerUnknownCA: {what: notUp, plain: "The gateway's certificate is not trusted.",
		why: "The gateway's certificate does not lead to an authority that this connection trusts.", next: "If you expect this gateway, ask its administrator for the authority's certificate and import the connection again with it (remote.cas).",
		hint: "Which authority issued the gateway's certificate, and does the gateway send the intermediate certificates?"},
	api.CodePeerExpired: {what: notUp, plain: "The gateway's certificate is out of its time.",
		why: "The gateway's certificate is expired or not yet valid.", next: "Check the date and time of this machine. If they are right, the gateway needs a new certificate.",
		hint: "The gateway's certificate, or one above it, is out of its validity: renew it (pki --print, openssl x509 -dates)."},
	api.CodePeerIdentity: {what: notUp, plain: "The gateway is another one.",
		why: "The gateway is not the one that this connection asks for.", next: "Check the gateway's address and remote.id in the profile. " + impostor,
		hint: "Which identity (IDr) does the gateway send, and is it a subjectAltName of its certificate?", detail: true},
	api.CodePeerCertificate: {what: notUp, plain: "The gateway's certificate is not accepted.",
		why: "The gateway's certificate is not fit for its purpose.", next: "Ask the gateway's administrator for a certificate that fits.",
		hint: "The gateway needs a certificate with digitalSignature, without foreign extended key usages, with RSA of at least 2048 bits or ECDSA, signed with SHA-256 or better.", detail: true},
	api.CodePeerWeak: {what: notUp, plain: "The gateway's certificate is too weak.",
		why:  "The gateway's certificate, or one of its authorities, has an RSA key below 2048 bits or a signature over SHA-1: somebody with means can forge it, and pose as the gateway.",
		next: "Ask the gateway's administrator for a new certificate. Until there is one, weak_certificates = true under [remote] in the profile accepts this one, for this connection alone.",
		hint: "The gateway needs a certificate with RSA of at least 2048 bits or ECDSA, signed with SHA-256 or better, from an authority that has the same.", detail: true},
	api.CodePeerRevoked: {what: notUp, plain: "The gateway's certificate was revoked.",
		why: "The authority that issued the gateway's certificate has revoked it: it is not to be believed any more.", next: "Tell the gateway's administrator, who has to replace the certificate. Do not go on in this network until then: who has the key of a revoked certificate can pose as the gateway.",
		hint: "The gateway still sends a certificate that its authority has revoked: install the new one."},
	api.CodeRevocationUnknown: {what: notUp, plain: "Whether the gateway's certificate was revoked is not known.",
		why: "This connection wants to know that the gateway's certificate was not revoked, and nobody could tell.", next: "Check that this network lets HTTP out, and try again. If the authority's server is in a private network, revocation_private = true under [remote] lets it be asked.",
		hint: "Are the servers that the gateway's certificate names (CRL distribution points, OCSP) reachable by HTTP from outside the VPN, and are their answers current?"},
	api.CodePeerAuth: {what: notUp, plain: "The gateway could not prove who it is.",
		why: "The gateway's proof of identity does not hold.", next: "Check remote.method and remote.signatures in the profile. " + impostor,
		hint: "Does the gateway authenticate as the client expects (certificate or pre-shared key), with the private key of the certificate it sends?", detail: true},
	api.CodeLocalCredential: {what: notUp, plain: "The own credential cannot be used.",
		why: "The certificate, private key or secret of this connection is missing or unfit.", next: "Import the connection again with its certificate, key or secret.", detail: true},
	api.CodeTSUnacceptable: {what: notUp, plain: "The gateway protects none of the networks asked for.",
		why: "The gateway offers none of the networks that this connection asks for (TS_UNACCEPTABLE).", next: "Compare local_ts and remote_ts in the profile with what the gateway's administrator says. A gateway that hands out addresses wants them asked for: virtual_ips = [\"0.0.0.0\"].",
		hint: "Which traffic selectors (local_ts, remote_ts) does the gateway have for this client, and does it assign it a virtual address?"},
	api.CodeNoAddress: {what: notUp, plain: "The gateway has no address for us.",
		why: "The gateway assigned no inner address (INTERNAL_ADDRESS_FAILURE).", next: "Try again later. If it stays so, the gateway's administrator must enlarge its address pool, or virtual_ips must go from the profile.",
		hint: "Is the address pool of this connection empty or exhausted (swanctl --list-pools --leases)?"},
	api.CodePeerRefused: {what: notUp, plain: "The gateway refused.",
		why: "The gateway refused the connection.", next: "Show this to the gateway's administrator.",
		hint: "The gateway's log says why it sent this error notify to the client.", detail: true},
	api.CodePeerClosed: {what: lost, plain: "The gateway closed the connection.",
		why: "The gateway closed the connection.", next: "Connect again. If it keeps happening, ask the gateway's administrator.",
		hint: "Why does the gateway delete this client's IKE SA: an administrator, a lifetime, or another login of the same identity?", detail: true},
	api.CodePeerDead: {what: lost, plain: "The gateway stopped answering.",
		why: "The gateway stopped answering.", next: "Sallyport tries to come back by itself. Check this machine's network meanwhile.",
		hint: "Is the gateway up, and do packets from this client still reach it?"},
	api.CodeProtocol: {what: notUp, plain: "The gateway broke the protocol.",
		why: "The gateway sent something that IKEv2 does not allow.", next: "Please report it, with the output of \"sallyport log\" and the gateway's make and version.",
		hint: "Which IKEv2 implementation and version is the gateway?", detail: true},
	api.CodeCancelled: {what: "Connecting to %s was given up.", plain: "It was given up.",
		why: "You, or another program, asked for that.", next: "Connect again when you like."},
	api.CodeTimeout: {what: "%s was not ready in time.", plain: "It was not done in time.",
		why: "It took longer than the time given.", next: "Try again, or give it more time with --wait; \"sallyport status\" shows how it stands."},
}
