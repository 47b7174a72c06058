package engine

import (
	"runtime"
	"slices"
	"strconv"

	"sallyport/core/ike"
)

// resources is how many Child SAs for resources (RFC 9611) a profile's setting
// means: one for each processor when it is negative.
func resources(setting int) int {
	if setting < 0 {
		setting = runtime.GOMAXPROCS(0)
	}
	return min(setting, ike.MaxResources)
}

// beside returns the Child SA of the session that carries the same traffic as a new
// one for a resource, which shares its group; nil when there is none.
func (s *session) beside(x ike.InstallChild) *childSA {
	if x.Child.Resource == 0 || x.Replaces != 0 {
		return nil
	}
	for _, k := range s.kids {
		if !k.retired && k.sa.Name == x.Child.Name &&
			slices.Equal(k.sa.Local, x.Child.Local) && slices.Equal(k.sa.Remote, x.Child.Remote) {
			return k
		}
	}
	return nil
}

// title names a Child SA in the log.
func (k *childSA) title() string {
	if k.sa.Resource == 0 {
		return k.sa.Name
	}
	return k.sa.Name + " for resource " + strconv.Itoa(k.sa.Resource)
}
