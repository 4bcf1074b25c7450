// Package rollout makes the world run what the log decided: it brings a deployment's images to the engine, starts the new
// instances beside the old, switches the ingress, and afterwards keeps things as they should be. It is the only code that
// tells the engine and the ingress what to do with an app.
package rollout

import (
	"context"
	"io"
	"time"

	"shiplog/events"
	"shiplog/internal/deploy"
	"shiplog/internal/engine"
	"shiplog/internal/ingress"
	"shiplog/internal/logs"
)

// Engine is what the agent needs of a container engine. Its contract is engine.Engine's.
type Engine interface {
	Has(ctx context.Context, d events.Digest) (bool, error)
	Pull(ctx context.Context, image engine.Image, progress io.Writer) error
	Roll(ctx context.Context, r engine.Rollout, progress io.Writer) ([]engine.Instance, error)
	Instances(ctx context.Context, app events.ID) ([]engine.Instance, error)
	Retire(ctx context.Context, instances []engine.Instance, grace time.Duration) error
	RemoveApp(ctx context.Context, app events.ID) error
}

// Ingress is what the agent needs of the ingress. Its contract is ingress.Client's.
type Ingress interface {
	Set(ctx context.Context, routes ingress.AppRoutes) error
	Remove(ctx context.Context, app string, generation uint64) error
	Drain(ctx context.Context, backends []string, timeout time.Duration) (left int64, err error)
}

// Images checks an image at its registry before the engine is sent there.
type Images interface {
	Verify(ctx context.Context, repository string, d events.Digest) error
	// Repository says where the engine fetches somebody else's image from: its registry, or the mirror of it.
	Repository(image string) (repository string, plain bool, err error)
}

// Desk takes reports. *deploy.Handler is one.
type Desk interface {
	Do(ctx context.Context, app events.ID, o deploy.Order) (deploy.Result, error)
}

// Secrets opens sealed environment variables.
type Secrets interface {
	Reveal(owner string, e events.Env) (string, error)
}

// Agent rolls deployments out and holds apps as they should be. One agent serves one engine.
type Agent struct {
	Desk    Desk
	Engine  Engine
	Ingress Ingress
	Images  Images
	Secrets Secrets
	Logs    logs.Store

	Registry   string        // host of the registry our own images are in
	User, Pass string        // its credentials
	Plain      bool          // it speaks plain HTTP
	Domain     string        // an app answers at <name>.<Domain>
	Patience   time.Duration // how long a registry may be out of reach before a rollout fails; default 2 minutes
	Now        func() time.Time
	// Wait returns after d, or with ctx's error as soon as that ends. Default: by the clock.
	Wait func(ctx context.Context, d time.Duration) error
}

func (a *Agent) wait(ctx context.Context, d time.Duration) error {
	if a.Wait != nil {
		return a.Wait(ctx, d)
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// order makes a command of the agent's own. Its id follows from the work, so that a report sent twice is one.
func (a *Agent) order(id string, c deploy.Command) deploy.Order {
	return deploy.Order{ID: id, Actor: events.Self, At: a.Now(), Command: c}
}

// image says where a component's image is.
func (a *Agent) image(app events.ID, component string, t events.Target) (engine.Image, error) {
	if t.Image != "" {
		repository, plain, err := a.Images.Repository(t.Image)
		return engine.Image{Repository: repository, Digest: t.Digest, Plain: plain}, err
	}
	return engine.Image{
		Repository: a.Registry + "/" + string(app) + "/" + component, Digest: t.Digest,
		User: a.User, Password: a.Pass, Plain: a.Plain,
	}, nil
}
