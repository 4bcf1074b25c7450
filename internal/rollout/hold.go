package rollout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"shiplog/events"
	"shiplog/internal/deploy"
	"shiplog/internal/engine"
	"shiplog/internal/ingress"
)

// Hold makes the world equal to what serves: missing instances are started, the ingress sends requests to the ones that
// should get them, and every other instance of the app is drained and removed. It is what adopts running containers after
// a restart of the service, and what cleans up after a rollout, good or bad.
func (a *Agent) Hold(ctx context.Context, app deploy.App, _ deploy.Action) error {
	if app.Deleted {
		if err := a.Ingress.Remove(ctx, string(app.ID), fence(app)); err != nil {
			return fmt.Errorf("take %s off the ingress: %w", app.Name, err)
		}
		return a.Engine.RemoveApp(ctx, app.ID)
	}
	live := map[string][]engine.Instance{}
	spec := app.Spec
	var missing error
	if !app.Stopped {
		for name, s := range app.Serving {
			spec = app.Specs[s.SpecHash]
			instances, err := a.keep(ctx, app, spec, name, s)
			if err != nil {
				missing = errors.Join(missing, err)
			}
			live[name] = instances
		}
	}
	if err := a.route(ctx, app, spec, live); err != nil {
		return fmt.Errorf("set the routes of %s: %w", app.Name, err)
	}
	if err := a.retire(ctx, app, spec, live); err != nil {
		return err
	}
	return missing
}

// keep returns the instances of a component that serve, after starting those that are not there.
func (a *Agent) keep(ctx context.Context, app deploy.App, spec events.Spec, name string, s deploy.Serving) ([]engine.Instance, error) {
	c, ok := spec.Component(name)
	if !ok {
		return nil, nil
	}
	all, err := a.Engine.Instances(ctx, app.ID)
	if err != nil {
		return nil, err
	}
	have := slices.DeleteFunc(only(all, name, s.Generation), func(i engine.Instance) bool { return !i.Running() })
	if len(have) >= max(1, c.InstanceCount) {
		return have, nil
	}
	image, err := a.image(app.ID, name, s.Target)
	if err != nil {
		return have, err
	}
	if there, err := a.Engine.Has(ctx, image.Digest); err != nil {
		return have, err
	} else if !there {
		if err := a.pull(ctx, image, io.Discard); err != nil {
			return have, fmt.Errorf("bring %s back: %w", name, err)
		}
	}
	started, err := a.start(ctx, app, spec, c, s.Deployment, s.Generation, s.Target, io.Discard)
	if err != nil {
		return have, fmt.Errorf("bring %s back: %w", name, err)
	}
	return started, nil
}

// retire drains and removes every instance of the app that is not among the live ones.
func (a *Agent) retire(ctx context.Context, app deploy.App, spec events.Spec, live map[string][]engine.Instance) error {
	all, err := a.Engine.Instances(ctx, app.ID)
	if err != nil {
		return err
	}
	var old []engine.Instance
	var backends []string
	for _, i := range all {
		if !slices.ContainsFunc(live[i.Component], func(l engine.Instance) bool { return l.ID == i.ID }) {
			old = append(old, i)
			if i.Address != "" && i.Running() {
				backends = append(backends, i.Address)
			}
		}
	}
	if len(old) == 0 {
		return nil
	}
	drain, grace := termination(spec, old[0].Component)
	if len(backends) > 0 {
		if _, err := a.Ingress.Drain(ctx, backends, drain); err != nil {
			return fmt.Errorf("drain the old instances of %s: %w", app.Name, err)
		}
	}
	return a.Engine.Retire(ctx, old, grace)
}

// termination returns how long a component's instances may drain, and then take to end. The defaults are App Platform's.
func termination(spec events.Spec, component string) (drain, grace time.Duration) {
	drain, grace = 15*time.Second, 120*time.Second
	if c, ok := spec.Component(component); ok && c.Termination != nil {
		if s := c.Termination.DrainSeconds; s > 0 {
			drain = time.Duration(s) * time.Second
		}
		if s := c.Termination.GracePeriodSeconds; s > 0 {
			grace = time.Duration(s) * time.Second
		}
	}
	return drain, grace
}

// route tells the ingress where the app's requests go. The table is fenced with the place of the newest event the
// decision was taken on, so that a late write of an older one is refused.
func (a *Agent) route(ctx context.Context, app deploy.App, spec events.Spec, live map[string][]engine.Instance) error {
	r := ingress.AppRoutes{
		App: string(app.ID), Name: app.Name, Hosts: []string{app.Name + "." + a.Domain}, State: ingress.Serving, Generation: fence(app),
	}
	switch {
	case app.Stopped:
		r.State = ingress.Stopped
	case len(app.Serving) == 0 && len(live) == 0:
		r.State = ingress.Deploying
	}
	for _, c := range spec.Services {
		var backends []string
		for _, i := range live[c.Name] {
			backends = append(backends, i.Address)
		}
		if len(backends) == 0 {
			continue
		}
		for _, route := range routes(c) {
			r.Routes = append(r.Routes, ingress.Route{Path: route.Path, PreservePrefix: route.PreservePathPrefix, Backends: backends})
		}
	}
	return a.Ingress.Set(ctx, r)
}

// fence is the place of the newest event that a decision was taken on, as one number that only rises.
func fence(app deploy.App) uint64 { return app.Head.Position.Epoch<<48 | app.Head.Position.Sequence }

func routes(c events.Component) []events.Route {
	if len(c.Routes) == 0 {
		return []events.Route{{Path: "/"}}
	}
	return c.Routes
}
