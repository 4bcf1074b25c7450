package rollout

import (
	"context"
	"errors"
	"fmt"
	"io"

	"shiplog/events"
	"shiplog/internal/deploy"
	"shiplog/internal/engine"
	"shiplog/internal/spec"
)

// run is what the instances of one component run.
type run struct {
	spec       events.Spec
	component  events.Component
	deployment events.ID
	generation uint64
	target     events.Target
}

// start runs one component's instances until they are healthy, and makes sure that they run the very image. Errors are
// *stopped.
func (a *Agent) start(ctx context.Context, app deploy.App, r run, log io.Writer) ([]engine.Instance, error) {
	c := r.component
	env, err := a.environment(app, r.spec, c)
	if err != nil {
		return nil, &stopped{component: c.Name, step: "start", reason: err.Error()}
	}
	image, err := a.image(app.ID, c.Name, r.target)
	if err != nil {
		return nil, &stopped{component: c.Name, step: "start", reason: err.Error()}
	}
	e := engine.Rollout{
		App: app.ID, AppName: app.Name, Component: c.Name, Deployment: r.deployment, Generation: r.generation,
		Image: image, Command: c.RunCommand, Env: env, Count: spec.Instances(c),
	}
	if r.spec.IsService(c.Name) {
		e.Port = spec.Port(c)
	}
	if c.HealthCheck != nil {
		e.Health = *c.HealthCheck
	}
	instances, err := a.Engine.Roll(ctx, e, log)
	var unhealthy *engine.Unhealthy
	if errors.As(err, &unhealthy) {
		return nil, &stopped{component: c.Name, step: unhealthy.Step, reason: unhealthy.Error(), log: unhealthy.Log}
	}
	if err != nil {
		return nil, again(c.Name, "start", err)
	}
	for _, i := range instances {
		if i.Digest != r.target.Digest {
			return nil, &stopped{component: c.Name, step: "start", reason: fmt.Sprintf(
				"the engine runs %s where %s was asked for: another image took its name; remove it from the engine and deploy again", i.Digest, r.target.Digest)}
		}
	}
	return instances, nil
}
