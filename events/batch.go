package events

import (
	"errors"
	"fmt"
)

// MaxBatch is the most events that one [Log.Append] takes.
const MaxBatch = 1000

// SealBatch seals the events of a batch in their order, each subject's chained to its Expect. It is the first step of
// every [Log.Append]. It refuses a batch without events, one of more than [MaxBatch] ([ErrTooLarge]), one that names a
// subject twice, and one that uses an event id twice.
func SealBatch(batch []Append) ([]Recorded, error) {
	n := 0
	for _, a := range batch {
		n += len(a.Events)
	}
	if n > MaxBatch {
		return nil, fmt.Errorf("%w: a batch of %d, at most %d", ErrTooLarge, n, MaxBatch)
	}
	out := make([]Recorded, 0, n)
	subjects, ids := make(map[Subject]bool, len(batch)), make(map[ID]bool, n)
	for _, a := range batch {
		if len(a.Events) == 0 {
			return nil, fmt.Errorf("the batch has no events for %s", clip(string(a.Subject)))
		}
		if subjects[a.Subject] {
			return nil, fmt.Errorf("the batch names %s twice", clip(string(a.Subject)))
		}
		subjects[a.Subject] = true
		prev := a.Expect.Hash
		for _, d := range a.Events {
			r, err := Seal(a.Subject, prev, d)
			if err != nil {
				return nil, err
			}
			if ids[r.ID] {
				return nil, fmt.Errorf("the batch uses the event id %s twice", r.ID)
			}
			ids[r.ID], prev = true, r.Hash
			out = append(out, r)
		}
	}
	if n == 0 {
		return nil, errors.New("the batch has no events")
	}
	return out, nil
}
