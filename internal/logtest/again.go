package logtest

import (
	"testing"

	"shiplog/events"
)

func testAgain(t *testing.T, log events.Log) {
	single := []events.Append{add(subject(1), events.Head{}, "one")}
	first := mustAppend(t, log, single...)
	row := []events.Append{add(subject(1), first[0].Head(), "two", "three")}
	second := mustAppend(t, log, row...)
	wide := []events.Append{add(subject(2), events.Head{}, "a", "b"), add(subject(3), events.Head{}, "c")}
	third := mustAppend(t, log, wide...)

	again := func(when string) {
		t.Helper()
		before := mustLast(t, log)
		same(t, mustAppend(t, log, single...), first)
		same(t, mustAppend(t, log, row...), second)
		same(t, mustAppend(t, log, wide...), third)
		if last := mustLast(t, log); last != before {
			t.Fatalf("%s: appending the same again wrote up to %s, from %s", when, last, before)
		}
	}
	again("at once")
	mustAppend(t, log, add(subject(4), events.Head{}, "elsewhere"))
	again("after events on another subject")
	for i := range 3 {
		s := subject(i + 1)
		mustAppend(t, log, add(s, mustHead(t, log, s), "later", "still later"))
	}
	again("after events on the same subjects")
}

func testIDReused(t *testing.T, log events.Log) {
	first := add(subject(1), events.Head{}, "one")
	want := mustAppend(t, log, first)
	want = append(want, mustAppend(t, log, add(subject(2), events.Head{}, "other"))...)

	payload := add(subject(1), events.Head{}, "changed")
	payload.Events[0].ID = first.Events[0].ID
	envelope := add(subject(1), events.Head{}, "one")
	envelope.Events[0].Cause = "another"
	atHead := add(subject(1), want[0].Head(), "changed")
	atHead.Events[0].ID = first.Events[0].ID
	sameAtHead := add(subject(1), want[0].Head(), "one")
	elsewhere := add(subject(3), events.Head{}, "one")
	elsewhere.Events[0].ID = first.Events[0].ID
	longer := add(subject(1), events.Head{}, "one", "two")
	for name, batch := range map[string][]events.Append{
		"another payload":                     {payload},
		"another envelope":                    {envelope},
		"another payload after the event":     {atHead},
		"the same event after itself":         {sameAtHead},
		"another subject":                     {elsewhere},
		"a longer batch":                      {longer},
		"a batch with more subjects":          {first, add(subject(4), events.Head{}, "four")},
		"the known event and an unknown last": {add(subject(4), events.Head{}, "four"), elsewhere},
	} {
		_, err := log.Append(t.Context(), batch...)
		if err == nil {
			t.Fatalf("%s: success", name)
		}
		wantError(t, err, events.ErrConflict)
	}
	same(t, replay(t, log), want)
}

func testChain(t *testing.T, log events.Log) {
	heads := map[events.Subject]events.Head{}
	for round := range 3 {
		var batch []events.Append
		for i := range 3 {
			s := subject(i)
			batch = append(batch, add(s, heads[s], string(rune('a'+round)), string(rune('A'+round))))
		}
		for _, r := range mustAppend(t, log, batch...) {
			heads[r.Subject] = r.Head()
		}
	}
	prev, last := map[events.Subject]events.Hash{}, map[events.Subject]events.Head{}
	for _, r := range replay(t, log) {
		if r.Prev != prev[r.Subject] {
			t.Fatalf("event %s of %s follows %s, want %s", r.Position, r.Subject, r.Prev, prev[r.Subject])
		}
		prev[r.Subject], last[r.Subject] = r.Hash, r.Head()
	}
	for s, head := range last {
		if got := mustHead(t, log, s); got != head || got != heads[s] {
			t.Errorf("head of %s is %+v; replay says %+v, append said %+v", s, got, head, heads[s])
		}
	}
}
