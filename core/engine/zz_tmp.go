package engine

import (
	"sallyport/core/api"
	"sallyport/core/policy"
)

func simulate(*policy.Compiled, []byte) (api.Simulation, error) { return api.Simulation{}, nil }
