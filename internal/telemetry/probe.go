package telemetry

import "time"

// Probe is what a health check of a member has found, or what several did one after the other that found the same.
type Probe struct {
	Time       time.Time `json:"time"`  // of the first of them
	Count      int       `json:"count"` // how many
	OK         bool      `json:"ok"`
	Reason     string    `json:"reason,omitempty"` // what was seen instead, a sentence for people
	DurationMs float64   `json:"duration_ms"`      // of the last of them
	Changed    bool      `json:"changed"`          // the first of them has taken the member down, or brought it up
}
