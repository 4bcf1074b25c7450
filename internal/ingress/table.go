package ingress

import (
	"cmp"
	"slices"
	"strings"
)

// table answers where a request goes. It is never changed: a new one takes its place in one step.
type table struct {
	sites map[string]*site // by host
}

// site is an app as its hosts see it.
type site struct {
	app    AppRoutes
	routes []route // longest path first
	counts *counts
}

type route struct {
	path     string // without a final "/", so "" is everything
	preserve bool
	backends []*backend
}

// newTable compiles the table. Backends and counters are looked up, so that they outlive it.
func newTable(apps map[string]AppRoutes, backendAt func(addr string) *backend, countsOf func(AppRoutes) *counts) *table {
	t := &table{sites: map[string]*site{}}
	for _, a := range apps {
		s := &site{app: a, counts: countsOf(a)}
		for _, r := range a.Routes {
			c := route{path: strings.TrimSuffix(r.Path, "/"), preserve: r.PreservePrefix}
			for _, addr := range r.Backends {
				c.backends = append(c.backends, backendAt(addr))
			}
			s.routes = append(s.routes, c)
		}
		slices.SortFunc(s.routes, func(x, y route) int { return cmp.Compare(len(y.path), len(x.path)) })
		for _, h := range a.Hosts {
			t.sites[h] = s
		}
	}
	return t
}

// route finds the route of an escaped path.
func (s *site) route(path string) (*route, bool) {
	for i := range s.routes {
		if r := &s.routes[i]; r.matches(path) {
			return r, true
		}
	}
	return nil, false
}

// matches reports whether the path begins with the route's segments: "/api" matches "/api" and "/api/x", not "/apix".
func (r *route) matches(path string) bool {
	rest, ok := strings.CutPrefix(path, r.path)
	return ok && (rest == "" || rest[0] == '/')
}

// rest is the path that a backend gets.
func (r *route) rest(path string) string {
	if r.preserve {
		return path
	}
	if rest := path[len(r.path):]; rest != "" {
		return rest
	}
	return "/"
}
