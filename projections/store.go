package projections

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"shiplog/events"
	"shiplog/internal/deploy"
)

// Errors of a store. They are matched with errors.Is.
var (
	// ErrRebuilding is what a query gets that needs the file while there is none: it is being built from the log.
	// Trying again later works.
	ErrRebuilding = errors.New("the projection is being rebuilt, try again in a moment")
	// ErrInUse means that another process has the file open.
	ErrInUse = errors.New("the projection is in use by another process")
	// ErrClosed means that the store was closed.
	ErrClosed = errors.New("the projection is closed")
)

// Options say where the file is and how it is kept. Only Path is needed.
type Options struct {
	Path   string        // of the file; beside it may stand .lock, .new and .damaged-<n>
	Log    *slog.Logger  // default slog.Default()
	Fold   Fold          // default deploy.Evolve
	Batch  int           // most events in one transaction; default 16384
	Settle time.Duration // after so long without an event the file is synced and the folds are stored; default 10 s
}

// Store is the projection: one file, what is kept in memory beside it, and queries. It is safe for concurrent use.
//
// Queries that answer from the file give [ErrRebuilding] until it was built. Those that answer from memory (State,
// AppByName, Apps, Releases) go on with what was known before the damage, if anything was.
type Store struct {
	opts     Options
	lock     *os.File
	writer   sync.Mutex    // held while a batch is written, and while the file is exchanged
	building sync.Mutex    // held by a rebuild
	nudge    chan struct{} // wakes Run when a reader found damage

	mu     sync.RWMutex // guards what follows
	file   *file        // nil until it was built
	broken error        // why the file may not be read any more; its memory may
	log    events.Log   // of Run, while it runs
	moved  chan struct{}
	closed bool
	status Status
}

// Status is how the projection is doing.
type Status struct {
	Checkpoint events.Position // up to where queries answer
	Rebuilding bool            // the file is being built from the log: see ErrRebuilding
	Progress   events.Position // of the rebuild
	Projected  uint64          // events projected by this process, rebuilds included
	Rebuilds   int             // by this process, the first building of a new file not counted
	LastDamage string          // why a file was moved aside last; "" when none was
	Trouble    string          // why Run makes no progress; "" when it does
}

// Open opens the file, or prepares to build one. A file that is not wholly beyond doubt is moved aside (two of them are
// kept); Run then builds a new one. It reads the whole file, which takes about a second for a gigabyte.
// It fails with [ErrInUse], or when the directory cannot be used.
func Open(opts Options) (*Store, error) {
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	if opts.Fold == nil {
		opts.Fold = deploy.Evolve
	}
	if opts.Batch <= 0 {
		opts.Batch = 16384
	}
	if opts.Settle <= 0 {
		opts.Settle = 10 * time.Second
	}
	lock, err := lockFile(opts.Path + ".lock")
	if err != nil {
		return nil, err
	}
	s := &Store{opts: opts, lock: lock, nudge: make(chan struct{}, 1), moved: make(chan struct{})}
	s.file, err = openFile(opts.Path, opts.Fold)
	switch {
	case err == nil:
		s.status.Checkpoint = s.file.state.At
	case errors.Is(err, os.ErrNotExist):
		s.status.Rebuilding = true
	case errors.Is(err, errDamaged):
		s.status.Rebuilding = true
		s.status.Rebuilds++
		if err := s.moveAside(err); err != nil {
			lock.Close()
			return nil, err
		}
	default:
		lock.Close()
		return nil, fmt.Errorf("open the projection %s: %w", opts.Path, err)
	}
	return s, nil
}

// Close stores and syncs what is projected. Run must have returned. Queries fail from then on.
func (s *Store) Close() error {
	s.writer.Lock()
	defer s.writer.Unlock()
	s.mu.Lock()
	f, broken := s.file, s.broken
	wasClosed := s.closed
	s.closed, s.file = true, nil
	s.mu.Unlock()
	s.change(func(*Status) {})
	if wasClosed {
		return nil
	}
	defer s.lock.Close()
	if f == nil {
		return nil
	}
	if broken != nil {
		f.abandon()
		return nil
	}
	return errors.Join(f.save(), f.close())
}

// Checkpoint returns up to where queries answer.
func (s *Store) Checkpoint() events.Position { return s.Status().Checkpoint }

// Status returns how the projection is doing.
func (s *Store) Status() Status {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.status
}

// Wait returns once everything up to a position is projected. It fails when ctx ends before, or the store is closed.
func (s *Store) Wait(ctx context.Context, at events.Position) error {
	for {
		s.mu.RLock()
		checkpoint, moved, closed := s.status.Checkpoint, s.moved, s.closed
		s.mu.RUnlock()
		if reached(checkpoint, at) {
			return nil
		}
		if closed {
			return ErrClosed
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the projection of event %s, it is at %s: %w", at, checkpoint, ctx.Err())
		case <-moved:
		}
	}
}

// change changes the status, and wakes those who wait.
func (s *Store) change(f func(*Status)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.status)
	close(s.moved)
	s.moved = make(chan struct{})
}

// view is what a query sees: one checkpoint, in memory and in the file.
type view struct {
	tx    *bolt.Tx
	epoch uint64
	app   *app // never nil; empty when the app is not known
}

// view runs a query. What it returns must be copied out of the transaction. Damage that it meets starts a rebuild, and
// the query gets ErrRebuilding.
func (s *Store) view(id events.ID, query func(v view) error) error {
	f, err := s.reading()
	if err != nil {
		return err
	}
	defer f.readers.Done()
	err = guard(func() error {
		tx, v, err := f.begin(id)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		return query(v)
	})
	if errors.Is(err, errDamaged) {
		s.condemn(f, err)
		return ErrRebuilding
	}
	return err
}

// reading returns the file to read from. The caller counts as its reader until it calls readers.Done.
func (s *Store) reading() (*file, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	switch {
	case s.closed:
		return nil, ErrClosed
	case s.file == nil || s.broken != nil:
		return nil, ErrRebuilding
	}
	s.file.readers.Add(1)
	return s.file, nil
}

func (f *file) begin(id events.ID) (*bolt.Tx, view, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	tx, err := f.db.Begin(false)
	if err != nil {
		return nil, view{}, err
	}
	v := view{tx: tx, epoch: f.state.At.Epoch, app: f.apps[id]}
	if v.app == nil {
		v.app = &app{id: id}
	}
	return tx, v, nil
}

// condemn marks a file as damaged, once, and lets Run know.
func (s *Store) condemn(f *file, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file != f || s.broken != nil {
		return
	}
	s.broken, s.status.Rebuilding, s.status.LastDamage = why, true, why.Error()
	select {
	case s.nudge <- struct{}{}:
	default:
	}
}
