package rollout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"shiplog/events"
	"shiplog/internal/deploy"
	"shiplog/internal/engine"
)

// pullPatience is how long a registry may be out of reach before a rollout fails.
const pullPatience = 2 * time.Minute

// fetch makes a component's image available on the engine. An image that is there costs no call to anything else.
func (a *Agent) fetch(ctx context.Context, app deploy.App, d *deploy.Deployment, name string, log io.Writer, clock *stopwatch) error {
	part := d.Parts[name]
	clock.lap("")
	from, err := a.bring(ctx, app, name, part.Target, cmp.Or(a.Patience, pullPatience), log)
	if err != nil {
		return err
	}
	phase := clock.lap("pull")
	if part.Build || part.Pulled != "" || d.Intent == events.IntentRestart {
		return nil
	}
	_, err = a.Desk.Do(ctx, app.ID, a.order(fmt.Sprintf("%s/%s/pulled", d.ID, name), deploy.RecordPull{
		Deployment: d.ID, Component: name, Digest: part.Target.Digest, From: from, Phases: []events.Phase{phase},
	}))
	return err
}

// bring makes an image available on the engine and says where from: "engine", where it was already, or "registry". A
// registry out of reach is waited for as long as patience. Errors are *stopped.
func (a *Agent) bring(ctx context.Context, app deploy.App, name string, t events.Target, patience time.Duration, log io.Writer) (from string, err error) {
	image, err := a.image(app.ID, name, t)
	if err != nil {
		return "", &stopped{component: name, step: "pull", reason: err.Error()}
	}
	have, err := a.Engine.Has(ctx, image.Digest)
	if err != nil {
		return "", again(name, "pull", fmt.Errorf("ask the engine for %s: %w", image.Digest.Short(), err))
	}
	if have {
		return "engine", nil
	}
	fmt.Fprintf(log, "%s: pulling %s\n", name, image.Digest.Short())
	err = a.pull(ctx, image, patience, log)
	switch {
	case err == nil:
		return "registry", nil
	case errors.Is(err, engine.ErrDown):
		return "", again(name, "pull", err)
	case passes(err):
		return "", &stopped{component: name, step: "pull", reason: fmt.Sprintf("%v; it was waited for %v: deploy again when the registry answers", err, patience)}
	}
	return "", &stopped{component: name, step: "pull", reason: fmt.Sprintf("%v; build it again, or deploy another revision or digest", err)}
}

// pull verifies an image at its registry and has the engine fetch exactly that. What may pass is tried again for as
// long as patience.
func (a *Agent) pull(ctx context.Context, image engine.Image, patience time.Duration, log io.Writer) error {
	deadline := a.Now().Add(patience)
	for pause := time.Second; ; pause = min(2*pause, 15*time.Second) {
		err := a.Images.Verify(ctx, image.Repository, image.Digest)
		if err == nil {
			if err = a.Engine.Pull(ctx, image, log); err != nil && !errors.Is(err, engine.ErrNoImage) {
				err = passing{err} // the registry has just served it: engines say in words only what came between
			}
		}
		if err == nil || !passes(err) || errors.Is(err, engine.ErrDown) || a.Now().Add(pause).After(deadline) {
			return err
		}
		fmt.Fprintf(log, "%v; trying again in %v\n", err, pause)
		if err := a.wait(ctx, pause); err != nil {
			return err
		}
	}
}

// passes reports whether trying again may help. Errors say so themselves.
func passes(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}

// passing is an error that may pass by itself.
type passing struct{ error }

func (p passing) Unwrap() error   { return p.error }
func (p passing) Temporary() bool { return true }
