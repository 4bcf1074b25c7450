package api

import (
	"context"
	"iter"
	"time"

	"shiplog/events"
	"shiplog/internal/deploy"
)

// Desk takes commands. *deploy.Handler is one.
type Desk interface {
	// Do carries out an order; Create makes an app under a unique name. Errors: *deploy.Refusal (nothing was appended),
	// or those of events.Log.Append.
	Do(ctx context.Context, app events.ID, o deploy.Order) (deploy.Result, error)
	Create(ctx context.Context, name string, o deploy.Order) (deploy.Result, error)
	// State returns the app as of its newest event, the caller's own copy. An app that never was has a zero ID.
	State(ctx context.Context, app events.ID) (deploy.App, error)
}

// History is what was projected from the log. It may be behind by a moment. Lists return the page asked for and how
// many there are in all.
type History interface {
	AppByName(name string) (id events.ID, ok bool) // apps that are not deleted
	Apps(offset, limit int) ([]deploy.App, int, error)
	Deployments(app events.ID, offset, limit int) ([]deploy.Deployment, int, error) // newest first
	Deployment(app, id events.ID) (d deploy.Deployment, ok bool, err error)
	Releases(app events.ID, offset, limit int) ([]deploy.Release, int, error)  // newest first
	Timeline(app events.ID, offset, limit int) ([]events.Recorded, int, error) // newest first
	// Wait returns once everything up to the position is projected, or with ctx's error.
	Wait(ctx context.Context, at events.Position) error
}

// Resolver asks git servers and registries what a name means now.
type Resolver interface {
	// Newest returns the newest revision or digest of a component's source; of the branch that a pin follows, where the
	// app is pinned to one. A zero Target without an error means that there is nothing yet.
	Newest(ctx context.Context, app deploy.App, spec events.Spec, c events.Component) (events.Target, error)
	// Ref returns what a person's ref means in the component's source: a branch, a tag, a commit; "tag:v1", "branch:v1"
	// and "commit:1eab…" say which of several of that name is meant.
	Ref(ctx context.Context, app deploy.App, c events.Component, ref string) (deploy.Resolved, error)
}

// Secrets seals the SECRET values of a spec. Owner is the app's id. A value that cannot be sealed is a *secrets.Refused.
type Secrets interface {
	Seal(owner string, s events.Spec) (events.Spec, error)
}

// Hooks keeps the webhook secrets of apps. Rotate makes a new one; the old one stays good for a while.
type Hooks interface {
	Secret(ctx context.Context, app events.ID) (string, error)
	Rotate(ctx context.Context, app events.ID) (string, error)
}

// RunLogs reads what the instances of a component write. With follow it goes on until ctx ends. An empty component means
// all; tail <= 0 means everything that is kept.
type RunLogs interface {
	Logs(ctx context.Context, app events.ID, component string, follow bool, tail int) iter.Seq2[RunLine, error]
}

// RunLine is one line of a running instance, without its line break.
type RunLine struct {
	Component string
	Instance  string
	At        time.Time
	Text      string
}

// Then is what an app ran at a moment in the past. It has the fields of projections.At, and converts from it.
type Then struct {
	Release    int                      // its number; a restart has that of the release it restarted
	Deployment events.ID                // the one that served
	Have       map[string]events.Target // by component
	SpecHash   events.SpecHash
	Spec       events.Spec           // the configuration it ran with
	Pin        *deploy.Pin           // the app's pin, or its only one; nil when it was not pinned
	Pins       map[string]deploy.Pin // by component, "" is the app's
	Actor      events.Actor          // who asked for the deployment
	Since      time.Time             // when the deployment went live
	Stopped    bool                  // it was stopped: nothing ran, and this is what would have
}
