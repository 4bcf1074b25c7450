package reactor

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"shiplog/events"
	"shiplog/internal/deploy"
)

// maxBackoff bounds the wait between tries of an action that fails.
const maxBackoff = time.Minute

// loop looks after one app.
type loop struct {
	r    *Reactor
	app  events.ID
	wake chan struct{} // holds one nudge

	mu      sync.Mutex
	running map[deploy.Action]*task   // by identity
	failed  map[deploy.Action]failure // by identity, while it is still wanted
	held    events.Head               // state that a hold was last carried out for
	heldAt  time.Time
	changed bool // by itself, what the app runs: since the hold under way began
}

// task is an action under way.
type task struct {
	cancel context.CancelFunc
}

// failure is what is known of an action that did not succeed.
type failure struct {
	count int
	again time.Time
}

func (l *loop) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// forgetHold has the next look hold the app again; one that is under way may have looked before the change.
func (l *loop) forgetHold() {
	l.mu.Lock()
	l.held, l.changed = events.Head{}, true
	l.mu.Unlock()
	l.nudge()
}

func (l *loop) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wait := l.look(ctx)
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
		case <-timer.C:
		}
	}
}

// look compares what should be under way with what is. It returns how long nothing is due.
func (l *loop) look(ctx context.Context) time.Duration {
	state, err := l.r.Desk.State(ctx, l.app)
	if err != nil {
		if ctx.Err() == nil {
			l.r.Slog.Error("cannot read an app's history", "app", l.app, "error", err)
		}
		return 5 * time.Second
	}
	next := deploy.Next(state)
	l.mu.Lock()
	defer l.mu.Unlock()
	wanted := map[deploy.Action]deploy.Action{}
	for _, a := range next {
		wanted[a.Identity()] = a
	}
	for id, t := range l.running {
		if _, ok := wanted[id]; !ok {
			t.cancel()
		}
	}
	for id := range l.failed {
		if _, ok := wanted[id]; !ok {
			delete(l.failed, id)
		}
	}
	wait := l.r.Sweep
	for _, a := range next {
		if due := l.consider(ctx, state, a); due > 0 {
			wait = min(wait, due)
		}
	}
	return wait
}

// consider starts an action that is due and not under way. It returns how long until it is due, or 0.
func (l *loop) consider(ctx context.Context, state deploy.App, a deploy.Action) time.Duration {
	id := a.Identity()
	hand := l.r.Hands[a.Kind]
	if hand == nil || l.running[id] != nil || l.busy(a.Kind) {
		return 0 // its end, or that of what it waits for, looks again
	}
	if a.Kind == deploy.ActHold && l.held == state.Head && time.Since(l.heldAt) < l.r.Sweep {
		return l.r.Sweep - time.Since(l.heldAt)
	}
	due := a.At
	if f := l.failed[id]; f.again.After(due) {
		due = f.again
	}
	if wait := time.Until(due); wait > 0 {
		return wait
	}
	if a.Kind == deploy.ActHold {
		l.changed = false
	}
	taskCtx, cancel := context.WithCancel(ctx)
	l.running[id] = &task{cancel}
	l.r.tasks.Go(func() {
		defer cancel()
		head, err := l.act(taskCtx, hand, a)
		l.ended(taskCtx, id, head, err)
	})
	return 0
}

// maxJudges is how many pushes of one app are judged at once, so that an app whose git server hangs leaves places for others.
const maxJudges = 4

// busy reports whether an action has to wait for others of its app. Of those that touch the app's instances one is under
// way, wanted or on its way out: two of them at once would fight.
func (l *loop) busy(kind deploy.ActionKind) bool {
	judges := 0
	for id := range l.running {
		if touchesInstances(kind) && touchesInstances(id.Kind) {
			return true
		}
		if id.Kind == deploy.ActJudge {
			judges++
		}
	}
	return kind == deploy.ActJudge && judges >= maxJudges
}

func touchesInstances(k deploy.ActionKind) bool { return k == deploy.ActHold || k == deploy.ActRollout }

// ended notes how an action ended and looks again: the state has moved, or it is tried again after a while.
func (l *loop) ended(ctx context.Context, id deploy.Action, head events.Head, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.running, id)
	switch {
	case ctx.Err() != nil: // it was not wanted any more
	case err == nil && id.Kind == deploy.ActHold:
		if !l.changed {
			l.held, l.heldAt = head, time.Now()
		}
		delete(l.failed, id)
	default: // if it is still wanted
		f := l.failed[id]
		f.count++
		f.again = time.Now().Add(min(maxBackoff, 250*time.Millisecond<<min(f.count, 10)))
		l.failed[id] = f
		if err != nil && !errors.Is(err, context.Canceled) {
			l.r.Slog.Warn("will try again", "action", id.Kind, "app", l.app, "deployment", id.Deployment,
				"component", id.Component, "try", f.count, slog.Any("error", err))
		}
	}
	l.nudge()
}

// act waits for a place among its kind and carries the action out on the state of then.
func (l *loop) act(ctx context.Context, hand Hand, a deploy.Action) (events.Head, error) {
	select {
	case l.r.pools[a.Kind] <- struct{}{}:
	case <-ctx.Done():
		return events.Head{}, ctx.Err()
	}
	defer func() { <-l.r.pools[a.Kind] }()
	state, err := l.r.Desk.State(ctx, l.app)
	if err != nil {
		return events.Head{}, err
	}
	return state.Head, hand(ctx, state, a)
}
