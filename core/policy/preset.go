package policy

import (
	"fmt"
	"time"

	"sallyport/core/api"
)

// The names of the stock filter lists and filter actions.
const (
	ListAllIP   = "All IP Traffic"
	ListAllICMP = "All ICMP Traffic"

	StockPermit  = "Permit"
	StockBlock   = "Block"
	StockRespond = "Respond only"
	StockRequest = "Request security"
	StockRequire = "Require security"
)

// Defaults of settings that are left out.
const (
	defaultFallbackTime = 5 * time.Minute
	defaultDowngradeTTL = 30 * 24 * time.Hour
	defaultMainLifetime = 8 * time.Hour
	defaultRekeySeconds = 3600
)

// StockFilterLists returns the filter lists that every policy can name.
func StockFilterLists() []FilterList {
	return []FilterList{
		{Name: ListAllIP, Description: "Every IP packet between this machine and any other.",
			Filters: []Filter{{Source: WordMe, Destination: WordAny, Mirrored: true}}},
		{Name: ListAllICMP, Description: "Every ICMP packet between this machine and any other.",
			Filters: []Filter{{Source: WordMe, Destination: WordAny, Protocol: "icmp", Mirrored: true}}},
	}
}

// StockFilterActions returns the filter actions that every policy can name.
func StockFilterActions() []FilterAction {
	return []FilterAction{
		{Name: StockPermit, Description: "Lets packets pass unsecured.", Action: ActionPermit},
		{Name: StockBlock, Description: "Lets no packet pass.", Action: ActionBlock},
		{Name: StockRespond, Description: "Secures packets once the peer or the user asks; else they pass unsecured.",
			Action: ActionNegotiate, RespondOnly: true, AcceptUnsecured: true, FallbackToUnsecured: true},
		{Name: StockRequest, Description: "Negotiates security; where the peer cannot, packets pass unsecured, and it is shown.",
			Action: ActionNegotiate, AcceptUnsecured: true, FallbackToUnsecured: true},
		{Name: StockRequire, Description: "Negotiates security; packets pass secured or not at all.", Action: ActionNegotiate, SessionKeyPFS: true},
	}
}

// Preset returns the predefined policy of a profile. auth is how its rules
// authenticate host to host; without any the policy must be completed before
// it can be assigned.
func Preset(profile api.Profile, auth ...AuthMethod) (*Policy, error) {
	p := New(PresetName(profile))
	p.DefaultResponse = DefaultResponse{Enabled: true, Auth: cloneAuth(auth)}
	rule := Rule{Name: ListAllIP, FilterList: ListAllIP, Enabled: true, Auth: cloneAuth(auth)}
	switch profile {
	case api.Respond:
		p.Description = "Communicates unsecured, and secures what a peer asks to secure."
		return p, nil
	case api.Request:
		p.Description = "Asks every peer for security, and communicates unsecured with those that cannot give it."
		rule.FilterAction = StockRequest
	case api.Require:
		p.Description = "Communicates secured or not at all."
		rule.FilterAction = StockRequire
	default:
		return nil, fmt.Errorf("policy: unknown profile %q", profile)
	}
	p.Rules = []Rule{rule}
	return p, nil
}

// Presets returns the three predefined policies.
func Presets(auth ...AuthMethod) []*Policy {
	var out []*Policy
	for _, profile := range []api.Profile{api.Respond, api.Request, api.Require} {
		p, err := Preset(profile, auth...)
		if err != nil {
			panic(err) // the three are known above
		}
		out = append(out, p)
	}
	return out
}
