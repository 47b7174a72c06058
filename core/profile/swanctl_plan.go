package profile

import (
	"strings"

	"sallyport/core/api"
	"sallyport/core/profile/settings"
)

// What our settings are called in swanctl.conf.
var (
	connPlan = map[string]string{
		"remote_addrs": "gateways", "proposals": "ike.proposals", "rekey_time": "ike.rekey_time", "over_time": "ike.life_time",
		"reauth_time": "ike.reauth_time", "dpd_delay": "ike.liveness_delay", "unique": "ike.unique", "mobike": "ike.mobike", "vips": "virtual_ips",
		"ppk_id": "ike.ppks", "ppk_required": "ike.ppk_required", "childless": "ike.childless",
	}
	localPlan  = map[string]string{"auth": "local.method", "id": "local.id", "certs": "local.certificates", "aaa_id": "local.eap.server"}
	remotePlan = map[string]string{"auth": "remote.method", "id": "remote.id", "cacerts": "remote.cas", "revocation": "remote.revocation"}
	childPlan  = map[string]string{
		"local_ts": "local_ts", "remote_ts": "remote_ts", "esp_proposals": "proposals", "rekey_time": "rekey_time",
		"life_time": "life_time", "rekey_bytes": "rekey_bytes", "rekey_packets": "rekey_packets", "per_cpu_sas": "per_resource_sas",
	}
)

// plan tells what became of the settings of a connection's section. Proposals
// are told one by one, with the reason of each that is not offered.
func (c *conn) plan(sec *settings.Section) []api.PlanLine {
	p := planner{wanted: map[string][]string{}, notes: map[string][]string{}}
	ours := map[string]string{} // our name of a setting, by its path in the file
	said := map[string]string{} // what the file says at a path
	root := "connections." + plain(sec.Name)
	take := func(s *settings.Section, path string, names map[string]string, prefix string) {
		for _, k := range s.Keys {
			field := path + "." + plain(k.Name)
			said[field] = shownValue(k.Value)
			name, ok := names[k.Name]
			if !ok || k.Value == "" {
				continue
			}
			ours[field] = prefix + name
			for item := range strings.SplitSeq(k.Value, ",") {
				if item = strings.TrimSpace(item); item != "" {
					p.wanted[prefix+name] = append(p.wanted[prefix+name], shownValue(item))
				}
			}
		}
	}
	take(sec, root, connPlan, "")
	for _, s := range sec.Sections {
		path := root + "." + plain(s.Name)
		switch {
		case strings.HasPrefix(s.Name, "local"):
			take(s, path, localPlan, "")
		case strings.HasPrefix(s.Name, "remote"):
			take(s, path, remotePlan, "")
		case s.Name == "children":
			for _, ch := range s.Sections {
				take(ch, path+"."+plain(ch.Name), childPlan, "children."+safeName(ch.Name)+".")
			}
		}
	}
	var rest []remark
	for _, r := range c.remarks {
		switch name := ours[r.field]; {
		case strings.HasSuffix(name, "proposals"): // said with each
		case name != "":
			p.notes[name] = append(p.notes[name], r.why)
		default:
			rest = append(rest, r)
		}
	}
	p.connection(&c.b.Connection)
	for _, r := range rest {
		if r.why == unknownSetting { // who knows what somebody wrote there
			said[r.field] = ""
		}
		p.add(api.PlanLine{Setting: strings.TrimPrefix(strings.TrimPrefix(r.field, root), "."), Wanted: said[r.field], Note: r.why})
	}
	for _, g := range c.im.general {
		p.add(api.PlanLine{Setting: c.im.name, Note: g})
	}
	return p.lines
}

// shownValue is a value of the file as a plan may show it: of one line, and
// not too long.
func shownValue(s string) string {
	if clean(s) && len(s) <= 200 {
		return s
	}
	return shown(s)
}
