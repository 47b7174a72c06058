// Package wycheproof holds our use of every primitive against the test vectors
// of Project Wycheproof: known attacks, edge cases of arithmetic and of
// encodings. The vectors are fed to our own functions, as IKE and ESP call
// them, and not to those of the libraries beneath.
//
// The vectors in testdata are unchanged but for compression. They come from
// github.com/c2sp/wycheproof at v0.0.0-20260902155932-3fa63dd0344a, the
// directory testvectors_v1, under the Apache License 2.0 (testdata/LICENSE).
package wycheproof
