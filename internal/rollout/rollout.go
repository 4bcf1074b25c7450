package rollout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"shiplog/events"
	"shiplog/internal/deploy"
	"shiplog/internal/engine"
	"shiplog/internal/logs"
)

// pullPatience is how long a registry may be out of reach before a rollout fails, unless the agent has a Patience.
const pullPatience = 2 * time.Minute

// stopped is why a rollout did not go on: a step of a component, in words for people.
type stopped struct {
	component, step, reason, log string
}

func (s *stopped) Error() string { return fmt.Sprintf("%s %s: %s", s.step, s.component, s.reason) }

// Rollout brings a deployment to life. It is safe to run again at any point: what is there already is adopted. What is
// slow and may fail is done before anything visible changes; the switch is one step; what served before serves until then
// and, when anything fails, afterwards.
func (a *Agent) Rollout(ctx context.Context, app deploy.App, action deploy.Action) error {
	d := app.Deployments[action.Deployment]
	if d == nil {
		return nil
	}
	log := a.Logs.Writer(logs.Stream{App: app.ID, Deployment: d.ID, Component: "", Kind: logs.Deploy})
	defer log.Close()
	clock := &stopwatch{now: a.Now}
	err := a.roll(ctx, app, d, log, clock)
	var failed *stopped
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &failed):
		fmt.Fprintf(log, "failed: %s; what served before still serves\n", failed.reason)
		_, err = a.Desk.Do(ctx, app.ID, a.order(fmt.Sprintf("%s/failed/%d", d.ID, d.Rollouts), deploy.FailDeployment{
			Deployment: d.ID, Component: failed.component, Step: failed.step, Reason: failed.reason, Log: failed.log,
		}))
	case err == nil:
		_, err = a.Desk.Do(ctx, app.ID, a.order(fmt.Sprintf("%s/released", d.ID), deploy.FinishRollout{
			Deployment: d.ID, Phases: clock.phases,
		}))
		if err == nil {
			fmt.Fprintln(log, "live")
		}
	}
	if r := (*deploy.Refusal)(nil); errors.As(err, &r) {
		return nil // it was canceled meanwhile: what serves is put back by the hold that follows
	}
	return err
}

func (a *Agent) roll(ctx context.Context, app deploy.App, d *deploy.Deployment, log io.Writer, clock *stopwatch) error {
	for _, name := range slices.Sorted(maps.Keys(d.Parts)) {
		if err := a.fetch(ctx, app, d, name, log, clock); err != nil {
			return err
		}
	}
	res, err := a.Desk.Do(ctx, app.ID, a.order(fmt.Sprintf("%s/roll/%d", d.ID, d.Rollouts+1), deploy.StartRollout{Deployment: d.ID}))
	if err != nil {
		return err
	}
	app, d = res.App, res.App.Deployments[d.ID]
	spec := app.Specs[d.SpecHash]
	live := map[string][]engine.Instance{}
	clock.lap("")
	for _, c := range spec.Components() {
		part := d.Parts[c.Name]
		if part == nil {
			continue // a restart of other components
		}
		fmt.Fprintf(log, "%s: starting %s\n", c.Name, part.Target.Digest.Short())
		instances, err := a.start(ctx, app, spec, c, d.ID, d.Generation, part.Target, log)
		if err != nil {
			return err
		}
		live[c.Name] = instances
	}
	clock.lap("start")
	for name, s := range app.Serving { // what a partial restart leaves alone keeps its instances
		if _, rolled := live[name]; !rolled && d.Intent == events.IntentRestart {
			all, err := a.Engine.Instances(ctx, app.ID)
			if err != nil {
				return err
			}
			live[name] = only(all, name, s.Generation)
		}
	}
	if err := a.route(ctx, app, spec, live); err != nil {
		return fmt.Errorf("switch the ingress: %w", err)
	}
	clock.lap("switch")
	return nil
}

// fetch makes a component's image available on the engine. An image that is there costs no call to anything else.
func (a *Agent) fetch(ctx context.Context, app deploy.App, d *deploy.Deployment, name string, log io.Writer, clock *stopwatch) error {
	part := d.Parts[name]
	image, err := a.image(app.ID, name, part.Target)
	if err != nil {
		return &stopped{component: name, step: "pull", reason: err.Error()}
	}
	clock.lap("")
	from := "engine"
	have, err := a.Engine.Has(ctx, image.Digest)
	if err != nil {
		return fmt.Errorf("ask the engine for %s: %w", image.Digest.Short(), err)
	}
	if !have {
		fmt.Fprintf(log, "%s: pulling %s\n", name, image.Digest.Short())
		if err := a.pull(ctx, image, log); err != nil {
			return &stopped{component: name, step: "pull", reason: pullReason(err)}
		}
		from = "registry"
	}
	phase := clock.lap("pull")
	if part.Build || part.Pulled != "" {
		return nil
	}
	_, err = a.Desk.Do(ctx, app.ID, a.order(fmt.Sprintf("%s/%s/pulled", d.ID, name), deploy.RecordPull{
		Deployment: d.ID, Component: name, Digest: image.Digest, From: from, Phases: []events.Phase{phase},
	}))
	return err
}

// pull verifies an image at its registry and has the engine fetch exactly that. A registry out of reach is waited for.
func (a *Agent) pull(ctx context.Context, image engine.Image, log io.Writer) error {
	deadline := a.Now().Add(cmp.Or(a.Patience, pullPatience))
	for wait := time.Second; ; wait = min(2*wait, 15*time.Second) {
		err := a.Images.Verify(ctx, image.Repository, image.Digest)
		if err == nil {
			err = a.Engine.Pull(ctx, image, log)
		}
		if err == nil || !temporary(err) || a.Now().Add(wait).After(deadline) {
			return err
		}
		fmt.Fprintf(log, "%v; trying again in %v\n", err, wait)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// pullReason says, of what waiting may help with, what to do when it did not.
func pullReason(err error) string {
	if temporary(err) {
		return err.Error() + "; the engine does not have the image: bring back what cannot be reached, then ask for the same again"
	}
	return err.Error()
}

// temporary reports whether trying again may help. Errors say so themselves.
func temporary(err error) bool {
	var t interface{ Temporary() bool }
	return errors.Is(err, engine.ErrDown) || errors.As(err, &t) && t.Temporary()
}

// start runs one component's instances until they are healthy, and makes sure that they run the very image.
func (a *Agent) start(ctx context.Context, app deploy.App, spec events.Spec, c events.Component, deployment events.ID, generation uint64, t events.Target, log io.Writer) ([]engine.Instance, error) {
	env, err := a.environment(app, spec, c)
	if err != nil {
		return nil, &stopped{component: c.Name, step: "start", reason: err.Error()}
	}
	image, err := a.image(app.ID, c.Name, t)
	if err != nil {
		return nil, &stopped{component: c.Name, step: "start", reason: err.Error()}
	}
	r := engine.Rollout{
		App: app.ID, AppName: app.Name, Component: c.Name, Deployment: deployment, Generation: generation,
		Image: image, Command: c.RunCommand, Env: env, Count: max(1, c.InstanceCount),
	}
	if spec.IsService(c.Name) {
		r.Port = port(c)
	}
	if c.HealthCheck != nil {
		r.Health = *c.HealthCheck
	}
	instances, err := a.Engine.Roll(ctx, r, log)
	var unhealthy *engine.Unhealthy
	if errors.As(err, &unhealthy) {
		return nil, &stopped{component: c.Name, step: unhealthy.Step, reason: unhealthy.Error(), log: unhealthy.Log}
	}
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Name, err)
	}
	for _, i := range instances {
		if i.Digest != t.Digest {
			return nil, &stopped{component: c.Name, step: "start", reason: fmt.Sprintf(
				"the engine runs %s where %s was asked for: another image took its name; remove it from the engine and deploy again", i.Digest, t.Digest)}
		}
	}
	return instances, nil
}

func only(all []engine.Instance, component string, generation uint64) []engine.Instance {
	return slices.DeleteFunc(slices.Clone(all), func(i engine.Instance) bool {
		return i.Component != component || i.Generation != generation
	})
}
