package projections

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"shiplog/events"
)

// Run catches up with the log from the checkpoint, then follows it, until ctx ends; it then returns nil. It builds the
// file when there is none, when it is damaged, and when it is of another log: another epoch, another first event,
// another event at the checkpoint, or a log that ends before it.
//
// Trouble (the log is not available or damaged, the disk is full) does not end it: it tries again, after 100 ms at first
// and up to 5 s later, and says so in Status. A gap or a broken chain in the log is such trouble: nothing is skipped.
// It fails only with [ErrClosed]. There must be one Run at a time.
func (s *Store) Run(ctx context.Context, log events.Log) error {
	s.mu.Lock()
	s.log = log
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.log = nil
		s.mu.Unlock()
	}()
	const shortest, longest = 100 * time.Millisecond, 5 * time.Second
	pause := shortest
	for {
		began := time.Now()
		err := s.follow(ctx, log)
		switch {
		case errors.Is(err, ErrClosed):
			return err
		case ctx.Err() != nil:
			return nil
		}
		if time.Since(began) > time.Minute {
			pause = shortest
		}
		s.opts.Log.Warn("the projection stands still", "why", err, "again_in", pause)
		s.change(func(st *Status) { st.Trouble = err.Error() })
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		pause = min(2*pause, longest)
	}
}

// follow projects what the log has and gets, until something is wrong.
func (s *Store) follow(ctx context.Context, log events.Log) error {
	if err := s.prepare(ctx, log); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	from := s.Checkpoint()
	last, err := log.Last(ctx)
	if err != nil {
		stop()
		return err
	}
	in := feed(ctx, log.Follow(ctx, from))
	defer drain(in)
	defer stop()
	if reached(from, last) {
		s.change(func(st *Status) { st.Trouble = "" })
	}
	settle := time.NewTimer(s.opts.Settle)
	defer settle.Stop()
	var list []events.Recorded
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.nudge:
			if err := s.damage(); err != nil {
				return err
			}
		case <-settle.C:
			list = nil // catching up may have made it large
			if err := s.settle(); err != nil {
				return err
			}
		case first, ok := <-in:
			if !ok {
				return fmt.Errorf("the log's stream of events ended: %w", events.ErrUnavailable)
			}
			list, err = gather(ctx, list, first, in, s.opts.Batch, last)
			if len(list) > 0 {
				if err := s.project(list); err != nil {
					return err
				}
			}
			if err != nil {
				return err
			}
			settle.Reset(s.opts.Settle)
		}
	}
}

// prepare sees to it that there is a file of this log to go on with.
func (s *Store) prepare(ctx context.Context, log events.Log) error {
	s.mu.RLock()
	f, broken, closed := s.file, s.broken, s.closed
	s.mu.RUnlock()
	switch {
	case closed:
		return ErrClosed
	case f == nil:
		_, err := s.replace(ctx, log, nil)
		return err
	case broken != nil:
		if err := s.discard(broken); err != nil {
			return err
		}
		_, err := s.replace(ctx, log, nil)
		return err
	}
	why, err := strange(ctx, log, f.published())
	if err != nil || why == nil {
		return err
	}
	s.forget(why)
	if err := s.discard(why); err != nil {
		return err
	}
	_, err = s.replace(ctx, log, nil)
	return err
}

// errAside is why the file may not be read once it was moved aside.
var errAside = errors.New("the file was moved aside")

// discard moves the file aside, once. Its memory, unless it was forgotten, answers until there is another.
func (s *Store) discard(why error) error {
	s.writer.Lock()
	defer s.writer.Unlock()
	if why == errAside {
		return nil
	}
	s.change(func(st *Status) { st.Rebuilding = true; st.Rebuilds++ })
	if err := s.moveAside(why); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file != nil {
		s.broken = errAside
	}
	return nil
}

// strange returns why a file is not of this log; nil when it is.
func strange(ctx context.Context, log events.Log, have state) (why, err error) {
	if have.At.Sequence == 0 {
		return nil, nil
	}
	last, err := log.Last(ctx)
	if err != nil {
		return nil, err
	}
	if last.Epoch != have.At.Epoch {
		return fmt.Errorf("it is of epoch %d, the log of epoch %d", have.At.Epoch, last.Epoch), nil
	}
	if last.Sequence < have.At.Sequence {
		return fmt.Errorf("it is at %s, the log ends at %s", have.At, last), nil
	}
	for _, want := range []struct {
		after events.Position
		hash  events.Hash
	}{
		{events.Position{}, have.First},
		{events.Position{Epoch: have.At.Epoch, Sequence: have.At.Sequence - 1}, have.Hash},
	} {
		for r, err := range log.Replay(ctx, want.after) {
			if err != nil {
				return nil, err
			}
			if r.Hash != want.hash {
				return fmt.Errorf("event %s in the log is not the one it was built from", r.Position), nil
			}
			break
		}
	}
	return nil, nil
}

// project writes a batch to the file and moves the checkpoint.
func (s *Store) project(list []events.Recorded) error {
	s.writer.Lock()
	defer s.writer.Unlock()
	s.mu.RLock()
	f, broken, closed := s.file, s.broken, s.closed
	s.mu.RUnlock()
	switch {
	case closed:
		return ErrClosed
	case f == nil:
		return ErrRebuilding
	case broken != nil:
		return broken
	}
	before := f.state.At.Sequence
	err := f.project(list)
	if errors.Is(err, errDamaged) {
		s.condemn(f, err)
	}
	if err != nil {
		return err
	}
	s.change(func(st *Status) {
		st.Checkpoint = f.state.At
		st.Projected += f.state.At.Sequence - before
		st.Trouble = ""
	})
	return nil
}

// settle makes the file whole while there is nothing else to do.
func (s *Store) settle() error {
	s.writer.Lock()
	defer s.writer.Unlock()
	s.mu.RLock()
	f, broken := s.file, s.broken
	s.mu.RUnlock()
	if f == nil || broken != nil {
		return nil
	}
	err := f.save()
	if err == nil {
		err = guard(f.db.Sync)
	}
	if errors.Is(err, errDamaged) {
		s.condemn(f, err)
	}
	return err
}

func (s *Store) damage() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.broken
}

// item is what a log's stream yields.
type item struct {
	r   events.Recorded
	err error
}

// feed reads a stream ahead of its user. The channel is closed when the stream ends.
func feed(ctx context.Context, stream iter.Seq2[events.Recorded, error]) <-chan item {
	out := make(chan item, 1024)
	go func() {
		defer close(out)
		for r, err := range stream {
			select {
			case out <- item{r, err}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// drain waits for a stream to end after its context was canceled.
func drain(in <-chan item) {
	for range in {
	}
}

// reached reports whether a checkpoint is at or after a position. The end of an empty log is a position with an epoch and
// no sequence: it is always reached.
func reached(at, to events.Position) bool { return to.Sequence == 0 || at.Compare(to) >= 0 }

// maxBatchBytes bounds the memory of a batch.
const maxBatchBytes = 16 << 20

// gather collects a batch in the memory of an older one: what is there now, and until the log's last event is reached also what comes within 50 ms.
func gather(ctx context.Context, old []events.Recorded, first item, in <-chan item, most int, last events.Position) ([]events.Recorded, error) {
	list := old[:0]
	linger := time.NewTimer(50 * time.Millisecond)
	defer linger.Stop()
	size := 0
	for it, ok := first, true; ok; {
		if it.err != nil {
			return list, it.err
		}
		list = append(list, it.r)
		size += len(it.r.Body)
		if len(list) >= most || size >= maxBatchBytes {
			return list, nil
		}
		select {
		case it, ok = <-in:
			continue
		default:
		}
		if reached(it.r.Position, last) {
			return list, nil
		}
		select {
		case it, ok = <-in:
		case <-linger.C:
			return list, nil
		case <-ctx.Done():
			return list, nil
		}
	}
	return list, nil
}
