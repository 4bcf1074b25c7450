package api

import (
	"context"
	"errors"

	"shiplog/events"
	"shiplog/internal/deploy"
)

// newest asks for the newest revision or digest of the components that need one. Components that share a source line are
// asked for once, so that they never come from two commits of one branch.
func (s *server) newest(ctx context.Context, a deploy.App, spec events.Spec, needs func(events.Component) bool) (map[string]events.Target, error) {
	targets := map[string]events.Target{}
	var asked []events.Component
	for _, c := range spec.Components() {
		if !needs(c) {
			continue
		}
		if twin, ok := askedBefore(a, asked, c); ok {
			targets[c.Name] = targets[twin]
			continue
		}
		t, err := s.Resolver.Newest(ctx, a, spec, c)
		if err != nil {
			return nil, unresolved(c, "the newest revision", err)
		}
		targets[c.Name] = t
		asked = append(asked, c)
	}
	return targets, nil
}

func askedBefore(a deploy.App, asked []events.Component, c events.Component) (twin string, ok bool) {
	for _, b := range asked {
		p, pinned := a.PinOf(b.Name)
		q, alsoPinned := a.PinOf(c.Name)
		samePin := pinned == alsoPinned && p.Ref == q.Ref
		if samePin && b.SameSource(c) {
			return b.Name, true
		}
	}
	return "", false
}

// unresolved says what could not be found out, keeping a refusal's own code.
func unresolved(c events.Component, what string, err error) error {
	var refusal *deploy.Refusal
	if errors.As(err, &refusal) {
		return err
	}
	return invalid("cannot find %s in the source of component %s: %v", what, c.Name, err)
}
