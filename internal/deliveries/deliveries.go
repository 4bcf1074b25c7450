// Package deliveries is the vocabulary of webhook deliveries that led to nothing: what a person who wonders why a push
// did not deploy looks through. Deliveries that matter to an app are events of the app, and are not kept here.
package deliveries

import (
	"time"

	"shiplog/events"
)

// Verdict is why a delivery led to nothing.
type Verdict string

// The verdicts.
const (
	NoApp        Verdict = "no app matched"
	Ignored      Verdict = "ignored event type"
	Ping         Verdict = "ping"
	Duplicate    Verdict = "duplicate"
	Unauthorized Verdict = "bad signature"
	Malformed    Verdict = "malformed"
)

// Delivery is one request of a sender. Its texts are what the sender said: show them, do not trust them.
type Delivery struct {
	ID       string    `json:"id"`              // the sender's id of the delivery, at most 256 bytes
	Provider string    `json:"provider"`        // "github", …
	App      events.ID `json:"app,omitempty"`   // of an app's own hook; empty for the instance-wide one
	Event    string    `json:"event,omitempty"` // the sender's event type: "push", "ping"
	At       time.Time `json:"at"`
	Verdict  Verdict   `json:"verdict"`
	Reason   string    `json:"reason,omitempty"` // for people, at most 1 KiB
}
