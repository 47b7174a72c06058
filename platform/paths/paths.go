// Package paths says where the service keeps its files and answers front ends,
// unless the command line says otherwise.
package paths
