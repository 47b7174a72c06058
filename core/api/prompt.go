package api

import "time"

// A PromptKind says what the service asks of the user.
type PromptKind string

// The kinds of prompts.
const (
	PromptPassword    PromptKind = "password"    // the password of Prompt.User
	PromptCode        PromptKind = "code"        // a one-time code, with the gateway's own words in Prompt.Text
	PromptSecret      PromptKind = "secret"      // the pre-shared key of the connection
	PromptPassphrase  PromptKind = "passphrase"  // what opens the private key of the connection
	PromptPIN         PromptKind = "pin"         // of the token that Prompt.Text names
	PromptCertificate PromptKind = "certificate" // one of Prompt.Choices
	PromptServer      PromptKind = "server"      // whether the unknown gateway of Prompt.Certificate is to be trusted
)

// A Prompt is a question that the service puts to whoever is in front of the
// machine. It stands in State.Prompts until it is answered, Until has come, or
// the attempt that asks has ended.
type Prompt struct {
	ID         string     `json:"id"` // of this asking; not to be guessed
	Kind       PromptKind `json:"kind"`
	Connection string     `json:"connection"`
	User       string     `json:"user,omitempty"` // whose password
	// Text is what the other side wrote, cleaned of control characters. It is a
	// stranger's text: shown as such, as plain text, and never as ours.
	Text        string       `json:"text,omitempty"`
	Attempt     int          `json:"attempt"` // 1 the first time; more after a wrong answer
	Choices     []Choice     `json:"choices,omitempty"`
	Certificate *Certificate `json:"certificate,omitempty"`
	Asked       time.Time    `json:"asked"`
	Until       time.Time    `json:"until"`
	// Tries says, of a PIN, that few tries are left: empty, TriesLow or TriesFinal.
	Tries string `json:"tries,omitempty"`
	// Rememberable says that the same answer may serve the next time: not that
	// of a one-time code. A choice the service itself remembers, see Answer.
	Rememberable bool `json:"rememberable,omitempty"`
}

// The values of Prompt.Tries. Tokens do not tell the number.
const (
	TriesLow   = "low"   // a wrong one was given since the last right one
	TriesFinal = "final" // one more wrong one locks the token
)

// A Choice is one of the answers of a PromptCertificate.
type Choice struct {
	ID          string       `json:"id"`
	Text        string       `json:"text"`
	Certificate *Certificate `json:"certificate,omitempty"`
}

// A Certificate is what a person compares of one.
type Certificate struct {
	Subject     string    `json:"subject"`
	Issuer      string    `json:"issuer"`
	Names       []string  `json:"names,omitempty"` // subject alternative names
	NotBefore   time.Time `json:"not_before"`
	NotAfter    time.Time `json:"not_after"`
	Fingerprint string    `json:"fingerprint"` // SHA-256, "AB:CD:…"
	// Uses are what it may be used for, of a certificate of our own; none: it does
	// not say.
	Uses []CertificateUse `json:"uses,omitempty"`
}

// A CertificateUse is an extended key usage (RFC 5280, section 4.2.1.12).
type CertificateUse string

// The uses that people are told of.
const (
	UseClient    CertificateUse = "client"    // proves who a client is
	UseServer    CertificateUse = "server"    // proves who a server is
	UseIPsec     CertificateUse = "ipsec"     // proves who an end of IPsec is
	UseSmartCard CertificateUse = "smartcard" // signs a user in
	UseEmail     CertificateUse = "email"
	UseCode      CertificateUse = "code" // signs programs
	UseAny       CertificateUse = "any"
	UseOther     CertificateUse = "other"
)

// An Answer answers a Prompt.
type Answer struct {
	ID string `json:"id"`
	// Secret answers all kinds but PromptCertificate and PromptServer. It is wiped when Answer
	// returns: a Backend keeps a copy of what it needs.
	Secret []byte `json:"secret,omitempty"`
	Choice string `json:"choice,omitempty"` // the Choice.ID, of PromptCertificate
	// Remember makes the choice the one of the connection from now on, once it
	// has proved right. The service keeps no secret: what shall remember those
	// keeps them itself.
	Remember bool `json:"remember,omitempty"`
	Trust    bool `json:"trust,omitempty"`  // of PromptServer: trust this certificate from now on
	Cancel   bool `json:"cancel,omitempty"` // the user gives up; the attempt ends with CodeCancelled
}
