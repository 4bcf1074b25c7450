package rollout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"shiplog/events"
	"shiplog/internal/engine"
)

// fakeEngine keeps the contract of engine.Engine for one app, with nothing behind it.
type fakeEngine struct {
	w      *world
	mu     sync.Mutex
	n      int
	images map[events.Digest]bool
	all    []engine.Instance
	env    map[string]map[string]string // by component: what it was last started with
	pulled []engine.Image
	sick   map[events.Digest]*engine.Unhealthy
	lies   map[events.Digest]events.Digest // runs another image
	down   bool
	onRoll func(r engine.Rollout) error
}

func newEngine(w *world) *fakeEngine {
	return &fakeEngine{w: w, images: map[events.Digest]bool{}, env: map[string]map[string]string{},
		sick: map[events.Digest]*engine.Unhealthy{}, lies: map[events.Digest]events.Digest{}}
}

// call runs f alone, unless the engine is down.
func (e *fakeEngine) call(step string, f func() error) error {
	return e.w.call(step, func() error {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.down {
			return fmt.Errorf("%s: %w", step, engine.ErrDown)
		}
		return f()
	})
}

func (e *fakeEngine) Has(_ context.Context, d events.Digest) (has bool, err error) {
	err = e.call("has", func() error { has = e.images[d]; return nil })
	return has, err
}

func (e *fakeEngine) Pull(ctx context.Context, image engine.Image, _ io.Writer) error {
	return e.call("pull", func() error {
		if !e.w.images.has[image.Digest] {
			return fmt.Errorf("pull %s: %w", image.Ref(), engine.ErrNoImage)
		}
		e.images[image.Digest] = true
		e.pulled = append(e.pulled, image)
		return ctx.Err()
	})
}

func (e *fakeEngine) Roll(ctx context.Context, r engine.Rollout, _ io.Writer) (up []engine.Instance, err error) {
	err = e.call("start "+r.Component, func() error {
		if e.onRoll != nil {
			if err := e.onRoll(r); err != nil {
				return err
			}
		}
		if !e.images[r.Image.Digest] {
			return fmt.Errorf("roll: %w", engine.ErrNoImage)
		}
		e.env[r.Component] = r.Env
		var mine []string
		for n := range r.Count {
			i, fresh := e.one(r, n+1)
			up = append(up, i)
			if fresh {
				mine = append(mine, i.ID)
			}
		}
		sick := e.sick[r.Image.Digest]
		if ctx.Err() != nil {
			sick = &engine.Unhealthy{Instance: "x", Step: "healthy", Reason: "interrupted", Err: ctx.Err()}
		}
		if sick != nil {
			e.all = slices.DeleteFunc(e.all, func(i engine.Instance) bool { return slices.Contains(mine, i.ID) })
			return sick
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return up, nil
}

// one adopts or starts an instance.
func (e *fakeEngine) one(r engine.Rollout, index int) (i engine.Instance, fresh bool) {
	at := slices.IndexFunc(e.all, func(i engine.Instance) bool {
		return i.Component == r.Component && i.Generation == r.Generation && i.Index == index
	})
	if at >= 0 {
		if e.all[at].Running() && e.all[at].Digest == r.Image.Digest {
			return e.all[at], false
		}
		e.all = slices.Delete(e.all, at, at+1)
	}
	e.n++
	i = engine.Instance{
		ID: fmt.Sprint("c", e.n), Name: fmt.Sprintf("hello-%s-g%d-%d", r.Component, r.Generation, index), App: r.App, AppName: r.AppName,
		Component: r.Component, Deployment: r.Deployment, Generation: r.Generation, Index: index,
		Digest: cmp.Or(e.lies[r.Image.Digest], r.Image.Digest), Address: fmt.Sprint("10.0.0.", e.n), State: "running",
	}
	if r.Port != 0 {
		i.Address += fmt.Sprint(":", r.Port)
	}
	e.all = append(e.all, i)
	return i, true
}

func (e *fakeEngine) Instances(context.Context, events.ID) (all []engine.Instance, err error) {
	err = e.call("list", func() error {
		all = slices.SortedFunc(slices.Values(e.all), func(a, b engine.Instance) int { return cmp.Compare(a.Name, b.Name) })
		return nil
	})
	return all, err
}

func (e *fakeEngine) Retire(ctx context.Context, old []engine.Instance, grace time.Duration) error {
	names := make([]string, len(old))
	for n, i := range old {
		names[n] = strings.TrimPrefix(i.Name, "hello-")
	}
	return e.call(fmt.Sprintf("retire %s after %v", strings.Join(names, "+"), grace), func() error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		for _, i := range old {
			if e.w.ingress.routed(i.Address) {
				e.w.t.Errorf("%s is ended while the ingress sends requests to it", i.Name)
			}
			e.all = slices.DeleteFunc(e.all, func(x engine.Instance) bool { return x.ID == i.ID })
		}
		return nil
	})
}

func (e *fakeEngine) RemoveApp(context.Context, events.ID) error {
	return e.call("remove app", func() error { e.all = nil; return nil })
}

// change edits an instance as the world does, by itself.
func (e *fakeEngine) change(name string, f func(*engine.Instance)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for n := range e.all {
		if strings.TrimPrefix(e.all[n].Name, "hello-") == name {
			f(&e.all[n])
			return
		}
	}
	e.w.t.Errorf("there is no instance %s", name)
}

// running lists what runs: "web-g1-1".
func (e *fakeEngine) running() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var names []string
	for _, i := range e.all {
		names = append(names, strings.TrimPrefix(i.Name, "hello-"))
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// nameOf returns the running instance at an address, "" if there is none.
func (e *fakeEngine) nameOf(address string) string {
	for _, i := range e.all {
		if i.Address == address && i.Running() {
			return strings.TrimPrefix(i.Name, "hello-")
		}
	}
	return ""
}

var errDead = errors.New("the agent is dead")
