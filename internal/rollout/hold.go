package rollout

import (
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
	"shiplog/internal/ingress"
	"shiplog/internal/spec"
)

// look is how often the instances that serve are looked at while old ones drain, which may take many minutes.
const look = 3 * time.Second

// Hold makes the world equal to what serves: missing instances are started, the ingress sends requests to the ones that
// should get them, and every other instance of the app is drained and removed. It is what adopts running containers after
// a restart of the service, and what cleans up after a rollout, good or bad.
//
// While the engine cannot say what runs, or the ingress does not take the routes, nothing else is touched.
func (a *Agent) Hold(ctx context.Context, app deploy.App, _ deploy.Action) error {
	if app.Deleted {
		if err := a.Ingress.Remove(ctx, string(app.ID), fence(app)); err != nil {
			return a.unrouted(app, err)
		}
		return a.Engine.RemoveApp(ctx, app.ID)
	}
	all, err := a.Engine.Instances(ctx, app.ID)
	if err != nil {
		return err
	}
	live := present(app, all)
	var missing error
	if lacking := lacks(app, live); len(lacking) > 0 {
		// What runs is routed before the rest is waited for: its addresses may have changed.
		state := ingress.Serving
		if len(live) == 0 {
			state = ingress.Deploying
		}
		if err := a.route(ctx, app, servingSpec(app), state, live); err != nil {
			return err
		}
		for _, name := range lacking {
			if err := a.restore(ctx, app, name); err != nil {
				missing = errors.Join(missing, fmt.Errorf("bring %s back: %w", name, err))
			}
		}
		if all, err = a.Engine.Instances(ctx, app.ID); err != nil {
			return errors.Join(missing, err)
		}
		live = present(app, all)
	}
	if err := a.route(ctx, app, servingSpec(app), standing(app), live); err != nil {
		return errors.Join(missing, err)
	}
	return errors.Join(missing, a.retireAndFollow(ctx, app, all, live))
}

// standing is what the app's hosts answer when nothing is under way.
func standing(app deploy.App) ingress.State {
	switch {
	case app.Stopped:
		return ingress.Stopped
	case len(app.Serving) == 0:
		return ingress.Deploying
	}
	return ingress.Serving
}

// servingSpec is the spec of what serves. All components serve under one: a release replaces them all.
func servingSpec(app deploy.App) events.Spec {
	for _, s := range app.Serving {
		return app.Specs[s.SpecHash]
	}
	return app.Spec
}

// present picks the instances that should get requests, or work: those of what serves that run. A component that has none
// is not in the result.
func present(app deploy.App, all []engine.Instance) map[string][]engine.Instance {
	live := map[string][]engine.Instance{}
	if app.Stopped {
		return live
	}
	s := servingSpec(app)
	for _, i := range all {
		c, ok := s.Component(i.Component)
		serving, serves := app.Serving[i.Component]
		fits := ok && serves && i.Generation == serving.Generation && i.Index <= spec.Instances(c) &&
			(i.Digest == serving.Target.Digest || i.Digest == "") // an engine can forget the name of an image that runs
		if fits && i.Running() && (i.Address != "" || !s.IsService(c.Name)) {
			live[c.Name] = append(live[c.Name], i)
		}
	}
	return live
}

// lacks returns the components of what serves that have too few instances.
func lacks(app deploy.App, live map[string][]engine.Instance) []string {
	var names []string
	if app.Stopped {
		return nil
	}
	s := servingSpec(app)
	for _, name := range slices.Sorted(maps.Keys(app.Serving)) {
		if c, ok := s.Component(name); ok && len(live[name]) < spec.Instances(c) {
			names = append(names, name)
		}
	}
	return names
}

// restore starts the instances of a component that are not there. It does not wait for a registry: it will be called again.
func (a *Agent) restore(ctx context.Context, app deploy.App, name string) error {
	if _, err := a.bring(ctx, app, name, app.Serving[name].Target, 0, io.Discard); err != nil {
		return err
	}
	spec, s := servingSpec(app), app.Serving[name]
	c, _ := spec.Component(name)
	_, err := a.start(ctx, app, run{spec, c, s.Deployment, s.Generation, s.Target}, io.Discard)
	return err
}

// retireAndFollow ends what is not live. Until that is done it keeps the routes with the live instances: the engine gives
// one that it starts again another address.
func (a *Agent) retireAndFollow(ctx context.Context, app deploy.App, all []engine.Instance, live map[string][]engine.Instance) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		defer cancel()
		done <- a.retire(ctx, app, all, live)
	}()
	for a.wait(ctx, look) == nil {
		all, err := a.Engine.Instances(ctx, app.ID)
		if err != nil {
			continue // it says so to whoever retires
		}
		if now := present(app, all); !sameAddresses(now, live) && a.route(ctx, app, servingSpec(app), standing(app), now) == nil {
			live = now
		}
	}
	return <-done
}

func sameAddresses(x, y map[string][]engine.Instance) bool {
	return maps.EqualFunc(x, y, func(x, y []engine.Instance) bool { return slices.Equal(addresses(x), addresses(y)) })
}
