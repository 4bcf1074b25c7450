package natslog

import (
	"context"
	"fmt"
	"sync"
	"time"

	"shiplog/events"
)

// Shares of MaxBytes, in per cent.
const (
	warnAt   = 70 // a warning is logged
	refuseAt = 90 // only urgent appends go on: rollback, pin, stop and the end of work under way
)

// roomFresh is how long the server's word on the stream's size is trusted, with our own appends added.
const roomFresh = 5 * time.Second

// room is what is known about the stream's size.
type room struct {
	mu        sync.Mutex
	max, used int64 // bytes
	asked     time.Time
	warned    bool
}

// set takes the server's word.
func (r *room) set(used uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.used, r.asked = int64(used), time.Now()
}

func (r *room) add(n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.used += n
}

// fresh reports whether the server need not be asked; the one who is told no is to ask.
func (r *room) fresh() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.asked) < roomFresh {
		return true
	}
	r.asked = time.Now()
	return false
}

// check refuses an append of n bytes that is not urgent when the log is nearly full.
func (r *room) check(n int64, urgent bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if urgent || r.used+n <= r.max/100*refuseAt {
		return nil
	}
	return fmt.Errorf("%w: %d of %d bytes are used, and the rest is kept for rollback, pin and stop: raise its MaxBytes",
		events.ErrFull, r.used, r.max)
}

// warn reports, once each time the size gets there, that a warning is due.
func (r *room) warn() (used int64, due bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	over := r.used > r.max/100*warnAt
	due, r.warned = over && !r.warned, over
	return r.used, due
}

// Usage returns how much the events take and may take, in bytes.
func (l *Log) Usage(ctx context.Context) (used, max int64, err error) {
	state, err := l.state(ctx)
	if err != nil {
		return 0, 0, err
	}
	l.room.set(state.Bytes)
	return int64(state.Bytes), l.room.max, nil
}

// checkRoom refuses an append for which there is no room, in the stream or on the disk, and at once any append while the
// server is known to be stuck: it would only time out.
func (l *Log) checkRoom(ctx context.Context, n int64, urgent bool) error {
	s := l.conn.server
	if s != nil {
		if err := s.trouble.Load(); err != nil {
			return fmt.Errorf("append: %w", *err)
		}
	}
	if !l.room.fresh() {
		if _, _, err := l.Usage(ctx); err != nil {
			return err
		}
	}
	if used, due := l.room.warn(); due {
		l.opts.Log.Warn("the log is filling: raise its MaxBytes", "used", used, "max", l.room.max)
	}
	if s != nil {
		if err := s.checkDisk(n, urgent); err != nil {
			return err
		}
	}
	return l.room.check(n, urgent)
}

// Room reports whether other than urgent events are taken now: [events.ErrFull], [events.ErrUnavailable] or nil. It is for
// those who would take something in before they record it.
func (l *Log) Room(ctx context.Context) error { return l.checkRoom(ctx, 64<<10, false) }

// isFull reports whether n more bytes would not fit in the stream.
func (l *Log) isFull(ctx context.Context, n int64) bool {
	used, max, err := l.Usage(ctx)
	return err == nil && used+n > max
}
