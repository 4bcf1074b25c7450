package memlog

import (
	"context"
	"iter"

	"shiplog/events"
)

// upToLast yields what is wanted of the events after a position, up to the last one at the time of the call.
func (l *Log) upToLast(ctx context.Context, after events.Position, want func(message) bool) iter.Seq2[events.Recorded, error] {
	return func(yield func(events.Recorded, error) bool) {
		l.mu.Lock()
		last := l.last()
		l.mu.Unlock()
		if err := events.CheckAfter(after, last); err != nil {
			yield(events.Recorded{}, err)
			return
		}
		for i := int(after.Sequence); i < int(last.Sequence); i++ {
			if !l.yieldAt(ctx, i, want, yield) {
				return
			}
		}
	}
}

// yieldAt hands message i to yield, without holding the lock meanwhile. It reports whether to go on.
func (l *Log) yieldAt(ctx context.Context, i int, want func(message) bool, yield func(events.Recorded, error) bool) bool {
	if err := unavailable(ctx); err != nil {
		yield(events.Recorded{}, err)
		return false
	}
	l.mu.Lock()
	if !want(l.messages[i]) {
		l.mu.Unlock()
		return true
	}
	r, err := l.open(i)
	l.mu.Unlock()
	return yield(r, err) && err == nil
}

// Follow implements events.Log.
func (l *Log) Follow(ctx context.Context, after events.Position) iter.Seq2[events.Recorded, error] {
	return func(yield func(events.Recorded, error) bool) {
		l.mu.Lock()
		err := events.CheckAfter(after, l.last())
		l.mu.Unlock()
		if err != nil {
			yield(events.Recorded{}, err)
			return
		}
		for i := int(after.Sequence); ; {
			l.mu.Lock()
			n, grown := len(l.messages), l.grown
			l.mu.Unlock()
			for ; i < n; i++ {
				if ctx.Err() != nil || !l.yieldAt(context.WithoutCancel(ctx), i, func(message) bool { return true }, yield) {
					return
				}
			}
			select {
			case <-ctx.Done():
				return
			case <-grown:
			}
		}
	}
}
