package datapath

import (
	"encoding/binary"

	"sallyport/core/encap"
	"sallyport/core/esp"
	"sallyport/core/ippkt"
	"sallyport/core/sad"
	"sallyport/core/transform"
)

// MinMTU is the smallest path MTU that is believed: what every IPv4 host can
// receive (RFC 791). For IPv6 it is 1280 (RFC 8200, section 5).
const MinMTU = 576

const minMTU6 = 1280

// outerLen returns the length of the headers outside of ESP.
func outerLen(v6 bool) int {
	if v6 {
		return ippkt.IPv6Len + encap.Overhead
	}
	return ippkt.IPv4Len + encap.Overhead
}

// InnerMTU returns the length of the longest inner packet that an outer packet
// of outerMTU bytes carries, in UDP over IPv4 or IPv6 (v6). It is negative when
// there is none.
func InnerMTU(outerMTU int, v6 bool, suite transform.Suite) int {
	return esp.MaxInner(suite, outerMTU-outerLen(v6))
}

// segmentFit returns the length of the longest inner packet that TCP is to make.
func segmentFit(sa *sad.SA, path *sad.Path) int {
	return sa.Out.Sealer.MaxInner(min(path.SegmentMTU()-outerLen(path.V6()), maxDatagram))
}

// clampMSS lowers the MSS option of the TCP segment at seg, a SYN, so that
// segments fit in inner packets of mtu bytes, and corrects the checksum. ipLen
// is the length of the IP header without options.
func clampMSS(seg []byte, mtu, ipLen int) {
	hlen := ippkt.TCPHeader(seg)
	most := mtu - ipLen - ippkt.TCPLen
	if hlen == 0 || most <= 0 {
		return
	}
	for i := ippkt.TCPLen; i < hlen; {
		switch kind := seg[i]; kind {
		case 0:
			return
		case 1:
			i++
			continue
		default:
			if i+2 > hlen || seg[i+1] < 2 || i+int(seg[i+1]) > hlen {
				return // not for us to judge
			}
			if kind == 2 && seg[i+1] == 4 {
				setMSS(seg, i+2, most)
				return
			}
			i += int(seg[i+1])
		}
	}
}

func setMSS(seg []byte, at, most int) {
	old := binary.BigEndian.Uint16(seg[at:])
	if int(old) <= most {
		return
	}
	now := uint16(most)
	binary.BigEndian.PutUint16(seg[at:], now)
	if at%2 != 0 { // across two words of the sum: the bytes change places
		old, now = old<<8|old>>8, now<<8|now>>8
	}
	sum := binary.BigEndian.Uint16(seg[16:])
	binary.BigEndian.PutUint16(seg[16:], ippkt.Update(sum, old, now))
}
