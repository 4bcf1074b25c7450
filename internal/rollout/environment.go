package rollout

import (
	"fmt"
	"strconv"
	"time"

	"shiplog/events"
	"shiplog/internal/deploy"
	"shiplog/internal/spec"
)

// environment returns the variables a component's instances run with. Secrets are opened here and nowhere else on the way.
func (a *Agent) environment(app deploy.App, s events.Spec, c events.Component) (map[string]string, error) {
	env := map[string]string{}
	if s.IsService(c.Name) {
		env["PORT"] = strconv.Itoa(spec.Port(c))
	}
	for _, e := range s.EnvsFor(c, "RUN_TIME") {
		env[e.Key] = e.Value
		if e.Type != "SECRET" {
			continue
		}
		value, err := a.Secrets.Reveal(string(app.ID), e)
		if err != nil {
			return nil, fmt.Errorf("open the secret %s: %w", e.Key, err)
		}
		env[e.Key] = value
	}
	return env, nil
}

// stopwatch measures the parts of a rollout.
type stopwatch struct {
	now    func() time.Time
	last   time.Time
	phases []events.Phase
}

// lap ends a part; an empty name only starts the next.
func (s *stopwatch) lap(name string) events.Phase {
	now := s.now()
	p := events.Phase{Name: name, Ms: now.Sub(s.last).Milliseconds()}
	s.last = now
	if name != "" {
		s.phases = append(s.phases, p)
	}
	return p
}
