package rollout

import (
	"context"
	"errors"
	"fmt"

	"shiplog/events"
	"shiplog/internal/deploy"
	"shiplog/internal/engine"
	"shiplog/internal/ingress"
)

// route tells the ingress where the app's requests go. The table is fenced with the place of the newest event the
// decision was taken on, so that a late write of an older one is refused. A service without instances keeps its paths:
// they answer that it is away, and are not left to another service.
func (a *Agent) route(ctx context.Context, app deploy.App, spec events.Spec, state ingress.State, live map[string][]engine.Instance) error {
	r := ingress.AppRoutes{
		App: string(app.ID), Name: app.Name, Hosts: []string{app.Name + "." + a.Domain}, State: state, Generation: fence(app),
	}
	if state == ingress.Serving {
		for _, c := range spec.Services {
			backends := addresses(live[c.Name])
			for _, route := range routes(c) {
				r.Routes = append(r.Routes, ingress.Route{Path: route.Path, PreservePrefix: route.PreservePathPrefix, Backends: backends})
			}
		}
	}
	if err := a.Ingress.Set(ctx, r); err != nil {
		return a.unrouted(app, err)
	}
	return nil
}

// unrouted explains why the ingress did not take an app's routes. This process is the only one that gives it any, one
// table of an app at a time: newer ones than ours mean that the log is not the one they were decided on.
func (a *Agent) unrouted(app deploy.App, err error) error {
	if errors.Is(err, ingress.ErrStale) {
		return fmt.Errorf("the ingress has routes of %s that are newer than this log, which ends at %s: was the log restored from a backup? "+
			"End the ingress, move its ingress.json away and start the service again: %w", app.Name, app.Head.Position, err)
	}
	return fmt.Errorf("set the routes of %s: %w", app.Name, err)
}

// fence is the place of the newest event that a decision was taken on, as one number that only rises.
func fence(app deploy.App) uint64 { return app.Head.Position.Epoch<<48 | app.Head.Position.Sequence }

func routes(c events.Component) []events.Route {
	if len(c.Routes) == 0 {
		return []events.Route{{Path: "/"}}
	}
	return c.Routes
}

func addresses(instances []engine.Instance) []string {
	var out []string
	for _, i := range instances {
		out = append(out, i.Address)
	}
	return out
}
