package events_test

import (
	"testing"
	"time"

	"shiplog/events"
)

func benchDraft() events.Draft {
	return events.Draft{
		ID: events.NamedID("bench"), At: time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC), Actor: "push:github", Cause: "delivery",
		Event: events.PushReceived{Provider: "github", Delivery: "1", Repository: "https://example.com/a/b.git",
			Ref: "refs/heads/main", After: "9a4df0b19a4df0b19a4df0b19a4df0b19a4df0b1", Message: "Fix the frobnicator"},
	}
}

// BenchmarkSeal and BenchmarkOpen are the cost of an event without a log: what bounds a replay.
func BenchmarkSeal(b *testing.B) {
	for b.Loop() {
		if _, err := events.Seal("app.x", events.Hash{1}, benchDraft()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	r, err := events.Seal("app.x", events.Hash{1}, benchDraft())
	if err != nil {
		b.Fatal(err)
	}
	headers := r.Headers()
	get := func(name string) string { return headers[name] }
	for b.Loop() {
		if _, err := events.Open(events.Position{Epoch: 1, Sequence: 1}, r.Subject, get, r.Body); err != nil {
			b.Fatal(err)
		}
	}
}
