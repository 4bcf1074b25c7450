// Package logtest is the contract of events.Log as a test: every implementation passes it.
package logtest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"
	"time"

	"shiplog/events"
)

// Forger is what a log under test must also be able to do: hold an event of a newer Shiplog, chained to the subject's
// last event. Only tests write such events.
type Forger interface {
	Forge(subject events.Subject, name string, version, reader int, body []byte)
}

// Run runs the contract against logs made by open. Each call of open returns an empty log, which also is a [Forger], and
// cleans up after itself.
func Run(t *testing.T, open func(t *testing.T) events.Log) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, events.Log)
	}{
		{"an empty log", testEmpty},
		{"append and read back", testAppendRead},
		{"a batch is all or nothing", testAtomic},
		{"a batch of many events", testLargeBatch},
		{"malformed batches", testMalformed},
		{"conflicts", testConflict},
		{"too large", testTooLarge},
		{"the same batch again", testAgain},
		{"the same ids for something else", testIDReused},
		{"the hash chain", testChain},
		{"reading from positions", testPositions},
		{"unknown events", testUnknown},
		{"follow", testFollow},
		{"follow while appends go on", testFollowLive},
		{"concurrent appends to one subject", testOneSubject},
		{"concurrent appends to many subjects", testManySubjects},
		{"concurrent appends of the same batch", testSameBatchRace},
		{"a cancelled context", testCancelled},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, open(t)) })
	}
}

// appID returns the id of the i-th app of a test.
func appID(i int) events.ID { return events.NamedID("app", fmt.Sprint(i)) }

func subject(i int) events.Subject { return events.AppSubject(appID(i)) }

// draft is an event whose payload holds text. The id is named by the parts of id.
func draft(text string, id ...string) events.Draft {
	return events.Draft{
		ID: events.NamedID(id...), At: time.Date(2026, 11, 21, 9, 0, 0, 123456789, time.UTC),
		Actor: events.NewActor("token", "test"), Cause: "cause:" + id[0], Deployment: appID(99),
		Event: events.AppStopped{Reason: text},
	}
}

func text(r events.Recorded) string {
	stopped, _ := r.Event.(events.AppStopped)
	return stopped.Reason
}

// add builds an append of events that follow a head; their ids are named by the subject and texts.
func add(s events.Subject, expect events.Head, texts ...string) events.Append {
	a := events.Append{Subject: s, Expect: expect}
	for _, x := range texts {
		a.Events = append(a.Events, draft(x, string(s), x))
	}
	return a
}

func mustAppend(t *testing.T, log events.Log, batch ...events.Append) []events.Recorded {
	t.Helper()
	recorded, err := log.Append(t.Context(), batch...)
	if err != nil {
		t.Fatalf("append: %v", err)
	}
	want := 0
	for _, a := range batch {
		want += len(a.Events)
	}
	if len(recorded) != want {
		t.Fatalf("append returned %d events, want %d", len(recorded), want)
	}
	return recorded
}

func mustHead(t *testing.T, log events.Log, s events.Subject) events.Head {
	t.Helper()
	head, err := log.Head(t.Context(), s)
	if err != nil {
		t.Fatalf("head of %s: %v", s, err)
	}
	return head
}

func mustLast(t *testing.T, log events.Log) events.Position {
	t.Helper()
	last, err := log.Last(t.Context())
	if err != nil {
		t.Fatalf("last: %v", err)
	}
	return last
}

func collect(t *testing.T, seq iter.Seq2[events.Recorded, error]) []events.Recorded {
	t.Helper()
	var out []events.Recorded
	for r, err := range seq {
		if err != nil {
			t.Fatalf("after %d events: %v", len(out), err)
		}
		out = append(out, r)
	}
	return out
}

func replay(t *testing.T, log events.Log) []events.Recorded {
	t.Helper()
	return collect(t, log.Replay(t.Context(), events.Position{}))
}

func wantError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want one that wraps %q", err, want)
	}
}

// firstError returns the error a sequence yields first; nil when it yields none.
func firstError(seq iter.Seq2[events.Recorded, error]) error {
	for _, err := range seq {
		if err != nil {
			return err
		}
	}
	return nil
}

// same fails the test unless got is want in everything a reader can see.
func same(t *testing.T, got, want []events.Recorded) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d events, want %d", len(got), len(want))
	}
	for i := range got {
		g, w := got[i], want[i]
		if g.Position != w.Position || g.Subject != w.Subject || g.Hash != w.Hash || g.Meta != w.Meta ||
			string(g.Body) != string(w.Body) || text(g) != text(w) {
			t.Fatalf("event %d differs:\n got %+v\nwant %+v", i, g, w)
		}
	}
}

func timeout(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}
