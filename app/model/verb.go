package model

// A Verb names something a user can do. Verbs lists all that the windows and
// the tray offer, each with the verb of the command line that does the same.
type Verb string

// The verbs on a connection that a Snapshot speaks of; Verbs has all.
const (
	None       Verb = ""
	Connect    Verb = "connect"
	Disconnect Verb = "disconnect"
	Cancel     Verb = "cancel" // the attempt that is under way
)

// The other verbs.
const (
	SetProfile      Verb = "profile"     // that is stored
	Answer          Verb = "answer"      // a prompt
	AllowClear      Verb = "allow-clear" // for a while
	Import          Verb = "import"
	Test            Verb = "test"
	Export          Verb = "export"
	Remove          Verb = "remove"
	List            Verb = "list"
	Status          Verb = "status"
	Traffic         Verb = "traffic"
	Monitor         Verb = "monitor"
	ReadLog         Verb = "log"
	Exchanges       Verb = "exchanges"
	Diagnose        Verb = "diagnose"
	ShowStatic      Verb = "show-static"
	ShowDynamic     Verb = "show-dynamic"
	ShowSecurity    Verb = "show-security"
	About           Verb = "about"
	ListPolicies    Verb = "policy-list"
	ShowPolicy      Verb = "policy-show"
	StorePolicy     Verb = "policy-import" // also what the editor saves
	ExportPolicy    Verb = "policy-export"
	DuplicatePolicy Verb = "policy-duplicate"
	RemovePolicy    Verb = "policy-remove"
	DiffPolicies    Verb = "policy-diff"
	AssignPolicy    Verb = "policy-assign"
	UnassignPolicy  Verb = "policy-unassign"
	ExplainFlow     Verb = "policy-explain"
	Simulate        Verb = "policy-simulate"
	ListPrompts     Verb = "prompts"
	ListTokens      Verb = "tokens"
	ListMemories    Verb = "memory-list"
	PinMemory       Verb = "memory-pin"
	UnpinMemory     Verb = "memory-unpin"
	ForgetMemory    Verb = "memory-forget"
)

// An Offer is a verb that the windows or the tray offer.
type Offer struct {
	Verb Verb
	// CLI is the verb of the command line that does the same.
	CLI string
	// Calls is the method of api.Backend that does it.
	Calls string
}

// Verbs returns all that the windows and the tray offer.
func Verbs() []Offer {
	return []Offer{
		{Connect, "sallyport connect", "Connect"},
		{Answer, "sallyport answer", "Answer"},
		{ListPrompts, "sallyport prompts", "State"},
		{ListTokens, "sallyport tokens", "Tokens"},
		{Cancel, "sallyport disconnect", "Disconnect"},
		{Disconnect, "sallyport disconnect", "Disconnect"},
		{SetProfile, "sallyport profile", "SetProfile"},
		{AllowClear, "sallyport allow-clear", "AllowClear"},
		{Import, "sallyport import", "Import"},
		{Test, "sallyport test", "Test"},
		{Export, "sallyport export", "Export"},
		{Remove, "sallyport remove", "Remove"},
		{List, "sallyport list", "State"},
		{Status, "sallyport status", "State"},
		{About, "sallyport version", "State"},
		{ShowStatic, "sallyport show static", "State"},
		{Monitor, "sallyport monitor", "Events"},
		{ReadLog, "sallyport log", "Log"},
		{Traffic, "sallyport traffic", "Traffic"},
		{Exchanges, "sallyport exchanges", "Exchanges"},
		{Diagnose, "sallyport diagnose", "Dynamic"},
		{ShowDynamic, "sallyport show dynamic", "Dynamic"},
		{ShowSecurity, "sallyport show security", "Security"},
		{ListPolicies, "sallyport policy list", "Policies"},
		{ShowPolicy, "sallyport policy show", "Policy"},
		{ExportPolicy, "sallyport policy export", "Policy"},
		{DuplicatePolicy, "sallyport policy duplicate", "StorePolicy"},
		{StorePolicy, "sallyport policy import", "StorePolicy"},
		{RemovePolicy, "sallyport policy remove", "RemovePolicy"},
		{DiffPolicies, "sallyport policy diff", "DiffPolicies"},
		{AssignPolicy, "sallyport policy assign", "Assign"},
		{UnassignPolicy, "sallyport policy unassign", "Unassign"},
		{ExplainFlow, "sallyport policy explain", "ExplainFlow"},
		{Simulate, "sallyport policy simulate", "Simulate"},
		{ListMemories, "sallyport memory list", "Memories"},
		{PinMemory, "sallyport memory pin", "Pin"},
		{UnpinMemory, "sallyport memory unpin", "Pin"},
		{ForgetMemory, "sallyport memory forget", "Forget"},
	}
}
