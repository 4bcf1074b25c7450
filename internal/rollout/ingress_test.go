package rollout

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"shiplog/internal/ingress"
)

// fakeIngress keeps the contract of ingress.Client. It complains when requests would go where nobody answers.
type fakeIngress struct {
	w       *world
	mu      sync.Mutex
	apps    map[string]ingress.AppRoutes
	removed map[string]uint64
	err     error // of every Set
	// onDrain waits as a drain does.
	onDrain func(timeout time.Duration)
}

func newIngress(w *world) *fakeIngress {
	return &fakeIngress{w: w, apps: map[string]ingress.AppRoutes{}, removed: map[string]uint64{}}
}

func (f *fakeIngress) Set(ctx context.Context, a ingress.AppRoutes) error {
	return f.w.call("route", func() error {
		a, err := a.Check()
		if err != nil || ctx.Err() != nil {
			return fmt.Errorf("set: %w %w", err, ctx.Err())
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		switch {
		case f.err != nil:
			return f.err
		case a.Generation < f.apps[a.App].Generation, f.removed[a.App] >= a.Generation:
			return fmt.Errorf("%w: the app is at %d", ingress.ErrStale, f.apps[a.App].Generation)
		}
		for id, other := range f.apps {
			if id != a.App && slices.Equal(other.Hosts, a.Hosts) {
				return fmt.Errorf("%w: %s", ingress.ErrHostTaken, id)
			}
		}
		f.apps[a.App] = a
		return nil
	})
}

func (f *fakeIngress) Remove(_ context.Context, app string, generation uint64) error {
	return f.w.call("unroute", func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		if generation < f.apps[app].Generation {
			return ingress.ErrStale
		}
		delete(f.apps, app)
		f.removed[app] = generation
		return nil
	})
}

func (f *fakeIngress) Drain(ctx context.Context, backends []string, timeout time.Duration) (int64, error) {
	err := f.w.call(fmt.Sprintf("drain %d for %v", len(backends), timeout), func() error {
		for _, b := range backends {
			if f.routed(b) {
				f.w.t.Errorf("%s is drained while it is in the routes", b)
			}
		}
		if f.onDrain != nil {
			f.onDrain(timeout)
		}
		return ctx.Err()
	})
	return 0, err
}

func (f *fakeIngress) routed(address string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range f.apps {
		for _, r := range a.Routes {
			if slices.Contains(r.Backends, address) {
				return true
			}
		}
	}
	return false
}

// routes says where the app's requests go: "/ web-g1-1+web-g1-2, /api api-g1-1"; before that the state, if not serving.
func (f *fakeIngress) routes() string {
	f.w.engine.mu.Lock()
	defer f.w.engine.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	a, ok := f.apps[string(f.w.app)]
	if !ok {
		return "no app"
	}
	var out []string
	if a.State != ingress.Serving {
		out = append(out, string(a.State))
	}
	for _, r := range a.Routes {
		names := []string{}
		for _, b := range r.Backends {
			name := f.w.engine.nameOf(b)
			if name == "" {
				name = "nobody"
			}
			names = append(names, name)
		}
		out = append(out, strings.TrimSpace(r.Path+" "+strings.Join(names, "+")))
	}
	return strings.Join(out, ", ")
}
