// Package reactor keeps the world going after the log: for every app it asks deploy.Next what should be under way, starts
// what is not, and ends what should not be any more.
//
// It is level-triggered. A new event is a nudge to look at the app again; so is the end of an action, a timer, and a
// sweep of all apps at the start and every minute. Nothing is remembered between runs, so there is nothing to lose in a
// crash: the log says what was decided, and the world says what was done.
package reactor

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"shiplog/events"
	"shiplog/internal/deploy"
)

// Hand carries out one kind of action and reports through the desk what came of it. It returns when that is done or when
// ctx ends, which means that the action is not wanted any more or that the service stops. It must be safe to run twice.
// An error, or an action that is still wanted after nil, is tried again with back-off.
type Hand func(ctx context.Context, app deploy.App, a deploy.Action) error

// Desk gives the state of an app. *deploy.Handler is one.
type Desk interface {
	State(ctx context.Context, app events.ID) (deploy.App, error)
}

// Options of a Reactor.
type Options struct {
	Desk  Desk
	Log   events.Log
	Hands map[deploy.ActionKind]Hand
	Pools map[deploy.ActionKind]int // how many of a kind run at once; default 4
	Sweep time.Duration             // how often every app is looked at; default 1 minute
	// Apps lists the apps to look at in a sweep, and the position that the list is complete up to.
	Apps func() ([]events.ID, events.Position)
	Slog *slog.Logger
}

// Reactor runs hands. Make one with New and run it with Run.
type Reactor struct {
	Options
	pools map[deploy.ActionKind]chan struct{}
	mu    sync.Mutex
	apps  map[events.ID]*loop
	tasks sync.WaitGroup
}

// New returns a reactor.
func New(o Options) *Reactor {
	if o.Sweep == 0 {
		o.Sweep = time.Minute
	}
	r := &Reactor{Options: o, pools: map[deploy.ActionKind]chan struct{}{}, apps: map[events.ID]*loop{}}
	for kind := range o.Hands {
		size := o.Pools[kind]
		if size == 0 {
			size = 4
		}
		r.pools[kind] = make(chan struct{}, size)
	}
	return r
}

// Run looks at every app, then at each app whose history moves, until ctx ends. It returns when every hand has returned.
// An error of the log ends it; the caller may run it again.
func (r *Reactor) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		r.tasks.Wait()
		clear(r.apps)
	}()
	known, upTo := r.Apps()
	for _, app := range known {
		r.nudge(ctx, app)
	}
	r.tasks.Go(func() { r.sweep(ctx) })
	for e, err := range r.Log.Follow(ctx, upTo) {
		if err != nil {
			return err
		}
		if app, ok := e.Subject.App(); ok {
			r.nudge(ctx, app)
		}
	}
	return ctx.Err()
}

// Changed tells that what an app runs has changed by itself: it is made sure of again, though its history did not move.
func (r *Reactor) Changed(app events.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l := r.apps[app]; l != nil {
		l.forgetHold()
	}
}

func (r *Reactor) sweep(ctx context.Context) {
	tick := time.NewTicker(r.Sweep)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			known, _ := r.Apps()
			for _, app := range known {
				r.nudge(ctx, app)
			}
		}
	}
}

// nudge has an app looked at soon. Nudges that come while it is looked at are one more look.
func (r *Reactor) nudge(ctx context.Context, app events.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.apps[app]
	if l == nil {
		l = &loop{r: r, app: app, wake: make(chan struct{}, 1), running: map[deploy.Action]*task{}, failed: map[deploy.Action]failure{}}
		r.apps[app] = l
		r.tasks.Go(func() { l.run(ctx) })
	}
	l.nudge()
}
