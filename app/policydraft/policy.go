// Package policydraft edits the text of a policy in place: what is not touched
// stays as its author wrote it, with comments, order and spacing. It knows the
// shape of the format and judges nothing: the verdict is the service's. The
// format is that of the page on policies in the documentation.
package policydraft

// A Policy is what a text says, as far as it has the shape of the format.
// Durations stay text.
type Policy struct {
	Version         uint64          `toml:"version" must:"yes"`
	Name            string          `toml:"name" must:"yes"`
	Description     string          `toml:"description"`
	KeyExchange     KeyExchange     `toml:"key_exchange"`
	DefaultResponse DefaultResponse `toml:"default_response"`
	Downgrade       Downgrade       `toml:"downgrade"`
	Exemptions      Exemptions      `toml:"exemptions"`
	FilterLists     []FilterList    `toml:"filter_lists"`
	FilterActions   []FilterAction  `toml:"filter_actions"`
	Rules           []Rule          `toml:"rules"`
}

// A Rule joins a filter list and a filter action, by name.
type Rule struct {
	Name           string       `toml:"name" must:"yes"`
	FilterList     string       `toml:"filter_list" must:"yes"`
	FilterAction   string       `toml:"filter_action" must:"yes"`
	Tunnel         string       `toml:"tunnel"`
	ConnectionType string       `toml:"connection_type"` // "": all
	Enabled        bool         `toml:"enabled" default:"true"`
	Auth           []AuthMethod `toml:"auth"`
}

// A FilterList is a named list of filters.
type FilterList struct {
	Name        string   `toml:"name" must:"yes"`
	Description string   `toml:"description"`
	Filters     []Filter `toml:"filters" must:"yes"`
}

// A Filter matches packets.
type Filter struct {
	Source          string `toml:"source" must:"yes"`
	Destination     string `toml:"destination" must:"yes"`
	Protocol        string `toml:"protocol"`
	SourcePort      string `toml:"source_port"`
	DestinationPort string `toml:"destination_port"`
	Mirrored        bool   `toml:"mirrored" default:"true"`
}

// A FilterAction says what happens to matching traffic.
type FilterAction struct {
	Name                string   `toml:"name" must:"yes"`
	Description         string   `toml:"description"`
	Action              string   `toml:"action" must:"yes"`
	Methods             []string `toml:"methods"`
	AcceptUnsecured     bool     `toml:"accept_unsecured"`
	FallbackToUnsecured bool     `toml:"fallback_to_unsecured"`
	FallbackTime        string   `toml:"fallback_time"`
	RespondOnly         bool     `toml:"respond_only"`
	SessionKeyPFS       bool     `toml:"session_key_pfs"`
	RekeySeconds        uint64   `toml:"rekey_seconds"`
	RekeyKilobytes      uint64   `toml:"rekey_kilobytes"`
}

// The actions of a FilterAction.
const (
	Permit    = "permit"
	Block     = "block"
	Negotiate = "negotiate"
)

// An AuthMethod is one way to authenticate. Secret and Key name entries of the
// secret store; no secret stands in a policy.
type AuthMethod struct {
	Method       string   `toml:"method" must:"yes"`
	User         string   `toml:"user"`
	EAPMethods   []string `toml:"eap_methods"`
	CAs          []string `toml:"cas"`
	Certificates []string `toml:"certificates"`
	Key          string   `toml:"key"`
	Secret       string   `toml:"secret"`
	LocalID      string   `toml:"local_id"`
	RemoteID     string   `toml:"remote_id"`
}

// The methods of an AuthMethod.
const (
	Certificate = "certificate"
	PSK         = "psk"
	EAP         = "eap"
)

// KeyExchange are the settings of main mode.
type KeyExchange struct {
	Methods      []string `toml:"methods"`
	MasterKeyPFS bool     `toml:"master_key_pfs"`
	Lifetime     string   `toml:"lifetime"`
}

// A DefaultResponse answers peers for whose traffic no rule negotiates.
type DefaultResponse struct {
	Enabled bool         `toml:"enabled"`
	Methods []string     `toml:"methods"`
	Auth    []AuthMethod `toml:"auth"`
}

// Downgrade are the settings of the downgrade memory.
type Downgrade struct {
	TTL  string   `toml:"ttl"`
	Pins []string `toml:"pins"`
}

// Exemptions are what passes in clear text all the same.
type Exemptions struct {
	LAN          bool `toml:"lan"`
	LANDiscovery bool `toml:"lan_discovery"`
}

// The filter lists and filter actions that every policy can name without
// writing them.
var (
	stockLists   = []string{"All IP Traffic", "All ICMP Traffic"}
	stockActions = []FilterAction{
		{Name: "Permit", Action: Permit},
		{Name: "Block", Action: Block},
		{Name: "Respond only", Action: Negotiate, RespondOnly: true, AcceptUnsecured: true, FallbackToUnsecured: true},
		{Name: "Request security", Action: Negotiate, AcceptUnsecured: true, FallbackToUnsecured: true},
		{Name: "Require security", Action: Negotiate, SessionKeyPFS: true},
	}
)

// StockLists returns the names of the filter lists that are always there.
func StockLists() []string { return append([]string(nil), stockLists...) }

// StockActions returns the filter actions that are always there.
func StockActions() []FilterAction { return append([]FilterAction(nil), stockActions...) }

// List returns the filters of the list of that name. Stock lists are always
// there.
func (p *Policy) List(name string) ([]Filter, bool) {
	for i := range p.FilterLists {
		if p.FilterLists[i].Name == name {
			return p.FilterLists[i].Filters, true
		}
	}
	switch name {
	case stockLists[0]:
		return []Filter{{Source: "me", Destination: "any", Mirrored: true}}, true
	case stockLists[1]:
		return []Filter{{Source: "me", Destination: "any", Protocol: "icmp", Mirrored: true}}, true
	}
	return nil, false
}

// Action returns the filter action of that name, of the policy or a stock one.
func (p *Policy) Action(name string) (FilterAction, bool) {
	for _, l := range [][]FilterAction{p.FilterActions, stockActions} {
		for i := range l {
			if l[i].Name == name {
				return l[i], true
			}
		}
	}
	return FilterAction{}, false
}
