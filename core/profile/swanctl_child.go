package profile

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"sallyport/core/transform"
)

const kernelOnly = "belongs to the kernel's IPsec; the tunnel has a device of its own"

// childKeys are the settings of a child that have no counterpart here.
var childKeys = map[string]treatment{
	"ah_proposals":     {why: "AH is not supported", refuse: true},
	"sha256_96":        {same: no, why: "HMAC-SHA-256 cut to 96 bits is not supported", refuse: true},
	"mode":             {same: []string{"tunnel"}, why: "only tunnel mode is supported", refuse: true},
	"policies":         {same: yes, why: "a child without policies protects nothing here", refuse: true},
	"label":            {why: "security labels are not supported", refuse: true},
	"label_mode":       {any: true}, // of no effect without a label
	"policies_fwd_out": {same: no, why: kernelOnly},
	"updown":           {why: "no script is ever run"},
	"hostaccess":       {same: no, why: "no script is ever run"},
	"start_action":     {same: []string{"none"}, why: "the connection starts when it is asked to: sallyport connect"},
	"dpd_action":       {same: []string{"restart", "start"}, why: "the connection's profile decides what follows when the peer is silent"},
	"close_action":     {same: []string{"none", "clear"}, why: "the connection's profile decides what follows when the peer closes"},
	"ipcomp":           {same: no, why: "packets are not compressed"},
	"inactivity":       {same: zero, why: "an idle child stays"},
	"tfc_padding":      {same: zero, why: "packets are not padded to hide their length"},
	"replay_window":    {same: []string{"32", "64", "128", "256", "512", "1024"}, why: "the replay window is always on, with its own size"},
	"hw_offload":       {same: []string{"no", "auto"}, why: "the tunnel works in user space"},
	"copy_df":          {same: yes, why: "the outer header follows RFC 6040 and the path's MTU"},
	"copy_ecn":         {same: yes, why: "the outer header follows RFC 6040"},
	"copy_dscp":        {same: []string{"out"}, why: "the outer header follows RFC 6040"},
	"rand_time":        {same: zero, why: "is not used"},
	"rand_bytes":       {same: zero, why: "is not used"},
	"rand_packets":     {same: zero, why: "is not used"},
	"life_bytes":       {same: zero, why: "the count leads to new keys, not to an end"},
	"life_packets":     {same: zero, why: "the count leads to new keys, not to an end"},
	"reqid":            {same: zero, why: kernelOnly},
	"priority":         {same: zero, why: kernelOnly},
	"interface":        {why: kernelOnly},
	"mark_in":          {same: []string{"0", "0/0x00000000"}, why: kernelOnly},
	"mark_out":         {same: []string{"0", "0/0x00000000"}, why: kernelOnly},
	"mark_in_sa":       {same: no, why: kernelOnly},
	"set_mark_in":      {same: []string{"0", "0/0x00000000"}, why: kernelOnly},
	"set_mark_out":     {same: []string{"0", "0/0x00000000"}, why: kernelOnly},
	"if_id_in":         {same: zero, why: kernelOnly},
	"if_id_out":        {same: zero, why: kernelOnly},
}

// children reads connections.<name>.children.
func (v *view) children() {
	all := v.sec.Section("children")
	if all == nil || len(all.Sections) == 0 {
		v.refuse(v.sec.Pos, v.path+".children", "the connection has no child, so there is no traffic to protect")
		return
	}
	p := &v.b.Connection
	names := map[string]bool{}
	for _, sec := range all.Sections {
		c := v.view(sec, v.path+".children."+plain(sec.Name))
		if mode, pos := c.get("mode"); strings.EqualFold(mode, "pass") {
			c.note(pos, c.field("mode"), "exceptions from the tunnel are not supported yet; this traffic goes through it when another child covers it")
			continue
		}
		delete(c.used, "mode")
		ch := Child{Name: safeName(sec.Name)}
		if names[ch.Name] {
			c.malformed(sec.Pos, c.path, "two children would be called %s", shown(ch.Name))
		}
		names[ch.Name] = true
		ch.LocalTS, ch.RemoteTS = c.selectors("local_ts"), c.selectors("remote_ts")
		ch.Proposals = c.proposals("esp_proposals", transform.ProtoESP)
		c.lifetimes(&ch)
		c.rest(childKeys)
		p.Children = append(p.Children, ch)
	}
	if len(p.Children) == 0 {
		v.refuse(all.Pos, v.path+".children", "no child is left to protect traffic")
	}
}

// selectors reads traffic selectors. strongSwan's default differs from ours,
// so it is written down.
func (v *view) selectors(key string) []string {
	list, pos := v.list(key)
	if len(list) == 0 {
		return []string{"dynamic"}
	}
	for _, s := range list {
		if _, _, err := ParseSelector(s); err != nil {
			v.malformed(pos, v.field(key), "%v", err)
		}
	}
	return list
}

func (v *view) lifetimes(ch *Child) {
	var given bool
	if ch.RekeyTime, given = v.duration("rekey_time", maxLifetime); given && ch.RekeyTime.Duration == 0 {
		_, pos := v.get("rekey_time")
		v.note(pos, v.field("rekey_time"), "new keys cannot be switched off; they are made after 1h")
	}
	if life, ok := v.duration("life_time", 2*maxLifetime); ok && life.Duration > 0 {
		rekey := ch.RekeyTime.Duration
		if rekey == 0 {
			rekey = time.Hour
		}
		if !given && life.Duration <= rekey {
			// strongSwan lets such a child end before it has new keys; its
			// usual margin between the two keeps the child up.
			rekey = max(life.Duration*10/11, time.Second).Truncate(time.Second)
			ch.RekeyTime.Duration = rekey
		}
		if _, pos := v.get("life_time"); life.Duration <= rekey {
			v.note(pos, v.field("life_time"), "ends before new keys are made, and is not used")
		} else {
			ch.LifeTime = life
		}
	}
	ch.RekeyBytes = v.count("rekey_bytes", 64<<10)
	ch.RekeyPackets = v.count("rekey_packets", 1000)
	if v.perCPU() {
		ch.PerResourceSAs = OnePerProcessor
	}
}

// perCPU reads per_cpu_sas. "encap" besides gives each SA a UDP port of its own in
// strongSwan, which ours need not: they share the one.
func (v *view) perCPU() bool {
	s, pos := v.get("per_cpu_sas")
	switch s = strings.ToLower(s); {
	case s == "" || slices.Contains(no, s):
		return false
	case s == "encap":
		v.note(pos, v.field("per_cpu_sas"), "every SA uses the same UDP port")
	case !slices.Contains(yes, s):
		v.malformed(pos, v.field("per_cpu_sas"), "%s is neither yes, no nor encap", shown(s))
		return false
	}
	return true
}

// count reads a number with k, m or g behind it; less than least is raised to
// that.
func (v *view) count(key string, least uint64) uint64 {
	s, pos := v.get(key)
	if s == "" {
		return 0
	}
	digits, shift := s, 0
	if i := strings.IndexByte("kmg", s[len(s)-1]|0x20); i >= 0 {
		digits, shift = s[:len(s)-1], 10*(i+1)
	}
	n, err := strconv.ParseUint(digits, 10, 63-shift)
	if err != nil {
		v.malformed(pos, v.field(key), "%s is not a number", shown(s))
		return 0
	}
	if n <<= shift; n != 0 && n < least {
		v.note(pos, v.field(key), "is raised to %d, or new keys would be made without end", least)
		return least
	}
	return n
}
