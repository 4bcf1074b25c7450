package rollout

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"shiplog/events"
	"shiplog/internal/deploy"
	"shiplog/internal/engine"
	"shiplog/internal/spec"
)

// leaving is a group of instances that go on the same terms.
type leaving struct {
	component    string
	drain, grace time.Duration // drain is 0 for what gets no requests
}

// retire drains and removes every instance of the app that is not among the live ones: each component on its own terms,
// all at the same time. They must not be in the ingress's routes any more.
func (a *Agent) retire(ctx context.Context, app deploy.App, all []engine.Instance, live map[string][]engine.Instance) error {
	groups := map[leaving][]engine.Instance{}
	for _, i := range all {
		if !slices.ContainsFunc(live[i.Component], func(l engine.Instance) bool { return l.ID == i.ID }) {
			terms := termination(app, i)
			groups[terms] = append(groups[terms], i)
		}
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed error
	for terms, old := range groups {
		wg.Go(func() {
			if err := a.end(ctx, terms, old); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed = errors.Join(failed, fmt.Errorf("retire %s of %s: %w", terms.component, app.Name, err))
			}
		})
	}
	wg.Wait()
	return failed
}

func (a *Agent) end(ctx context.Context, terms leaving, old []engine.Instance) error {
	busy := slices.DeleteFunc(slices.Clone(old), func(i engine.Instance) bool { return i.Address == "" || !i.Running() })
	if terms.drain > 0 && len(busy) > 0 {
		if _, err := a.Ingress.Drain(ctx, addresses(busy), terms.drain); err != nil {
			return fmt.Errorf("drain: %w", err)
		}
	}
	return a.Engine.Retire(ctx, old, terms.grace)
}

// termination returns the terms of the spec that an instance was started under, as far as that is known.
func termination(app deploy.App, i engine.Instance) leaving {
	specs := []events.Spec{servingSpec(app), app.Spec}
	if d := app.Deployments[i.Deployment]; d != nil {
		specs = slices.Insert(specs, 0, app.Specs[d.SpecHash])
	}
	terms := leaving{component: i.Component}
	for _, s := range specs {
		if c, ok := s.Component(i.Component); ok {
			t := spec.Termination(c)
			terms.grace = time.Duration(t.GracePeriodSeconds) * time.Second
			if s.IsService(i.Component) {
				terms.drain = time.Duration(t.DrainSeconds) * time.Second
			}
			return terms
		}
	}
	t := spec.Termination(events.Component{})
	terms.drain, terms.grace = time.Duration(t.DrainSeconds)*time.Second, time.Duration(t.GracePeriodSeconds)*time.Second
	return terms
}
