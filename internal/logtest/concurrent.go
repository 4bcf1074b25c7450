package logtest

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"shiplog/events"
)

// appenders and each are how many run at once and how many batches each of them appends.
const appenders, each = 32, 6

// race runs f as appender 0 to appenders-1, all at once.
func race(t *testing.T, f func(i int) error) {
	t.Helper()
	var wg sync.WaitGroup
	for i := range appenders {
		wg.Go(func() {
			if err := f(i); err != nil {
				t.Errorf("appender %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// retry appends until there is no conflict, as the handler does.
func retry(t *testing.T, log events.Log, s events.Subject, texts ...string) ([]events.Recorded, error) {
	for {
		head, err := log.Head(t.Context(), s)
		if err != nil {
			return nil, err
		}
		recorded, err := log.Append(t.Context(), add(s, head, texts...))
		if err == nil || !errors.Is(err, events.ErrConflict) {
			return recorded, err
		}
	}
}

// checkAll checks that the log holds want texts, each once, contiguous and chained, and what the appenders were told.
func checkAll(t *testing.T, log events.Log, told map[events.Position]events.Recorded, want int) {
	t.Helper()
	got := replay(t, log)
	texts := map[string]int{}
	prev := map[events.Subject]events.Hash{}
	for i, r := range got {
		if r.Position.Sequence != uint64(i)+1 {
			t.Fatalf("event %d has the sequence %d", i+1, r.Position.Sequence)
		}
		if r.Prev != prev[r.Subject] {
			t.Fatalf("event %s of %s does not follow the one before", r.Position, r.Subject)
		}
		prev[r.Subject] = r.Hash
		texts[text(r)]++
		if told[r.Position].Hash != r.Hash {
			t.Fatalf("event %s is %s; its appender was told %s", r.Position, r.Hash, told[r.Position].Hash)
		}
	}
	for x, n := range texts {
		if n != 1 {
			t.Errorf("%q is in the log %d times", x, n)
		}
	}
	if len(texts) != want || len(told) != want {
		t.Errorf("%d texts in the log, %d answered, want %d", len(texts), len(told), want)
	}
}

type answers struct {
	sync.Mutex
	told map[events.Position]events.Recorded
}

func (a *answers) keep(recorded []events.Recorded) {
	a.Lock()
	defer a.Unlock()
	if a.told == nil {
		a.told = map[events.Position]events.Recorded{}
	}
	for _, r := range recorded {
		a.told[r.Position] = r
	}
}

func testOneSubject(t *testing.T, log events.Log) {
	var all answers
	race(t, func(i int) error {
		for n := range each {
			recorded, err := retry(t, log, subject(1), fmt.Sprint(i, "/", n))
			if err != nil {
				return err
			}
			all.keep(recorded)
		}
		return nil
	})
	checkAll(t, log, all.told, appenders*each)
}

func testManySubjects(t *testing.T, log events.Log) {
	var all answers
	race(t, func(i int) error {
		for n := range each { // pairs of appenders share a subject, and every third batch has two events
			texts := []string{fmt.Sprint(i, "/", n)}
			if n%3 == 0 {
				texts = append(texts, fmt.Sprint(i, "/", n, "+"))
			}
			recorded, err := retry(t, log, subject(i/2), texts...)
			if err != nil {
				return err
			}
			all.keep(recorded)
		}
		return nil
	})
	checkAll(t, log, all.told, appenders*(each+each/3))
}

func testSameBatchRace(t *testing.T, log events.Log) {
	batch := []events.Append{add(subject(1), events.Head{}, "one", "two"), add(subject(2), events.Head{}, "three")}
	single := add(subject(3), events.Head{}, "four")
	var all answers
	race(t, func(i int) error {
		both := [][]events.Append{batch, {single}}
		for n := range both {
			recorded, err := log.Append(t.Context(), both[(i+n)%2]...)
			if err != nil {
				return err
			}
			all.keep(recorded)
		}
		return nil
	})
	checkAll(t, log, all.told, 4)
}
