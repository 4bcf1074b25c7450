package natslog

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"shiplog/events"
)

// settle answers an append that was not simply acknowledged. The subjects are read again first: an answer that got
// lost, and a second try after it, look like a conflict but are a success.
func (l *Log) settle(r *request, cause error) {
	ctx, cancel := context.WithTimeout(context.Background(), l.opts.Timeout)
	defer cancel()
	var recorded []events.Recorded
	err := l.patiently(ctx, func(ctx context.Context) (err error) {
		recorded, err = l.lookUp(ctx, r)
		return err
	})
	if err == nil {
		r.done <- answer{recorded: recorded}
		return
	}
	r.done <- answer{err: l.explain(ctx, r, cause, err)}
}

// errStale is our own knowledge that a subject moved on.
var errStale = errors.New("a later event was acknowledged")

// Outcomes of lookUp.
var (
	errAbsent = errors.New("nothing of it is in the log")
	errOther  = errors.New("something else is in its place")
)

// lookUp finds the events of an append where they must be if it was written: right after what it expected. It fails
// with errAbsent when no subject has anything there, with errOther when one has something else.
func (l *Log) lookUp(ctx context.Context, r *request) ([]events.Recorded, error) {
	found := make([]events.Recorded, 0, len(r.sealed))
	absent := 0
	for _, a := range r.batch {
		after := a.Expect.Position.Sequence
		for range a.Events {
			msg, err := l.stream.GetMsg(ctx, after+1, jetstream.WithGetMsgSubject(l.wire(a.Subject)))
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				absent++
				break
			}
			if err != nil {
				return nil, unavailable(err)
			}
			stored, err := l.open(msg)
			if err != nil {
				return nil, err
			}
			if len(found) == len(r.sealed) || stored.Hash != r.sealed[len(found)].Hash {
				return nil, errOther
			}
			found, after = append(found, stored), stored.Position.Sequence
		}
	}
	switch {
	case absent == 0:
		return found, nil
	case len(found) == 0:
		return nil, errAbsent
	}
	return nil, errOther
}

// explain says why an append was not written, cause being what the server said and looked what lookUp did.
func (l *Log) explain(ctx context.Context, r *request, cause, looked error) error {
	subject := r.batch[0].Subject
	switch c := code(cause); {
	case errors.Is(looked, events.ErrCorrupt):
		return fmt.Errorf("append to %s: %w", subject, looked)
	case errors.Is(looked, errAbsent) && errors.Is(cause, errStale):
		return fmt.Errorf("append to %s after %s: %w: an event that was acknowledged after it is gone",
			subject, r.batch[0].Expect.Position, events.ErrCorrupt)
	case errors.Is(looked, errOther), errors.Is(looked, errAbsent) && isConflict(cause):
		return fmt.Errorf("append to %s after %s: %w", subject, r.batch[0].Expect.Position, events.ErrConflict)
	case errors.Is(looked, errAbsent) && c == codeStoreFailed && l.isFull(ctx, r.size),
		errors.Is(looked, errAbsent) && (c == codeNoResources || c == codeAccountFull):
		return fmt.Errorf("append to %s: %w: %w", subject, events.ErrFull, cause)
	}
	return fmt.Errorf("append to %s: %w: %w", subject, events.ErrUnavailable, cause)
}
