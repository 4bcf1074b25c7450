package projections

import (
	"cmp"
	"iter"
	"slices"
	"time"

	"shiplog/events"
	"shiplog/internal/deploy"
)

var _ deploy.States = (*Store)(nil)

// State returns the newest folded state of an app, a deleted one too; the caller's own copy. It may be behind the log,
// and during a rebuild it stays where it was.
func (s *Store) State(id events.ID) (deploy.App, bool) {
	a := s.app(id)
	if a == nil {
		return deploy.App{}, false
	}
	return a.state.Clone(), true
}

// AppByName returns the existing app of that name. During a rebuild it may not know it: see Status.Rebuilding.
func (s *Store) AppByName(name string) (events.ID, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.file == nil {
		return "", false
	}
	s.file.mu.RLock()
	defer s.file.mu.RUnlock()
	id, ok := s.file.names[name]
	return id, ok
}

func (s *Store) app(id events.ID) *app {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.file == nil {
		return nil
	}
	s.file.mu.RLock()
	defer s.file.mu.RUnlock()
	return s.file.apps[id]
}

// Apps returns the existing apps sorted by name, and how many there are.
func (s *Store) Apps(offset, limit int) (list []deploy.App, total int, err error) {
	s.mu.RLock()
	file := s.file
	s.mu.RUnlock()
	if file == nil {
		return nil, 0, ErrRebuilding
	}
	file.mu.RLock()
	existing := make([]*app, 0, len(file.apps))
	for _, a := range file.apps {
		if a.state.Exists() {
			existing = append(existing, a)
		}
	}
	file.mu.RUnlock()
	slices.SortFunc(existing, func(a, b *app) int {
		return cmp.Or(cmp.Compare(a.state.Name, b.state.Name), cmp.Compare(a.id, b.id))
	})
	from := min(max(offset, 0), len(existing))
	for _, a := range existing[from:min(from+max(limit, 0), len(existing))] {
		list = append(list, a.state.Clone())
	}
	return list, len(existing), nil
}

// Releases returns an app's releases, newest first, and how many there are.
func (s *Store) Releases(id events.ID, offset, limit int) (list []deploy.Release, total int, err error) {
	s.mu.RLock()
	ready := s.file != nil
	s.mu.RUnlock()
	if !ready {
		return nil, 0, ErrRebuilding
	}
	a := s.app(id)
	if a == nil {
		return nil, 0, nil
	}
	for n := range newestFirst(uint64(len(a.state.Releases)), offset, limit) {
		list = append(list, a.state.Releases[n])
	}
	return list, len(a.state.Releases), nil
}

// newestFirst yields the ordinals of a page of a list of n, the newest of which is n-1.
func newestFirst(n uint64, offset, limit int) iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		for i := max(offset, 0); limit > 0 && uint64(i) < n; i, limit = i+1, limit-1 {
			if !yield(n - 1 - uint64(i)) {
				return
			}
		}
	}
}

// endOfTime is after every event.
var endOfTime = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
