// Package draft is a connection as a wizard edits it: plain data, its checks
// field by field, and the way to and from the text of a profile.
package draft
