package memlog_test

import (
	"errors"
	"testing"
	"time"

	"shiplog/events"
	"shiplog/internal/logtest"
	"shiplog/internal/memlog"
)

func TestContract(t *testing.T) {
	logtest.Run(t, func(*testing.T) events.Log { return memlog.New() })
}

func stop(id string, expect events.Head) events.Append {
	at := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	return events.Append{Subject: events.AppSubject(events.NamedID("app")), Expect: expect, Events: []events.Draft{{
		ID: events.NamedID(id), At: at, Actor: events.Self, Event: events.AppStopped{Reason: id}}}}
}

func TestFailNext(t *testing.T) {
	for _, written := range []bool{false, true} {
		log := memlog.New()
		log.FailNext(events.ErrUnavailable, written)
		if _, err := log.Append(t.Context(), stop("one", events.Head{})); !errors.Is(err, events.ErrUnavailable) {
			t.Fatalf("written %v: error %v", written, err)
		}
		if got := len(log.All()) == 1; got != written {
			t.Errorf("written %v: in the log %v", written, got)
		}
		if _, err := log.Append(t.Context(), stop("one", events.Head{})); err != nil {
			t.Errorf("written %v: the same batch again: %v", written, err)
		}
		if n := len(log.All()); n != 1 {
			t.Errorf("written %v: %d events in the end, want 1", written, n)
		}
	}
}

func TestBeforeNext(t *testing.T) {
	log := memlog.New()
	log.BeforeNext(func() {
		if _, err := log.Append(t.Context(), stop("other", events.Head{})); err != nil {
			t.Error(err)
		}
	})
	if _, err := log.Append(t.Context(), stop("one", events.Head{})); !errors.Is(err, events.ErrConflict) {
		t.Errorf("error %v, want a conflict with the writer that slipped in", err)
	}
}
