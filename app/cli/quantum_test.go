package cli

import (
	"testing"

	"sallyport/core/api"
)

func TestQuantumText(t *testing.T) {
	for _, tt := range []struct {
		conn api.Connection
		want string
	}{
		{api.Connection{}, ""},
		{api.Connection{QuantumSafe: true}, "yes"},
		{api.Connection{QuantumWhy: api.QuantumNotOffered}, "no, the connection does not ask for it"},
		{api.Connection{QuantumWhy: api.QuantumNotSupported}, "no, the gateway does not support it"},
		{api.Connection{QuantumWhy: api.QuantumRefused}, "no, the gateway answered only when it was asked without"},
		{api.Connection{QuantumWhy: "of a newer service"}, "no"},
	} {
		if got := quantumText(tt.conn); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.conn, got, tt.want)
		}
	}
}
