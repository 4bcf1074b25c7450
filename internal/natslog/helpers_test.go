package natslog_test

import (
	"errors"
	"fmt"
	"testing"

	"shiplog/events"
)

// single appends one event to a subject of its own.
func single(i int) events.Append {
	return events.Append{Subject: events.AppSubject(events.NamedID("app", fmt.Sprint(i))), Events: []events.Draft{push(int64(i))}}
}

// appendEach appends n events, each to a subject of its own.
func appendEach(t testing.TB, log events.Log, n int) (all []events.Recorded) {
	t.Helper()
	for i := range n {
		recorded, err := log.Append(t.Context(), single(i))
		if err != nil {
			t.Fatalf("event %d: %v", i, err)
		}
		all = append(all, recorded...)
	}
	return all
}

func replay(t testing.TB, log events.Log) (all []events.Recorded) {
	t.Helper()
	for r, err := range log.Replay(t.Context(), events.Position{}) {
		if err != nil {
			t.Fatalf("after %d events: %v", len(all), err)
		}
		all = append(all, r)
	}
	return all
}

func wantEvents(t testing.TB, got, want []events.Recorded) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d events, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i].Position != want[i].Position || got[i].Hash != want[i].Hash {
			t.Fatalf("event %d is %s %s, want %s %s", i, got[i].Position, got[i].Hash, want[i].Position, want[i].Hash)
		}
	}
}

func wantError(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want one that wraps %q", err, want)
	}
}
