package projections

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"shiplog/events"
)

// Rebuilt is what a rebuild found.
type Rebuilt struct {
	At     events.Position // up to where
	Events uint64
	Took   time.Duration
	// Compared tells whether there was a whole projection to compare with: not when it was missing, damaged or of another log.
	Compared bool
	// Differs says what the projection that was there had otherwise than the one replayed from the log; "" when the two
	// were equal, record by record and fold by fold, or there was none to compare.
	Differs string
}

// Rebuild builds the file of a stopped service anew from the log, beside the old one, and puts it in its place. It fails
// with [ErrInUse] while a service has the file open: ask that one (Store.Rebuild).
func Rebuild(ctx context.Context, opts Options, log events.Log) (Rebuilt, error) {
	s, err := Open(opts)
	if err != nil {
		return Rebuilt{}, err
	}
	r, err := s.rebuild(ctx, log)
	return r, errors.Join(err, s.Close())
}

// Rebuild builds the file anew from the log that Run follows, beside the old one, which goes on and answers meanwhile,
// then exchanges the two. It works only while Run does.
func (s *Store) Rebuild(ctx context.Context) (Rebuilt, error) {
	s.mu.RLock()
	log, ready := s.log, s.file != nil && s.broken == nil
	s.mu.RUnlock()
	switch {
	case log == nil:
		return Rebuilt{}, errors.New("the projection cannot be rebuilt: it follows no log")
	case !ready:
		return Rebuilt{}, ErrRebuilding // by Run
	}
	return s.rebuild(ctx, log)
}

func (s *Store) rebuild(ctx context.Context, log events.Log) (Rebuilt, error) {
	s.mu.RLock()
	f, broken := s.file, s.broken
	s.mu.RUnlock()
	if f == nil || broken != nil {
		return s.replace(ctx, log, nil)
	}
	why, err := strange(ctx, log, f.published())
	if err != nil {
		return Rebuilt{}, err
	}
	if why != nil {
		s.forget(why)
		if err := s.discard(why); err != nil {
			return Rebuilt{}, err
		}
		return s.replace(ctx, log, nil)
	}
	s.change(func(st *Status) { st.Rebuilds++ })
	return s.replace(ctx, log, f)
}

// replace builds a new file from the log and puts it in place of the one that is there. While it is built, old (which may
// be nil) goes on; the new one ends where old then is, or where the log ended.
func (s *Store) replace(ctx context.Context, log events.Log, old *file) (r Rebuilt, err error) {
	began := time.Now()
	s.building.Lock()
	defer s.building.Unlock()
	fresh, err := createFile(s.opts.Path+".new", s.opts.Fold)
	if err != nil {
		return r, err
	}
	fresh.private = true
	defer func() {
		if err != nil {
			fresh.abandon()
			os.Remove(s.opts.Path + ".new")
			err = fmt.Errorf("rebuild the projection: %w", err)
		}
	}()
	to, err := log.Last(ctx)
	if err != nil {
		return r, err
	}
	if old != nil {
		to = old.published().At
	}
	if err := s.replay(ctx, log, fresh, to); err != nil {
		return r, err
	}
	s.writer.Lock()
	defer s.writer.Unlock()
	if old != nil { // it cannot move any more
		if err := s.replay(ctx, log, fresh, old.state.At); err != nil {
			return r, err
		}
		r.Compared, r.Differs = true, difference(old, fresh)
	}
	if err := errors.Join(fresh.save(), guard(fresh.db.Sync)); err != nil {
		return r, err
	}
	fresh.private = false
	if s.isClosed() {
		return r, ErrClosed
	}
	if err := os.Rename(s.opts.Path+".new", s.opts.Path); err != nil {
		return r, err
	}
	if err := syncDir(s.opts.Path); err != nil {
		return r, err
	}
	s.exchange(fresh)
	r.At, r.Events, r.Took = fresh.state.At, fresh.state.Seals[eventsTable].Count, time.Since(began)
	s.opts.Log.Info("the projection is built", "at", r.At, "events", r.Events, "took", r.Took, "differs", r.Differs)
	return r, nil
}

// replay projects the events of the log after f's checkpoint, up to a position.
func (s *Store) replay(ctx context.Context, log events.Log, f *file, to events.Position) error {
	if reached(f.state.At, to) {
		return nil
	}
	ctx, stop := context.WithCancel(ctx)
	in := feed(ctx, log.Replay(ctx, f.state.At))
	defer drain(in)
	defer stop()
	var list []events.Recorded
	var err error
	for !reached(f.state.At, to) {
		first, ok := <-in
		if !ok {
			return fmt.Errorf("the log ended at %s, before %s: %w", f.state.At, to, events.ErrUnavailable)
		}
		list, err = gather(ctx, list, first, in, s.opts.Batch, to)
		for len(list) > 0 && list[len(list)-1].Position.Compare(to) > 0 {
			list = list[:len(list)-1]
		}
		before := f.state.At.Sequence
		if len(list) > 0 {
			if err := f.project(list); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
		s.change(func(st *Status) {
			st.Progress = f.state.At
			st.Projected += f.state.At.Sequence - before
		})
	}
	return nil
}

// difference says what two files of one checkpoint have otherwise. Folds may be stored at different times, so they are
// compared as they are at the checkpoint.
func difference(old, fresh *file) string {
	a, b := old.state, fresh.state
	for t := range tables {
		if t != foldsTable && a.Seals[t] != b.Seals[t] {
			return fmt.Sprintf("%s held %d records with sum %x, the log gives %d with %x",
				t, a.Seals[t].Count, a.Seals[t].Sum, b.Seals[t].Count, b.Seals[t].Sum)
		}
	}
	if len(old.apps) != len(fresh.apps) {
		return fmt.Sprintf("%s held %d apps, the log gives %d", foldsTable, len(old.apps), len(fresh.apps))
	}
	for id, app := range fresh.apps {
		var had []byte
		if was := old.apps[id]; was != nil {
			had, _ = json.Marshal(was.state)
		}
		if gives, err := json.Marshal(app.state); err != nil || !bytes.Equal(had, gives) {
			return fmt.Sprintf("%s held another state of app %s than the log gives", foldsTable, id)
		}
	}
	return ""
}

// exchange makes fresh the store's file.
func (s *Store) exchange(fresh *file) {
	s.mu.Lock()
	old, broken := s.file, s.broken
	s.file, s.broken = fresh, nil
	s.mu.Unlock()
	s.change(func(st *Status) {
		st.Checkpoint, st.Progress, st.Rebuilding = fresh.state.At, events.Position{}, false
	})
	select {
	case <-s.nudge: // about the old file
	default:
	}
	if old == nil {
		return
	}
	if broken != nil {
		old.abandon()
		return
	}
	if err := old.close(); err != nil { // waits for its readers
		s.opts.Log.Warn("closing the projection that was replaced", "err", err)
	}
}

func (s *Store) isClosed() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.closed
}

// forget drops the file of another log: nothing of it is true here.
func (s *Store) forget(why error) {
	s.writer.Lock()
	defer s.writer.Unlock()
	s.mu.Lock()
	old := s.file
	s.file, s.broken = nil, nil
	s.mu.Unlock()
	if old == nil {
		return
	}
	s.change(func(st *Status) { st.Checkpoint, st.Rebuilding = events.Position{}, true })
	if err := old.close(); err != nil {
		s.opts.Log.Warn("closing the projection of another log", "err", err, "why", why)
	}
}

// published returns the state as of the last commit.
func (f *file) published() state {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.state
}
