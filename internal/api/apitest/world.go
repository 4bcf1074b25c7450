// Package apitest is a small world for tests of what stands on the API: the real mind on a log in memory, a history
// folded anew for each question, and a git server that knows what it was told.
package apitest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"shiplog/events"
	"shiplog/internal/deploy"
	"shiplog/internal/logs"
	"shiplog/internal/memlog"
)

// Commits that tests push.
const (
	CommitA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	CommitB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	CommitC = "cccccccccccccccccccccccccccccccccccccccc"
)

// World is everything that the API stands on. Branch main of every repository is at CommitA.
type World struct {
	t       *testing.T
	Log     *memlog.Log
	Handler *deploy.Handler
	History *Fold
	Git     *Git
	Logs    *Logs

	mu     sync.Mutex
	clock  time.Time
	orders int
}

// New returns a world at noon.
func New(t *testing.T) *World {
	log := memlog.New()
	w := &World{
		t: t, Log: log, Handler: deploy.NewHandler(log, nil), History: &Fold{Log: log},
		Git:   &Git{Refs: map[string]events.Target{}, kinds: map[string]events.RefKind{}},
		Logs:  &Logs{lines: map[logs.Stream][]string{}, open: map[logs.Stream]bool{}},
		clock: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC),
	}
	w.Git.Set("main", events.RefBranch, CommitA)
	return w
}

// Now is a clock that moves a second whenever it is read; Pass moves it further.
func (w *World) Now() time.Time { return w.Pass(time.Second) }

// Pass lets time go by.
func (w *World) Pass(d time.Duration) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clock = w.clock.Add(d)
	return w.clock
}

// State returns an app.
func (w *World) State(app events.ID) deploy.App {
	w.t.Helper()
	a, err := w.Handler.State(context.Background(), app)
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

// Order gives a command as the service itself; it must be accepted.
func (w *World) Order(app events.ID, c deploy.Command) deploy.Result {
	w.t.Helper()
	w.mu.Lock()
	w.orders++
	id := fmt.Sprintf("test:%d", w.orders)
	w.mu.Unlock()
	res, err := w.Handler.Do(context.Background(), app, deploy.Order{ID: id, Actor: events.Self, At: w.Now(), Command: c})
	if err != nil {
		w.t.Fatalf("%T: %v", c, err)
	}
	return res
}

// Work does what a builder and a rollout agent would, until nothing is left to do.
func (w *World) Work(app events.ID) {
	w.t.Helper()
	for range 40 {
		if !w.step(app) {
			return
		}
	}
	w.t.Fatal("the work does not end")
}

func (w *World) step(app events.ID) bool {
	w.t.Helper()
	for _, act := range deploy.Next(w.State(app)) {
		switch act.Kind {
		case deploy.ActBuild:
			w.Build(app, act.Deployment, act.Component)
			return true
		case deploy.ActRollout:
			w.Order(app, deploy.StartRollout{Deployment: act.Deployment})
			w.Order(app, deploy.FinishRollout{Deployment: act.Deployment, Phases: []events.Phase{{Name: "healthy", Ms: 120}}})
			return true
		}
	}
	return false
}

// Build builds one component.
func (w *World) Build(app, deployment events.ID, component string) {
	w.t.Helper()
	w.Order(app, deploy.ClaimBuild{Deployment: deployment, Component: component, Builder: "b1", Until: w.Now().Add(time.Hour)})
	part := w.State(app).Deployments[deployment].Parts[component]
	w.Order(app, deploy.FinishBuild{
		Deployment: deployment, Component: component, Attempt: part.Attempt, Digest: DigestOf(component, part.Target.Revision.Commit),
		Phases: []events.Phase{{Name: "checkout", Ms: 40}, {Name: "build", Ms: 900}},
	})
}

// DigestOf is the image that building a commit for a component makes.
func DigestOf(component string, c events.Commit) events.Digest {
	return events.Digest("sha256:" + strings.Repeat(fmt.Sprintf("%02x", component[0]), 12) + string(c))
}

// Secrets leaves specs as they are.
type Secrets struct{}

func (Secrets) Seal(_ string, s events.Spec) (events.Spec, error) { return s, nil }

// Hooks gives the secret hook-1 and, rotated, hook-2.
type Hooks struct{}

func (Hooks) Secret(context.Context, events.ID) (string, error) { return "hook-1", nil }
func (Hooks) Rotate(context.Context, events.ID) (string, error) { return "hook-2", nil }
