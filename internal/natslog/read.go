package natslog

import (
	"context"
	"iter"

	"shiplog/events"
)

// Read implements events.Log.
func (l *Log) Read(ctx context.Context, subject events.Subject, after events.Position) iter.Seq2[events.Recorded, error] {
	return func(yield func(events.Recorded, error) bool) {
		head, err := l.Head(ctx, subject)
		if err == nil && after.Sequence > head.Position.Sequence {
			err = l.checkAfter(ctx, after)
		} else if err == nil {
			err = events.CheckAfter(after, events.Position{Epoch: l.epoch, Sequence: after.Sequence})
		}
		if err != nil {
			yield(events.Recorded{}, err)
			return
		}
		if head.Position.Sequence > after.Sequence {
			l.readTo(ctx, l.wire(subject), after.Sequence, head.Position.Sequence, yield)
		}
	}
}

// Replay implements events.Log.
func (l *Log) Replay(ctx context.Context, after events.Position) iter.Seq2[events.Recorded, error] {
	return func(yield func(events.Recorded, error) bool) {
		last, err := l.Last(ctx)
		if err == nil {
			err = events.CheckAfter(after, last)
		}
		if err != nil {
			yield(events.Recorded{}, err)
			return
		}
		if last.Sequence > after.Sequence {
			l.readTo(ctx, "", after.Sequence, last.Sequence, yield)
		}
	}
}

// Follow implements events.Log. It rides out an interruption of up to a minute.
func (l *Log) Follow(ctx context.Context, after events.Position) iter.Seq2[events.Recorded, error] {
	return func(yield func(events.Recorded, error) bool) {
		if err := l.checkAfter(ctx, after); err != nil {
			if ctx.Err() == nil {
				yield(events.Recorded{}, err)
			}
			return
		}
		s := l.source("", after.Sequence, true)
		defer s.close()
		for {
			r, err := s.next(ctx)
			if ctx.Err() != nil {
				return
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

func (l *Log) checkAfter(ctx context.Context, after events.Position) error {
	last, err := l.Last(ctx)
	if err != nil {
		return err
	}
	return events.CheckAfter(after, last)
}

// readTo yields the events between two sequences, the second included. filter is a NATS subject, or "" for all.
func (l *Log) readTo(ctx context.Context, filter string, after, last uint64, yield func(events.Recorded, error) bool) {
	s := l.source(filter, after, false)
	defer s.close()
	for {
		r, err := s.next(ctx)
		if !yield(r, err) || err != nil || r.Position.Sequence >= last {
			return
		}
	}
}
