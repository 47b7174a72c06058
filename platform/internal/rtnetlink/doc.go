// Package rtnetlink hears what Linux tells of changes to the network. Elsewhere it is
// empty.
package rtnetlink
