package spec

import (
	"regexp"
	"strings"

	"shiplog/events"
)

// routePattern leaves out "%", so that a path has one spelling.
var routePattern = regexp.MustCompile(`^(/[A-Za-z0-9._~!$&'()*+,;=:@-]+)*$`)

func (c *checker) route(r *events.Route, at string) {
	if r.Path == "" {
		c.fault(at, "is missing")
		return
	}
	trimmed := strings.TrimSuffix(r.Path, "/")
	if r.Path[0] != '/' || len(r.Path) > 255 || !routePattern.MatchString(trimmed) || hasDots(trimmed) ||
		strings.Contains(trimmed+"/", "/./") {
		c.fault(at, "must be a plain path that begins with /, not %q", clip(r.Path))
		return
	}
	r.Path = trimmed
	if trimmed == "" {
		r.Path = "/"
	}
	if other, taken := c.routes[r.Path]; taken {
		c.fault(at, "%s is the path of %s already", r.Path, other)
		return
	}
	c.routes[r.Path] = strings.TrimSuffix(at, ".path")
}
