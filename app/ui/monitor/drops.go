package monitor

import "sallyport/app/i18n"

// drop explains the reason of a drop in the words of a user; empty when the
// service is newer than we are and has found another reason.
func drop(reason string) string {
	switch reason {
	case "esp: out-malformed":
		return i18n.T("monitor.drop.out_malformed")
	case "esp: out-no-policy":
		return i18n.T("monitor.drop.out_no_policy")
	case "esp: out-discard":
		return i18n.T("monitor.drop.out_discard")
	case "esp: out-bypass":
		return i18n.T("monitor.drop.out_bypass")
	case "esp: out-selectors", "esp: in-selectors":
		return i18n.T("monitor.drop.selectors")
	case "esp: out-stage-full", "esp: out-stage-stale":
		return i18n.T("monitor.drop.stage")
	case "esp: out-too-big", "esp: out-path-too-big":
		return i18n.T("monitor.drop.too_big")
	case "esp: out-hard-limit", "esp: in-hard-limit":
		return i18n.T("monitor.drop.hard_limit")
	case "esp: out-send-failed":
		return i18n.T("monitor.drop.send_failed")
	case "esp: out-tun-full":
		return i18n.T("monitor.drop.tun_full")
	case "esp: out-tcp-congested":
		return i18n.T("monitor.drop.tcp_congested")
	case "esp: out-no-path":
		return i18n.T("monitor.drop.no_path")
	case "esp: out-icmp-limited":
		return i18n.T("monitor.drop.icmp_limited")
	case "esp: in-malformed", "esp: in-short":
		return i18n.T("monitor.drop.in_malformed")
	case "esp: in-unknown-spi":
		return i18n.T("monitor.drop.unknown_spi")
	case "esp: in-replay":
		return i18n.T("monitor.drop.replay")
	case "esp: in-bad-icv", "esp: in-bad-padding", "ike: integrity check failed":
		return i18n.T("monitor.drop.icv")
	case "esp: in-dummy":
		return i18n.T("monitor.drop.dummy")
	case "esp: in-bad-inner":
		return i18n.T("monitor.drop.bad_inner")
	case "esp: in-ecn":
		return i18n.T("monitor.drop.ecn")
	case "esp: in-no-tun", "esp: in-tun-write-failed":
		return i18n.T("monitor.drop.tun")
	case "esp: in-receive-failed":
		return i18n.T("monitor.drop.receive_failed")
	case "esp: in-socket-full":
		return i18n.T("monitor.drop.socket_full")
	case "tcp: no room":
		return i18n.T("monitor.drop.tcp_room")
	case "ike: queue full", "events: queue full":
		return i18n.T("monitor.drop.queue")
	case "ike: other IKE version", "ike: malformed header", "ike: malformed or unprotected", "ike: invalid key exchange value":
		return i18n.T("monitor.drop.ike_malformed")
	case "ike: unknown SPI", "ike: SPI of another role or peer", "ike: before the keys":
		return i18n.T("monitor.drop.ike_unknown")
	case "ike: repeated request", "ike: unexpected response", "ike: message ID out of window", "ike: unexpected IKE_SA_INIT request":
		return i18n.T("monitor.drop.ike_repeated")
	case "ike: unauthenticated refusal", "ike: too many unprotected answers", "ike: unacceptable IKE_SA_INIT response", "ike: unacceptable cookie":
		return i18n.T("monitor.drop.ike_unproven")
	case "ike: too many half-open IKE SAs", "ike: without cookie", "ike: half-open IKE SA timed out", "ike: request before authentication":
		return i18n.T("monitor.drop.ike_half_open")
	}
	return ""
}
