//go:build !linux

// Package roottest is for tests that need root, a TUN device or a network
// namespace.
package roottest

import (
	"os"
	"testing"
)

// Demand is the environment variable that, set to 1, makes a test that cannot
// get what it needs fail rather than be skipped.
const Demand = "SALLYPORT_ROOT_TESTS"

// Require skips the test, or fails it when Demand says so.
func Require(t testing.TB) {
	t.Helper()
	if os.Getenv(Demand) == "1" {
		t.Fatalf("%s=1 demands this test, which runs only on Linux", Demand)
	}
	t.Skip("not run: only on Linux yet")
}

// Namespace is Require.
func Namespace(t *testing.T) bool {
	t.Helper()
	Require(t)
	return false
}
