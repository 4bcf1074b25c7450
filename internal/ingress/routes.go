package ingress

import (
	"fmt"
	"net"
	"reflect"
	"strconv"
	"strings"
)

// State says what an app's hosts answer.
type State string

// The states.
const (
	Serving   State = "serving"   // requests go to the backends
	Stopped   State = "stopped"   // 503: a person stopped the app
	Deploying State = "deploying" // 503 with Retry-After: it is on its way
)

// AppRoutes is everything the ingress knows of one app.
type AppRoutes struct {
	App        string   `json:"app"`        // its id
	Name       string   `json:"name"`       // for pages and metrics
	Generation uint64   `json:"generation"` // of the deployment; never goes back
	Hosts      []string `json:"hosts"`      // names it answers at, without a port; no other app has them
	Routes     []Route  `json:"routes"`
	State      State    `json:"state"`
}

// Route is a path prefix and where its requests go.
type Route struct {
	Path           string   `json:"path"` // begins with "/"; matches on whole segments, the longest first
	PreservePrefix bool     `json:"preserve_prefix,omitempty"`
	Backends       []string `json:"backends"` // "host:port"; none: 502
}

// Check refuses what could not be routed, and returns the routes with hosts in lower case.
func (a AppRoutes) Check() (AppRoutes, error) {
	bad := func(format string, args ...any) (AppRoutes, error) {
		return AppRoutes{}, fmt.Errorf("routes of app %q: "+format, append([]any{a.App}, args...)...)
	}
	if a.App == "" || len(a.App) > 100 || strings.ContainsAny(a.App+a.Name, "/\"\\\n") {
		return bad("the id or the name cannot be used")
	}
	switch a.State {
	case Serving, Stopped, Deploying:
	default:
		return bad("%q is not a state", a.State)
	}
	hosts := make([]string, len(a.Hosts))
	for i, h := range a.Hosts {
		hosts[i] = canonicalHost(h)
		if hosts[i] == "" || strings.Trim(hosts[i], "abcdefghijklmnopqrstuvwxyz0123456789.-_:") != "" {
			return bad("%q is not a host", h)
		}
	}
	a.Hosts = hosts
	seen := map[string]bool{}
	for _, r := range a.Routes {
		if !strings.HasPrefix(r.Path, "/") || seen[strings.TrimSuffix(r.Path, "/")] {
			return bad("the path %q does not begin with / or is given twice", r.Path)
		}
		seen[strings.TrimSuffix(r.Path, "/")] = true
		for _, b := range r.Backends {
			host, port, err := net.SplitHostPort(b)
			if n, perr := strconv.Atoi(port); err != nil || perr != nil || host == "" || n < 1 || n > 65535 {
				return bad("%q is not a backend (host:port)", b)
			}
		}
	}
	return a, nil
}

func (a AppRoutes) equal(b AppRoutes) bool { return reflect.DeepEqual(a, b) }

// canonicalHost is a Host header's name: lower case, without port and final dot.
func canonicalHost(h string) string {
	if i := strings.LastIndexByte(h, ':'); i >= 0 && i > strings.LastIndexByte(h, ']') {
		h = h[:i]
	}
	h = strings.TrimSuffix(strings.TrimPrefix(h, "["), "]")
	return strings.ToLower(strings.TrimSuffix(h, "."))
}
