package engine

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"shiplog/events"
)

func TestProbeDefaults(t *testing.T) {
	p := newProbe(events.HealthCheck{}, 8080)
	if p.path != "" || p.port != 8080 || p.initial != 0 || p.period != 10*time.Second || p.timeout != time.Second || p.successes != 1 || p.limit != 90*time.Second {
		t.Errorf("%+v", p)
	}
	p = newProbe(events.HealthCheck{HTTPPath: "x", Port: 9, InitialDelaySeconds: 5, PeriodSeconds: 2, TimeoutSeconds: 3, SuccessThreshold: 4, FailureThreshold: 6}, 8080)
	if p.path != "/x" || p.port != 9 || p.initial != 5*time.Second || p.period != 2*time.Second || p.timeout != 3*time.Second || p.successes != 4 || p.limit != 17*time.Second {
		t.Errorf("%+v", p)
	}
	for passed, want := range map[time.Duration]time.Duration{0: firstPause, time.Second: firstPause, 5 * time.Second: 500 * time.Millisecond, time.Hour: 2 * time.Second} {
		if got := p.pause(passed); got != want {
			t.Errorf("after %v a pause of %v, want %v", passed, got, want)
		}
	}
}

func TestProbe(t *testing.T) {
	t.Parallel()
	var hits atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		code, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
		switch {
		case code == 302:
			w.Header().Set("Location", "/500")
			w.WriteHeader(302)
		case r.URL.Path == "/slow":
			select {
			case <-r.Context().Done():
			case <-time.After(5 * time.Second):
			}
		case code == 0:
			w.WriteHeader(404)
		default:
			w.WriteHeader(code)
		}
	}))
	defer srv.Close()
	addr := strings.TrimPrefix(srv.URL, "http://")
	_, port, _ := net.SplitHostPort(addr)
	n, _ := strconv.Atoi(port)
	for path, ok := range map[string]bool{"": true, "/200": true, "/204": true, "/302": true, "/404": false, "/500": false, "/slow": false, "@127.0.0.1:1/": false, "/\x7f": false} {
		err := newProbe(events.HealthCheck{HTTPPath: path}, n).try(t.Context(), addr)
		if (err == nil) != ok {
			t.Errorf("%q: %v", path, err)
		}
	}
	if hits.Load() < 6 {
		t.Errorf("%d requests", hits.Load())
	}
	for _, bad := range []string{"", "10.89.0.5"} {
		if err := newProbe(events.HealthCheck{}, n).try(t.Context(), bad); err == nil {
			t.Errorf("address %q is healthy", bad)
		}
	}
}

func TestRuntimeWarnings(t *testing.T) {
	for _, tt := range []struct {
		name, version, warns string
	}{
		{"runc", "1.2.7", "runc 1.2.7"}, {"runc", "1.2.8", ""}, {"runc", "1.3.2", "runc 1.3.2"}, {"runc", "1.3.3", ""}, {"runc", "1.4.0", ""}, {"runc", "2.0.0", ""},
		{"OCI Runtime (runc)", "runc version 1.1.5+ds1\ncommit: 1.1.5+ds1-1+deb12u1\nspec: 1.0.2-dev", "runc 1.1.5"},
		{"OCI Runtime (crun)", "crun version 1.8.1\ncommit: x\nspec: 1.0.0", "crun 1.8.1"}, {"OCI Runtime (crun)", "crun version 1.25\nspec: 1.0.0", ""},
		{"OCI Runtime (crun)", "crun version 1.25.1\nspec: 1.0.0", ""},
		{"containerd", "1.0.0", ""}, {"runc", "unknown", ""},
	} {
		got := strings.Join(runtimeWarnings(tt.name, tt.version), "")
		if (got == "") != (tt.warns == "") || !strings.HasPrefix(got, tt.warns) {
			t.Errorf("%s %q: %q", tt.name, tt.version, got)
		}
	}
}
