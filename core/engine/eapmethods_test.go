package engine

import (
	"slices"
	"testing"

	"sallyport/core/eap"
	"sallyport/core/ike"
	"sallyport/core/profile"
)

// Who has shown a certificate already and is asked for the user proves that with
// the password: the same certificate within TLS would prove nothing more. A
// profile that names methods is followed.
func TestPasswordFollowsCertificate(t *testing.T) {
	for _, tt := range []struct {
		name    string
		method  string
		methods []string
		want    []eap.Type
	}{
		{"after the certificate", profile.MethodCertificate, nil, []eap.Type{eap.TypeMSCHAPv2, eap.TypeGTC, eap.TypeTTLS, eap.TypePEAP, eap.TypeTLS}},
		{"named", profile.MethodCertificate, []string{"tls", "gtc"}, []eap.Type{eap.TypeTLS, eap.TypeGTC}},
		{"EAP alone: as it is usual", profile.MethodEAP, nil, nil},
	} {
		cfg := &ike.Config{}
		if err := (credentials{}).eapAuth(&profile.Auth{Method: tt.method, User: "alice", EAP: profile.EAP{Methods: tt.methods}}, cfg); err != nil {
			t.Fatal(err)
		}
		if got := cfg.Local.EAP.Methods; !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}
