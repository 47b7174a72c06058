package api

import "time"

// An EventKind says what an Event carries.
type EventKind string

// The kinds of events.
const (
	EventConnection EventKind = "connection" // a connection was added or changed: Connection is its new state
	EventRemoved    EventKind = "removed"    // a connection was removed: Name
	EventFallback   EventKind = "fallback"   // traffic of Name leaves in clear from now on, until Connection.ClearUntil
	EventAssignment EventKind = "assignment" // another policy is in force, or none: Assignment
	EventPrompt     EventKind = "prompt"     // the service asks: Prompt
	EventAnswered   EventKind = "answered"   // the prompt with the ID Name asks no more
	EventLog        EventKind = "log"        // a line for the log: Log
	EventLost       EventKind = "lost"       // the follower was too slow; read State again
)

// An Event is one change of the service's state. Seq grows by one with each
// event, so a follower notices a gap.
type Event struct {
	Seq        uint64      `json:"seq"`
	Time       time.Time   `json:"time"`
	Kind       EventKind   `json:"kind"`
	Name       string      `json:"name,omitempty"` // of the connection concerned
	Connection *Connection `json:"connection,omitempty"`
	Log        *LogEntry   `json:"log,omitempty"`
	Assignment *Assignment `json:"assignment,omitempty"`
	Prompt     *Prompt     `json:"prompt,omitempty"`
}

// A LogLevel orders log entries by weight.
type LogLevel string

// The levels.
const (
	LogDebug LogLevel = "debug"
	LogInfo  LogLevel = "info"
	LogWarn  LogLevel = "warn"
	LogError LogLevel = "error"
)

// A LogEntry is one line of the service's log. It never holds a secret.
type LogEntry struct {
	Time  time.Time `json:"time"`
	Level LogLevel  `json:"level"`
	// Topic is the part that speaks: "ike", "esp", "net", "config", "service".
	Topic      string `json:"topic"`
	Connection string `json:"connection,omitempty"`
	Text       string `json:"text"`
}
