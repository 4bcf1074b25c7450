package spec

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"shiplog/events"
)

// MaxBytes is the most that a spec's JSON may take: 48 KiB, so that it fits in an event.
const MaxBytes = 48 << 10

var (
	namePattern = regexp.MustCompile(`^[a-z][a-z0-9-]{0,30}[a-z0-9]$`)
	slugPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)
	keyPattern  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

const nameRule = "must be 2 to 32 lower-case letters, digits and hyphens, beginning with a letter and not ending in a hyphen"

// Check judges what a spec says and returns it in its normal form: paths cleaned, a sole service given the route "/",
// "UNSET" and "UNSPECIFIED" dropped. Counts, ports and times that are absent stay absent, which means their default
// ([Instances], [Port], [Health], [Termination]). The argument is not changed. Check(Check(s)) = Check(s).
//
// The error is a [Problems] with everything that is wrong.
func Check(s events.Spec) (events.Spec, error) {
	c := checker{spec: clone(s), names: map[string]string{}, routes: map[string]string{}}
	c.app()
	if len(c.problems) == 0 {
		if n := len(encode(c.spec)); n > MaxBytes {
			c.fault("", "it takes %d bytes; at most %d fit in the log", n, MaxBytes)
		}
	}
	if err := c.problems.err(); err != nil {
		return events.Spec{}, err
	}
	return c.spec, nil
}

type checker struct {
	spec     events.Spec
	problems Problems
	names    map[string]string // component name -> path
	routes   map[string]string // route path -> path
}

func (c *checker) fault(path, format string, args ...any) {
	c.problems.add(path, 0, format, args...)
}

func (c *checker) app() {
	s := &c.spec
	switch {
	case s.Name == "":
		c.fault("name", "is missing")
	case !namePattern.MatchString(s.Name):
		c.fault("name", "%s, not %q", nameRule, clip(s.Name))
	}
	c.slug("region", s.Region)
	if len(s.Services)+len(s.Workers) == 0 {
		c.fault("", "there is nothing to run: give at least one service or worker")
	}
	for i := range s.Services {
		c.service(&s.Services[i], fmt.Sprintf("services[%d]", i))
	}
	for i := range s.Workers {
		c.worker(&s.Workers[i], fmt.Sprintf("workers[%d]", i))
	}
	c.envs(s.Envs, "envs")
	if len(s.Features) > 50 {
		c.fault("features", "there are %d; at most 50 are kept", len(s.Features))
	}
	for i, f := range s.Features {
		if f == "" || len(f) > 100 || hasControl(f) {
			c.fault(fmt.Sprintf("features[%d]", i), "must be 1 to 100 printable characters")
		}
	}
}

func (c *checker) service(s *events.Component, path string) {
	c.component(s, path)
	c.port(path+".http_port", s.HTTPPort)
	if len(s.Routes) == 0 {
		if len(c.spec.Services) == 1 {
			s.Routes = []events.Route{{Path: "/"}}
		} else {
			c.fault(path+".routes", "is missing: with more than one service each says which paths it answers")
		}
	}
	for i := range s.Routes {
		c.route(&s.Routes[i], fmt.Sprintf("%s.routes[%d].path", path, i))
	}
	if h := s.HealthCheck; h != nil {
		c.health(h, path+".health_check")
	}
}

func (c *checker) worker(w *events.Component, path string) {
	c.component(w, path)
	if w.HTTPPort != 0 {
		c.fault(path+".http_port", "a worker answers no requests: make it a service, or leave this out")
	}
	if len(w.Routes) > 0 {
		c.fault(path+".routes", "a worker answers no requests: make it a service, or leave this out")
	}
	if w.HealthCheck != nil {
		c.fault(path+".health_check", "a worker answers no requests: make it a service, or leave this out")
	}
	if w.Termination != nil && w.Termination.DrainSeconds != 0 {
		c.fault(path+".termination.drain_seconds", "a worker has no requests to drain: give grace_period_seconds")
	}
}

func (c *checker) component(k *events.Component, path string) {
	switch other, taken := c.names[k.Name]; {
	case k.Name == "":
		c.fault(path+".name", "is missing")
	case !namePattern.MatchString(k.Name):
		c.fault(path+".name", "%s, not %q", nameRule, clip(k.Name))
	case taken:
		c.fault(path+".name", "%q is the name of %s already", k.Name, other)
	default:
		c.names[k.Name] = path
	}
	c.source(k, path)
	c.build(k, path)
	c.envs(k.Envs, path+".envs")
	c.between(path+".instance_count", k.InstanceCount, 1, 250, "instances")
	c.slug(path+".instance_size_slug", k.InstanceSize)
	c.slug(path+".environment_slug", k.EnvironmentSlug)
	if len(k.RunCommand) > 8<<10 || strings.ContainsRune(k.RunCommand, 0) {
		c.fault(path+".run_command", "must be at most 8 KiB without NUL")
	}
	if t := k.Termination; t != nil {
		c.between(path+".termination.drain_seconds", t.DrainSeconds, 1, 600, "seconds")
		c.between(path+".termination.grace_period_seconds", t.GracePeriodSeconds, 1, 600, "seconds")
	}
}

func (c *checker) health(h *events.HealthCheck, path string) {
	if p := h.HTTPPath; p != "" && (p[0] != '/' || len(p) > 1024 || strings.ContainsAny(p, " #\\") || hasControl(p)) {
		c.fault(path+".http_path", "must begin with / and hold no spaces")
	}
	c.port(path+".port", h.Port)
	c.between(path+".initial_delay_seconds", h.InitialDelaySeconds, 1, 3600, "seconds")
	c.between(path+".period_seconds", h.PeriodSeconds, 1, 300, "seconds")
	c.between(path+".timeout_seconds", h.TimeoutSeconds, 1, 120, "seconds")
	c.between(path+".success_threshold", h.SuccessThreshold, 1, 50, "probes")
	c.between(path+".failure_threshold", h.FailureThreshold, 1, 50, "probes")
}

// between checks a number that may be absent, which is 0.
func (c *checker) between(path string, n, low, high int, unit string) {
	if n != 0 && (n < low || n > high) {
		c.fault(path, "must be %d to %d %s, not %d", low, high, unit, n)
	}
}

func (c *checker) port(path string, n int) {
	if n < 0 || n > 65535 {
		c.fault(path, "must be a port from 1 to 65535, not %d", n)
	}
}

func (c *checker) slug(path, s string) {
	if s != "" && !slugPattern.MatchString(s) {
		c.fault(path, "must be letters, digits, dots, hyphens and underscores, not %q", clip(s))
	}
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

func encode(s events.Spec) []byte {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // plain structs of strings and numbers
	}
	return b
}

func clone(s events.Spec) (c events.Spec) {
	if err := json.Unmarshal(encode(s), &c); err != nil {
		panic(err)
	}
	return c
}
