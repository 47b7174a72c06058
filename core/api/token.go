package api

// Tokens are the smart cards and tokens that the service sees.
type Tokens struct {
	// Modules are the PKCS #11 modules that it looks through, by their paths: its
	// own configuration says which.
	Modules []string `json:"modules"`
	Tokens  []Token  `json:"tokens"`
	// Problem is why not everything could be looked through.
	Problem *Error `json:"problem,omitempty"`
}

// A Token is a smart card or token that is there. What it says of itself is a
// stranger's text, cleaned.
type Token struct {
	Label        string `json:"label"`
	Manufacturer string `json:"manufacturer,omitempty"`
	Model        string `json:"model,omitempty"`
	Serial       string `json:"serial,omitempty"`
	Reader       string `json:"reader,omitempty"`
	Module       string `json:"module"`
	// PIN says how its PIN stands: empty, TriesLow or TriesFinal as in a Prompt,
	// or PINLocked, PINUnset.
	PIN          string             `json:"pin,omitempty"`
	Certificates []TokenCertificate `json:"certificates"`
}

// More values of Token.PIN.
const (
	PINLocked = "locked"
	PINUnset  = "unset" // nobody has set one yet
)

// A TokenCertificate is a certificate on a token.
type TokenCertificate struct {
	URI         string      `json:"uri"` // what local.token of a profile says for it
	Label       string      `json:"label,omitempty"`
	Authority   bool        `json:"authority,omitempty"` // it is no end's own
	Certificate Certificate `json:"certificate"`
}
