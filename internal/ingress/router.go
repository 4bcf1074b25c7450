package ingress

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// ErrStale refuses routes of a generation older than the one that is there, and routes of an app that was removed.
var ErrStale = errors.New("a newer generation is in place")

// ErrHostTaken refuses a host that another app has.
var ErrHostTaken = errors.New("another app answers at that host")

// router holds the table, and is the only one that changes it.
type router struct {
	table     atomic.Pointer[table]
	log       *slog.Logger
	elsewhere atomic.Bool // the process before this one may still have requests in flight

	mu       sync.Mutex // of what follows
	path     string     // of the state file
	apps     map[string]AppRoutes
	removed  map[string]uint64 // by app: the generation it was removed at
	backends map[string]*backend
	counts   map[string]*counts
	closed   bool // handed over: another process has the table
}

func openRouter(path string, log *slog.Logger) (*router, error) {
	r := &router{path: path, log: log, backends: map[string]*backend{}, counts: map[string]*counts{}}
	saved, err := loadState(path, log)
	if err != nil {
		return nil, err
	}
	r.apps, r.removed = saved.Apps, saved.Removed
	r.swap()
	return r, nil
}

// set puts an app's routes in place: saved first, then in force for every request that has not chosen a backend.
func (r *router) set(a AppRoutes) error {
	a, err := a.Check()
	if err != nil {
		return err
	}
	return r.change(func(apps map[string]AppRoutes, removed map[string]uint64) error {
		if had, ok := apps[a.App]; ok && a.Generation < had.Generation {
			return fmt.Errorf("%w: the app is at %d, this is %d", ErrStale, had.Generation, a.Generation)
		}
		if at, ok := removed[a.App]; ok && a.Generation <= at {
			return fmt.Errorf("%w: the app was removed at %d", ErrStale, at)
		}
		for _, other := range apps {
			for _, h := range a.Hosts {
				if other.App != a.App && slices.Contains(other.Hosts, h) {
					return fmt.Errorf("%w: %s is %s's", ErrHostTaken, h, other.App)
				}
			}
		}
		apps[a.App] = a
		delete(removed, a.App)
		return nil
	})
}

// remove forgets an app. Routes of that generation or an older one are refused from then on.
func (r *router) remove(app string, generation uint64) error {
	return r.change(func(apps map[string]AppRoutes, removed map[string]uint64) error {
		if had, ok := apps[app]; ok && generation < had.Generation {
			return fmt.Errorf("%w: the app is at %d, this is %d", ErrStale, had.Generation, generation)
		}
		delete(apps, app)
		if len(removed) > 10_000 {
			clear(removed) // the log has them all; this only guards against what is under way
		}
		removed[app] = max(generation, removed[app])
		return nil
	})
}

// change applies an edit to copies, saves them and swaps the table; when anything fails all is as before.
func (r *router) change(edit func(map[string]AppRoutes, map[string]uint64) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return errClosed
	}
	apps, removed := maps.Clone(r.apps), maps.Clone(r.removed)
	if err := edit(apps, removed); err != nil {
		return err
	}
	if maps.EqualFunc(apps, r.apps, AppRoutes.equal) && maps.Equal(removed, r.removed) {
		return nil
	}
	if err := saveState(r.path, state{Apps: apps, Removed: removed}); err != nil {
		return fmt.Errorf("save the routes: %w", err)
	}
	r.apps, r.removed = apps, removed
	r.swap()
	return nil
}

// setClosed says whether another process is taking the table over.
func (r *router) setClosed(closed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = closed
}

var errClosed = errors.New("this ingress has handed over to another one; ask again")

// swap puts a new table in force. Called with mu held, or before anybody else knows the router.
func (r *router) swap() {
	for addr, b := range r.backends {
		if b.inFlight.Load() == 0 && !r.names(addr) {
			delete(r.backends, addr)
		}
	}
	r.table.Store(newTable(r.apps, r.backendAt, r.countsOf))
}

func (r *router) names(addr string) bool {
	for _, a := range r.apps {
		for _, rt := range a.Routes {
			if slices.Contains(rt.Backends, addr) {
				return true
			}
		}
	}
	return false
}

func (r *router) backendAt(addr string) *backend {
	b, ok := r.backends[addr]
	if !ok {
		b = &backend{addr: addr}
		r.backends[addr] = b
	}
	return b
}

func (r *router) countsOf(a AppRoutes) *counts {
	c, ok := r.counts[a.App]
	if !ok {
		c = &counts{}
		r.counts[a.App] = c
	}
	return c
}

// list returns every app's routes, by app.
func (r *router) list() []AppRoutes {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.SortedFunc(maps.Values(r.apps), func(x, y AppRoutes) int { return cmp.Compare(x.App, y.App) })
}

// inFlight counts the requests that the backends are answering; what a process before this one may have is one.
func (r *router) inFlight(addrs []string) (n int64) {
	if r.elsewhere.Load() {
		n++
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, addr := range addrs {
		if b, ok := r.backends[addr]; ok {
			n += b.inFlight.Load()
		}
	}
	return n
}

// drain waits until nothing is in flight to the backends, or until ctx ends, and returns how much is left. A backend
// that is still in the table gets new requests meanwhile: take it out first.
func (r *router) drain(ctx context.Context, addrs []string) int64 {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if left := r.inFlight(addrs); left == 0 || ctx.Err() != nil {
			return left
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// acquire chooses the backend of a request and counts the request there; the caller releases it. It looks at the table
// again after counting: either the count came before a swap, and a drain sees it, or the new table is used.
func (r *router) acquire(x *exchange, tried []*backend) (*route, *backend, error) {
	for {
		t := r.table.Load()
		s, ok := t.sites[x.host]
		if !ok {
			return nil, nil, errNoApp
		}
		x.site = s
		switch s.app.State {
		case Stopped:
			return nil, nil, errStopped
		case Deploying:
			return nil, nil, errDeploying
		}
		rt, ok := s.route(x.path)
		if !ok {
			return nil, nil, errNoRoute
		}
		b := pick(rt.backends, tried, time.Now())
		if b == nil {
			return nil, nil, errUnreachable
		}
		b.inFlight.Add(1)
		if r.table.Load() == t {
			return rt, b, nil
		}
		b.inFlight.Add(-1)
	}
}
