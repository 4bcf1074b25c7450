package logtest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"shiplog/events"
)

func testEmpty(t *testing.T, log events.Log) {
	last := mustLast(t, log)
	if last.Sequence != 0 || last.Epoch == 0 {
		t.Errorf("last of an empty log is %s, want sequence 0 of an epoch from 1", last)
	}
	if head := mustHead(t, log, subject(1)); head != (events.Head{}) {
		t.Errorf("head of an empty subject is %+v, want zero", head)
	}
	for _, after := range []events.Position{{}, last} {
		same(t, collect(t, log.Replay(t.Context(), after)), nil)
		same(t, collect(t, log.Read(t.Context(), subject(1), after)), nil)
	}
}

func testAppendRead(t *testing.T, log events.Log) {
	a := mustAppend(t, log, add(subject(1), events.Head{}, "one", "two"))
	b := mustAppend(t, log, add(subject(2), events.Head{}, "other"))
	c := mustAppend(t, log, add(subject(1), mustHead(t, log, subject(1)), "three"))

	same(t, collect(t, log.Read(t.Context(), subject(1), events.Position{})), append(a[:2:2], c...))
	same(t, collect(t, log.Read(t.Context(), subject(2), events.Position{})), b)
	same(t, replay(t, log), []events.Recorded{a[0], a[1], b[0], c[0]})
	epoch := mustLast(t, log).Epoch
	for i, r := range replay(t, log) {
		if want := (events.Position{Epoch: epoch, Sequence: uint64(i) + 1}); r.Position != want {
			t.Errorf("event %d is at %s, want %s", i, r.Position, want)
		}
	}
	if head := mustHead(t, log, subject(1)); head != c[0].Head() {
		t.Errorf("head is %+v, want %+v", head, c[0].Head())
	}
	if last := mustLast(t, log); last != c[0].Position {
		t.Errorf("last is %s, want %s", last, c[0].Position)
	}
	at := time.Date(2026, 11, 21, 9, 0, 0, 123456000, time.UTC)
	if r := replay(t, log)[0]; !r.At.Equal(at) || r.Actor != "token:test" || r.Deployment != appID(99) || r.Type != "AppStopped" ||
		r.Cause != "cause:"+string(subject(1)) {
		t.Errorf("envelope came back as %+v", r.Meta)
	}
}

func testAtomic(t *testing.T, log events.Log) {
	first := mustAppend(t, log,
		add(events.NameSubject("app", "hello.world"), events.Head{}, "claimed"), add(subject(1), events.Head{}, "one", "two"),
		add(subject(2), events.Head{}, "three"))
	same(t, replay(t, log), first)

	head := mustHead(t, log, subject(1))
	for name, batch := range map[string][]events.Append{
		"first":  {add(subject(1), events.Head{}, "a", "b"), add(subject(3), events.Head{}, "c")},
		"last":   {add(subject(3), events.Head{}, "c"), add(subject(1), events.Head{}, "a")},
		"middle": {add(subject(3), events.Head{}, "c", "d"), add(subject(2), head, "a"), add(subject(4), events.Head{}, "e")},
	} {
		_, err := log.Append(t.Context(), batch...)
		if err == nil {
			t.Fatalf("conflict on the %s subject: appended", name)
		}
		wantError(t, err, events.ErrConflict)
		same(t, replay(t, log), first)
	}
}

func testLargeBatch(t *testing.T, log events.Log) {
	var texts []string
	for i := range 40 {
		texts = append(texts, fmt.Sprintf("%d%s", i, strings.Repeat("x", 20<<10)))
	}
	want := mustAppend(t, log, add(subject(1), events.Head{}, texts[:20]...), add(subject(2), events.Head{}, texts[20:]...))
	same(t, replay(t, log), want)
}

func testMalformed(t *testing.T, log events.Log) {
	one := add(subject(1), events.Head{}, "one")
	noID := add(subject(1), events.Head{}, "one")
	noID.Events[0].ID = ""
	header := add(subject(1), events.Head{}, "one")
	header.Events[0].Cause = "a\r\nb"
	unknown := add(subject(1), events.Head{}, "one")
	unknown.Events[0].Event = events.Unknown{Type: "Later", Version: 1}
	unreadable := add(subject(1), events.Head{}, "one")
	unreadable.Events[0].Event = events.ImageBuilt{Revision: events.Revision{Ref: "no ref", Commit: "no commit"}}
	for name, batch := range map[string][]events.Append{
		"nothing":                     {},
		"no events":                   {one, {Subject: subject(2)}},
		"a subject twice":             {one, add(subject(1), events.Head{}, "two")},
		"an id twice":                 {add(subject(1), events.Head{}, "one", "one")},
		"an empty id":                 {noID},
		"a line break in a header":    {header},
		"an unknown event":            {unknown},
		"an event that does not read": {unreadable},
		"a subject of all":            {add("app.>", events.Head{}, "one")},
		"an empty subject":            {add("", events.Head{}, "one")},
		"a subject of another shape":  {add("other.x", events.Head{}, "one")},
	} {
		if _, err := log.Append(t.Context(), batch...); err == nil {
			t.Errorf("a batch with %s was appended", name)
		}
	}
	same(t, replay(t, log), nil)
}

func testConflict(t *testing.T, log events.Log) {
	one := mustAppend(t, log, add(subject(1), events.Head{}, "one"))
	two := mustAppend(t, log, add(subject(1), one[0].Head(), "two"))
	elsewhere := mustAppend(t, log, add(subject(2), events.Head{}, "elsewhere"))
	ahead := two[0].Head()
	ahead.Position.Sequence += 10
	epoch := two[0].Head()
	epoch.Position.Epoch++
	for name, expect := range map[string]events.Head{
		"empty":            {},
		"the one before":   one[0].Head(),
		"another subject":  elsewhere[0].Head(),
		"a later sequence": ahead,
		"another epoch":    epoch,
	} {
		if _, err := log.Append(t.Context(), add(subject(1), expect, "three")); err == nil {
			t.Fatalf("expecting %s: appended", name)
		} else {
			wantError(t, err, events.ErrConflict)
		}
	}
	if _, err := log.Append(t.Context(), add(subject(3), one[0].Head(), "three")); err == nil {
		t.Fatal("expecting an event on an empty subject: appended")
	} else {
		wantError(t, err, events.ErrConflict)
	}
	same(t, replay(t, log), append(append(one, two...), elsewhere...))
}

func testTooLarge(t *testing.T, log events.Log) {
	_, err := log.Append(t.Context(), add(subject(2), events.Head{}, "fits"), add(subject(1), events.Head{}, strings.Repeat("x", events.MaxBytes)))
	wantError(t, err, events.ErrTooLarge)
	var many []string
	for i := range events.MaxBatch + 1 {
		many = append(many, fmt.Sprint(i))
	}
	_, err = log.Append(t.Context(), add(subject(1), events.Head{}, many...))
	wantError(t, err, events.ErrTooLarge)
	same(t, replay(t, log), nil)
	most := mustAppend(t, log, add(subject(3), events.Head{}, many[:events.MaxBatch]...))
	fits := strings.Repeat("x", events.MaxBytes-len(`{"reason":""}`))
	want := mustAppend(t, log, add(subject(1), events.Head{}, fits))
	same(t, replay(t, log), append(most, want...))
}

func testCancelled(t *testing.T, log events.Log) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := log.Append(ctx, add(subject(1), events.Head{}, "one")); err == nil {
		t.Error("append with a cancelled context succeeded")
	} else {
		wantError(t, err, events.ErrUnavailable)
	}
	mustAppend(t, log, add(subject(2), events.Head{}, "two"))
	if err := firstError(log.Replay(ctx, events.Position{})); err == nil {
		t.Error("replay with a cancelled context ended as if it were complete")
	}
}
