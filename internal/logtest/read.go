package logtest

import (
	"context"
	"fmt"
	"testing"

	"shiplog/events"
)

func testPositions(t *testing.T, log events.Log) {
	var all []events.Recorded
	heads := map[events.Subject]events.Head{}
	for i := range 9 {
		s := subject(i % 2)
		r := mustAppend(t, log, add(s, heads[s], fmt.Sprint(i)))
		heads[s], all = r[0].Head(), append(all, r...)
	}
	for i := range all {
		same(t, collect(t, log.Replay(t.Context(), all[i].Position)), all[i+1:])
		var mine []events.Recorded
		for _, r := range all[i+1:] {
			if r.Subject == subject(0) {
				mine = append(mine, r)
			}
		}
		same(t, collect(t, log.Read(t.Context(), subject(0), all[i].Position)), mine)
	}
	for r, err := range log.Replay(t.Context(), events.Position{}) {
		if err != nil || r.Position != all[0].Position {
			t.Errorf("got %s, %v", r.Position, err)
		}
		break // leaving early must not hang or leak
	}

	last := mustLast(t, log)
	start := events.Position{Epoch: last.Epoch}
	same(t, collect(t, log.Replay(t.Context(), start)), all)
	beyond, epoch := last, last
	beyond.Sequence++
	epoch.Epoch++
	for name, read := range map[string]func(events.Position) error{
		"replay": func(p events.Position) error { return firstError(log.Replay(t.Context(), p)) },
		"read":   func(p events.Position) error { return firstError(log.Read(t.Context(), subject(0), p)) },
		"follow": func(p events.Position) error { return firstError(log.Follow(timeout(t), p)) },
	} {
		t.Run(name, func(t *testing.T) {
			wantError(t, read(beyond), events.ErrCorrupt)
			wantError(t, read(epoch), events.ErrConflict)
		})
	}
}

func testUnknown(t *testing.T, log events.Log) {
	forger, ok := log.(Forger)
	if !ok {
		t.Fatalf("%T is no logtest.Forger: it cannot be given events from the future", log)
	}
	before := mustAppend(t, log, add(subject(1), events.Head{}, "before"))
	forger.Forge(subject(1), "FromTheFuture", 1, 1, []byte(`{"x":1}`))
	forger.Forge(subject(1), "AppStopped", 99, 1, []byte(`{}`))
	forger.Forge(subject(1), "AppStopped", 1, 99, []byte(`{}`))
	forger.Forge(subject(1), "AppStopped", 1, 1, []byte(`{"field":"from the future"}`))
	forger.Forge(subject(1), "AppStopped", 1, 1, []byte(`not JSON`))
	after := mustAppend(t, log, add(subject(1), mustHead(t, log, subject(1)), "after"))

	got := collect(t, log.Read(t.Context(), subject(1), events.Position{}))
	if len(got) != 7 {
		t.Fatalf("%d events, want 7", len(got))
	}
	same(t, got[:1], before)
	same(t, got[6:], after)
	for i, r := range got[1:6] {
		u, ok := r.Event.(events.Unknown)
		if !ok || u.Type != r.Type || u.Version != r.Version || u.Why == "" {
			t.Errorf("event %d came back as %#v, want an Unknown that says why", i+1, r.Event)
		}
		if r.Prev != got[i].Hash {
			t.Errorf("event %d does not follow the one before", i+1)
		}
	}
	same(t, replay(t, log), got)
}

func testFollow(t *testing.T, log events.Log) {
	first := mustAppend(t, log, add(subject(1), events.Head{}, "one", "two"))
	ctx, cancel := context.WithCancel(timeout(t))
	defer cancel()
	var got []events.Recorded
	for r, err := range log.Follow(ctx, first[0].Position) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, r)
		switch len(got) {
		case 1: // the caller may use the log from inside the loop
			first = append(first, mustAppend(t, log, add(subject(2), events.Head{}, "three"))...)
		case 2:
			first = append(first, mustAppend(t, log, add(subject(3), events.Head{}, "four", "five"))...)
		case 4:
			cancel()
		}
	}
	same(t, got, first[1:])
	if ctx.Err() == nil {
		t.Error("follow ended by itself")
	}
	for range log.Follow(ctx, events.Position{}) {
		t.Fatal("follow with an ended context yielded something")
	}
}

func testFollowLive(t *testing.T, log events.Log) {
	const followers, rounds = 4, 40
	ctx := timeout(t)
	type seen struct {
		events []events.Recorded
		err    error
	}
	results := make(chan seen, followers)
	for range followers {
		go func() {
			var s seen
			for r, err := range log.Follow(ctx, events.Position{}) {
				if s.err = err; err != nil {
					break
				}
				if s.events = append(s.events, r); len(s.events) == 3*rounds {
					break
				}
			}
			results <- s
		}()
	}
	for i := range rounds {
		mustAppend(t, log, add(subject(i), events.Head{}, "a", "b"), add(subject(i+1000), events.Head{}, "c"))
	}
	want := replay(t, log)
	for range followers {
		s := <-results
		if s.err != nil {
			t.Fatal(s.err)
		}
		same(t, s.events, want)
	}
}
