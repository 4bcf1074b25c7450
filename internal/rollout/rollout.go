package rollout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"shiplog/events"
	"shiplog/internal/deploy"
	"shiplog/internal/engine"
	"shiplog/internal/ingress"
	"shiplog/internal/logs"
)

// Rollout brings a deployment to life. It is safe to run again at any point: what is there already is adopted. What is
// slow and may fail is done before anything visible changes; the switch is one step; what served before serves until then
// and, when anything fails, afterwards.
func (a *Agent) Rollout(ctx context.Context, app deploy.App, action deploy.Action) error {
	d := app.Deployments[action.Deployment]
	if d == nil || d.Phase.Final() {
		return nil
	}
	log := a.Logs.Writer(logs.Stream{App: app.ID, Deployment: d.ID, Component: "", Kind: logs.Deploy})
	defer log.Close()
	clock := &stopwatch{now: a.Now}
	err := a.roll(ctx, app, d, log, clock)
	var why *stopped
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &why) && why.worthAnother(d.Rollouts):
		fmt.Fprintf(log, "%v; trying again\n", why)
		return why
	case why != nil:
		why.giveUp()
		fmt.Fprintf(log, "failed: %s; what served before still serves\n", why.reason)
		_, err = a.Desk.Do(ctx, app.ID, a.order(fmt.Sprintf("%s/failed/%d", d.ID, d.Rollouts), deploy.FailDeployment{
			Deployment: d.ID, Component: why.component, Step: why.step, Reason: why.reason, Log: why.log,
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
	if err := a.fetchAll(ctx, app, d, log, clock); err != nil {
		return err
	}
	known := len(d.Parts)
	res, err := a.Desk.Do(ctx, app.ID, a.order(fmt.Sprintf("%s/roll/%d", d.ID, d.Rollouts+1), deploy.StartRollout{Deployment: d.ID}))
	if err != nil {
		return err
	}
	app, d = res.App, res.App.Deployments[d.ID]
	if len(d.Parts) > known { // a restart learns only now what it restarts
		if err := a.fetchAll(ctx, app, d, log, clock); err != nil {
			return err
		}
	}
	spec := app.Specs[d.SpecHash]
	live := map[string][]engine.Instance{}
	if d.Intent == events.IntentRestart { // what it leaves alone keeps its instances
		all, err := a.Engine.Instances(ctx, app.ID)
		if err != nil {
			return again("", "start", err)
		}
		spec, live = servingSpec(app), present(app, all)
	}
	clock.lap("")
	for _, c := range spec.Components() {
		part := d.Parts[c.Name]
		if part == nil {
			continue // a restart of other components
		}
		fmt.Fprintf(log, "%s: starting %s\n", c.Name, part.Target.Digest.Short())
		if live[c.Name], err = a.start(ctx, app, run{spec, c, d.ID, d.Generation, part.Target}, log); err != nil {
			return err
		}
	}
	clock.lap("start")
	if err := a.route(ctx, app, spec, ingress.Serving, live); errors.Is(err, ingress.ErrStale) {
		return &stopped{step: "switch", reason: err.Error()}
	} else if err != nil {
		return again("", "switch", err)
	}
	clock.lap("switch")
	return nil
}

func (a *Agent) fetchAll(ctx context.Context, app deploy.App, d *deploy.Deployment, log io.Writer, clock *stopwatch) error {
	for _, name := range slices.Sorted(maps.Keys(d.Parts)) {
		if err := a.fetch(ctx, app, d, name, log, clock); err != nil {
			return err
		}
	}
	return nil
}
