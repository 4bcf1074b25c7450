package natslog

import (
	"context"
	"fmt"

	"shiplog/events"
)

// request is an append on its way to the committer.
type request struct {
	ctx    context.Context // of the caller: a request whose caller has gone is not published
	batch  []events.Append
	sealed []events.Recorded
	size   int64
	done   chan answer // buffered: the answer never waits for a caller who has gone
}

type answer struct {
	recorded []events.Recorded
	err      error
}

// Append implements events.Log. An id is recognised with certainty when the same batch is appended again; the use of a
// known id in another batch is refused for ten minutes after it was written.
func (l *Log) Append(ctx context.Context, batch ...events.Append) ([]events.Recorded, error) {
	sealed, err := events.SealBatch(batch)
	if err != nil {
		return nil, err
	}
	for _, a := range batch {
		if p := a.Expect.Position; a.Expect != (events.Head{}) && (p.Epoch != l.epoch || p.Sequence == 0) {
			return nil, fmt.Errorf("append to %s after %s, in a log of epoch %d: %w", a.Subject, p, l.epoch, events.ErrConflict)
		}
	}
	r := &request{batch: batch, sealed: sealed, done: make(chan answer, 1)}
	urgent := true
	for _, a := range batch {
		urgent = urgent && a.Urgent
	}
	for _, e := range sealed {
		r.size += l.stored(e)
	}
	ctx, cancel := context.WithTimeout(ctx, l.opts.Timeout)
	defer cancel()
	r.ctx = ctx
	if err := l.checkRoom(ctx, r.size, urgent); err != nil {
		return nil, err
	}
	select {
	case l.requests <- r:
	case <-l.closing:
		return nil, fmt.Errorf("append: %w: it is being closed", events.ErrUnavailable)
	case <-ctx.Done():
		return nil, fmt.Errorf("append: %w", unavailable(context.Cause(ctx)))
	}
	select {
	case a := <-r.done:
		return a.recorded, a.err
	case <-l.closed:
	case <-ctx.Done():
	}
	select {
	case a := <-r.done:
		return a.recorded, a.err
	default:
		// On its way, perhaps written: the caller may append the same again and is then told.
		return nil, fmt.Errorf("append: %w: no answer in time", events.ErrUnavailable)
	}
}

// stored is what an event takes in the stream, in bytes, to within a few per cent.
func (l *Log) stored(r events.Recorded) int64 {
	n := 120 + len(l.wire(r.Subject)) + len(r.Body) // lengths, checksum, and the headers of JetStream
	for k, v := range r.Headers() {
		n += len(k) + len(v) + 4
	}
	return int64(n)
}
