package builder

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"shiplog/events"
	"shiplog/internal/deploy"
	"shiplog/internal/git"
	"shiplog/internal/logs"
)

// lease is how long a claim is good for. It is longer than the longest build, so that a running one is never taken over;
// a builder that died claims again under its own name, which ends the old claim at once.
const lease = 20 * time.Minute

// logTail is how much of the end of a build's log goes into the event of its failure, in bytes.
const logTail = 4 << 10

// Desk takes claims and reports. *deploy.Handler is one. A builder has no other way to say anything, so its rights
// cannot forge a pin.
type Desk interface {
	Do(ctx context.Context, app events.ID, o deploy.Order) (deploy.Result, error)
}

// Secrets opens sealed variables.
type Secrets interface {
	Reveal(owner string, e events.Env) (string, error)
}

// Worker claims builds and carries them out.
type Worker struct {
	Desk    Desk
	Builder interface {
		Build(ctx context.Context, job Job) (Built, error)
	}
	Secrets Secrets
	Logs    logs.Store
	Source  func(url string) git.Source // where a clone URL is fetched from, and with which rights

	Name           string // of this builder; the same after a restart
	Registry       string // host that images are pushed to
	User, Password string
	Plain          bool
	Now            func() time.Time
}

// Build carries out one deploy.ActBuild. When ctx ends the build is killed and nothing is reported: whoever ended it knows.
func (w *Worker) Build(ctx context.Context, app deploy.App, a deploy.Action) error {
	d := app.Deployments[a.Deployment]
	if d == nil || d.Parts[a.Component] == nil {
		return nil
	}
	attempt := d.Parts[a.Component].Attempt + 1
	report := func(what string, c deploy.Command) error {
		_, err := w.Desk.Do(context.WithoutCancel(ctx), app.ID, deploy.Order{
			ID:    fmt.Sprintf("%s/%s/%s/%d", d.ID, a.Component, what, attempt),
			Actor: events.NewActor("builder", w.Name), At: w.Now(), Command: c,
		})
		if r := (*deploy.Refusal)(nil); errors.As(err, &r) {
			return nil // the deployment is over, or another attempt is the present one
		}
		return err
	}
	res, err := w.Desk.Do(ctx, app.ID, deploy.Order{
		ID:    fmt.Sprintf("%s/%s/claim/%d", d.ID, a.Component, attempt),
		Actor: events.NewActor("builder", w.Name), At: w.Now(), Command: deploy.ClaimBuild{
			Deployment: d.ID, Component: a.Component, Builder: w.Name, Until: w.Now().Add(lease),
		},
	})
	if r := (*deploy.Refusal)(nil); errors.As(err, &r) {
		return nil
	} else if err != nil {
		return err
	}
	end := &tailWriter{}
	log := w.Logs.Writer(logs.Stream{App: app.ID, Deployment: d.ID, Component: a.Component, Kind: logs.Build})
	defer log.Close()
	built, err := w.build(ctx, res.App, d.ID, a.Component, attempt, io.MultiWriter(log, end))
	switch {
	case err == nil:
		fmt.Fprintf(log, "built %s\n", built.Digest)
		return report("built", deploy.FinishBuild{
			Deployment: d.ID, Component: a.Component, Attempt: attempt, Digest: built.Digest, Inputs: built.Inputs, Phases: built.Phases,
		})
	case ctx.Err() != nil:
		fmt.Fprintln(log, "the build was stopped")
		return ctx.Err()
	}
	fmt.Fprintf(log, "failed: %v\n", err)
	var f *Failure
	return report("failed", deploy.FailBuild{
		Deployment: d.ID, Component: a.Component, Attempt: attempt, Reason: fmt.Sprintf("build %s at %s: %v", a.Component, d.Want[a.Component], err),
		Retry: errors.As(err, &f) && f.Retry, Log: end.String(),
	})
}

func (w *Worker) build(ctx context.Context, app deploy.App, id events.ID, component string, attempt int, log io.Writer) (Built, error) {
	d := app.Deployments[id]
	spec := app.Specs[d.SpecHash]
	c, _ := spec.Component(component)
	url, _, _ := c.Repository()
	job := Job{
		ID: fmt.Sprintf("%s-%s-%d", d.ID, component, attempt), Source: w.Source(url), Revision: d.Parts[component].Target.Revision,
		Dockerfile: c.DockerfilePath, Dir: c.SourceDir, Target: c.BuildTarget, NoCache: d.Mode == events.BuildClean,
		Args: map[string]string{}, Secrets: map[string][]byte{}, SecretVersions: map[string]string{},
		Destination: fmt.Sprintf("%s/%s/%s:d-%s", w.Registry, app.ID, component, d.ID),
		User:        w.User, Password: w.Password, Plain: w.Plain, Log: log,
	}
	for _, e := range spec.EnvsFor(c, "BUILD_TIME") {
		if e.Type != "SECRET" {
			job.Args[e.Key] = e.Value
			continue
		}
		value, err := w.Secrets.Reveal(string(app.ID), e)
		if err != nil {
			return Built{}, fmt.Errorf("open the secret %s: %w", e.Key, err)
		}
		job.Secrets[e.Key], job.SecretVersions[e.Key] = []byte(value), e.Value
	}
	return w.Builder.Build(ctx, job)
}

// tailWriter keeps the end of what is written to it.
type tailWriter struct{ bytes.Buffer }

func (t *tailWriter) Write(p []byte) (int, error) {
	t.Buffer.Write(p)
	if extra := t.Len() - logTail; extra > logTail {
		t.Next(extra)
	}
	return len(p), nil
}
