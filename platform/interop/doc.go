// Package interop holds the tests of the whole product against itself and
// against strongSwan, in the laboratory of platform/internal/lab.
package interop
