// Package bench holds the benchmarks of the whole product against its peers:
// two of our ends and two of theirs, each pair in namespaces of its own laid the
// same way (platform/internal/lab), measured in turns. "make bench" runs it.
package bench
