package cli

import (
	"testing"

	"sallyport/core/api"
)

func TestTransportText(t *testing.T) {
	for want, of := range map[string]*api.Transport{
		"through TCP 4500, because UDP was not answered":                                      {TCP: 4500, Why: api.TransportUDPSilent},
		"through TCP 443 inside TLS, as the profile says":                                     {TCP: 443, TLS: true, Why: api.TransportWanted},
		"through TCP 443, as the profile says; the connection broke, and is being made again": {TCP: 443, Why: api.TransportWanted, Broken: true},
	} {
		if got := transportText(of); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if transportText(nil) != "" || transportText(&api.Transport{}) != "" {
		t.Error("UDP is said")
	}
}
