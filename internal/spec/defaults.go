package spec

import "shiplog/events"

// Instances returns how many instances a component has: 1 where the spec does not say.
func Instances(c events.Component) int { return or(c.InstanceCount, 1) }

// Port returns the port a service listens on, which it is given as PORT: 8080 where the spec does not say.
func Port(c events.Component) int { return or(c.HTTPPort, 8080) }

// Health returns a service's health check with every default filled in. HTTPPath may stay empty: a TCP connect is
// enough then.
func Health(c events.Component) events.HealthCheck {
	var h events.HealthCheck
	if c.HealthCheck != nil {
		h = *c.HealthCheck
	}
	h.Port = or(h.Port, Port(c))
	h.PeriodSeconds = or(h.PeriodSeconds, 10)
	h.TimeoutSeconds = or(h.TimeoutSeconds, 1)
	h.SuccessThreshold = or(h.SuccessThreshold, 1)
	h.FailureThreshold = or(h.FailureThreshold, 9)
	return h
}

// Termination returns how an instance goes, with every default filled in.
func Termination(c events.Component) events.Termination {
	var t events.Termination
	if c.Termination != nil {
		t = *c.Termination
	}
	t.DrainSeconds = or(t.DrainSeconds, 15)
	t.GracePeriodSeconds = or(t.GracePeriodSeconds, 120)
	return t
}

// or returns n, or the default where n is absent.
func or(n, def int) int {
	if n == 0 {
		return def
	}
	return n
}
