package rollout

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"shiplog/events"
	"shiplog/internal/deploy"
	"shiplog/internal/engine"
	"shiplog/internal/ingress"
)

func TestARolloutGoesInOrder(t *testing.T) {
	w := serving(t, app(service("web")))
	w.deploy("v2")
	w.settle()
	w.want("steps", w.happened("verify", "pull", "RecordPull", "StartRollout", "start", "route", "FinishRollout", "drain", "retire"),
		"verify, pull, RecordPull, StartRollout, start web, route, FinishRollout, route, drain 1 for 15s, retire web-g1-1 after 2m0s")
	w.want("routes", w.ingress.routes(), "/ web-g2-1")
	w.want("running", w.engine.running(), "web-g2-1")
	if d := w.state().Deployments[w.state().Active]; len(d.Phases) != 3 || d.Phases[1].Name != "start" || d.Phases[2].Name != "switch" {
		t.Errorf("phases: %v", d.Phases)
	}
	if !strings.HasSuffix(w.lines.String(), "live\n") {
		t.Errorf("log: %s", w.lines.String())
	}
}

func TestAnImageOnTheEngineNeedsNoRegistry(t *testing.T) {
	w := serving(t, app(service("web")))
	w.deploy("v2")
	w.settle()
	w.images.down, w.steps = -1, nil
	w.deploy("v1")
	w.settle()
	w.want("calls to the registry", w.happened("verify", "pull"), "")
	w.want("routes", w.ingress.routes(), "/ web-g3-1")
	d := w.state().Deployments[w.state().Active]
	w.want("pulled from", d.Parts["web"].Pulled, "engine")
}

func TestOurOwnImagesArePulledWithCredentials(t *testing.T) {
	w := serving(t, app(service("web")))
	own := events.Target{Revision: events.Revision{Commit: events.Commit(strings.Repeat("1", 40))}, Digest: digest("web", "v2")}
	w.do(deploy.Deploy{Targets: map[string]events.Target{"web": own}})
	w.settle()
	got := w.engine.pulled
	want := []engine.Image{
		{Repository: "docker.io/acme/web", Digest: digest("web", "v1")},
		{Repository: "127.0.0.1:5000/" + string(w.app) + "/web", Digest: digest("web", "v2"), User: "shiplog", Password: "hunter2", Plain: true},
	}
	if !slices.Equal(got, want) {
		t.Errorf("pulled %+v, want %+v", got, want)
	}
}

// failures of v2: what served before goes on, untouched, and the deployment says why.
func TestAFailedRolloutLeavesTheOldServing(t *testing.T) {
	v2 := digest("web", "v2")
	for _, c := range []struct {
		name  string
		given func(w *world)
		step  string
		why   []string // all in the reason
		log   string
		took  string // verifies
	}{
		{"registry down", func(w *world) { w.images.down = -1 }, "pull",
			[]string{"registry cannot be reached", "waited for 2m0s", "deploy again"}, "",
			strings.Repeat("verify, ", 11) + "verify"},
		{"missing", func(w *world) { delete(w.images.has, v2) }, "pull", []string{"not in the registry", "build it again"}, "", "verify"},
		{"lies", func(w *world) { w.images.err = errors.New("registry serves something else") }, "pull",
			[]string{"serves something else", "deploy another"}, "", "verify"},
		{"unhealthy", func(w *world) {
			w.engine.sick[v2] = &engine.Unhealthy{Instance: "hello-web-g2-1", Step: "healthy", Reason: "it exited with code 3", Log: "panic: no database\n"}
		}, "healthy", []string{"hello-web-g2-1", "exited with code 3"}, "panic: no database\n", "verify"},
		{"another digest", func(w *world) { w.engine.lies[v2] = digest("web", "evil") }, "start",
			[]string{"the engine runs " + string(digest("web", "evil")), "remove it from the engine and deploy again"}, "", "verify"},
		{"no secret", func(w *world) {
			s := w.state().Spec
			s.Envs = []events.Env{{Key: "KEY", Value: "EV[1:x]", Type: "SECRET"}}
			w.do(deploy.ChangeSpec{Spec: s, Targets: targets(s, "v2"), UpdateAll: true})
		}, "start", []string{"open the secret KEY", "no such secret"}, "", "verify"},
		{"a broken engine", func(w *world) {
			w.engine.onRoll = func(engine.Rollout) error { return errors.New("no free networks") }
		}, "start", []string{"no free networks", "tried 10 times"}, "", "verify"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := serving(t, app(service("web")))
			before := w.ingress.apps[string(w.app)].Routes
			c.given(w)
			if c.name != "no secret" {
				w.deploy("v2")
			}
			live := w.state().Live()[0].ID
			w.settle()
			d := w.state().Deployments[live]
			if d.Phase != deploy.Failed || d.Step != c.step || d.Log != c.log || d.Component != "web" {
				t.Errorf("deployment: %s at %q of %q: %s (log %q)", d.Phase, d.Step, d.Component, d.Reason, d.Log)
			}
			for _, part := range c.why {
				if !strings.Contains(d.Reason, part) {
					t.Errorf("reason %q does not say %q", d.Reason, part)
				}
			}
			w.want("asked the registry", w.happened("verify"), c.took)
			w.want("routes", w.ingress.routes(), "/ web-g1-1")
			w.want("running", w.engine.running(), "web-g1-1")
			if now := w.ingress.apps[string(w.app)].Routes; fmt.Sprint(now) != fmt.Sprint(before) {
				t.Errorf("routes were %v, are %v", before, now)
			}
		})
	}
}

func TestARegistryThatComesBackIsEnough(t *testing.T) {
	w := serving(t, app(service("web")))
	w.images.down = 5
	w.deploy("v2")
	w.settle()
	w.want("routes", w.ingress.routes(), "/ web-g2-1")
	if !strings.Contains(w.lines.String(), "registry cannot be reached; trying again in 1s\n") {
		t.Errorf("log: %s", w.lines.String())
	}
}

func TestAnEngineThatIsAwayIsWaitedFor(t *testing.T) {
	w := serving(t, app(service("web")))
	w.deploy("v2")
	w.engine.down = true
	for range 2 * maxRollouts {
		if _, err := w.once(t.Context()); !errors.Is(err, engine.ErrDown) {
			t.Fatalf("got %v", err)
		}
	}
	w.engine.down = false
	w.settle()
	w.want("routes", w.ingress.routes(), "/ web-g2-1")
}

func TestRoutesThatTheIngressRefuses(t *testing.T) {
	for _, c := range []struct {
		err   error
		tries int
		why   []string
	}{
		{fmt.Errorf("ask the ingress: %w: the app is at 99", ingress.ErrStale), 1, []string{"newer than this log", "restored from a backup", "ingress.json", "the app is at 99"}},
		{errors.New("ask the ingress: connection refused"), maxRollouts + 1, []string{"set the routes of hello", "connection refused"}},
	} {
		w := serving(t, app(service("web")))
		id := w.deploy("v2")
		w.ingress.err = c.err
		tries := 0
		for ; w.state().Deployments[id].Phase != deploy.Failed && tries < 30; tries++ {
			_, _ = w.once(t.Context())
		}
		d := w.state().Deployments[id]
		if tries != c.tries || d.Step != "switch" {
			t.Errorf("%v: %d tries, want %d; failed at %q", c.err, tries, c.tries, d.Step)
		}
		for _, part := range c.why {
			if !strings.Contains(d.Reason, part) {
				t.Errorf("reason %q does not say %q", d.Reason, part)
			}
		}
		_, err := w.once(t.Context()) // while the ingress may send requests anywhere, nothing is ended
		if err == nil || !strings.Contains(err.Error(), c.why[0]) {
			t.Errorf("the hold says %v", err)
		}
		w.want("running", w.engine.running(), "web-g1-1 web-g2-1")
		w.ingress.err = nil
		w.settle()
		w.want("running", w.engine.running(), "web-g1-1")
	}
}

func TestALogOlderThanTheIngressIsNamed(t *testing.T) {
	w := serving(t, app(service("web")))
	a := w.ingress.apps[string(w.app)]
	a.Generation += 1000
	w.ingress.apps[string(w.app)] = a
	if _, err := w.once(t.Context()); !errors.Is(err, ingress.ErrStale) || !strings.Contains(err.Error(), "restored from a backup") {
		t.Errorf("hold: %v", err)
	}
	w.do(deploy.DeleteApp{})
	if _, err := w.once(t.Context()); !errors.Is(err, ingress.ErrStale) || !strings.Contains(err.Error(), "restored from a backup") {
		t.Errorf("delete: %v", err)
	}
}

func TestWhatAnInstanceIsStartedWith(t *testing.T) {
	s := app(service("web", func(c *events.Component) {
		c.HTTPPort, c.RunCommand, c.HealthCheck = 3000, "serve", &events.HealthCheck{HTTPPath: "/up"}
		c.Envs = []events.Env{{Key: "KEY", Value: "EV[1:x]", Type: "SECRET"}, {Key: "AT_BUILD", Value: "y", Scope: "BUILD_TIME"}}
	}))
	s.Envs = []events.Env{{Key: "MODE", Value: "test"}}
	s.Workers = []events.Component{service("mail")}
	w := open(t, s)
	w.secrets["EV[1:x]"] = "canary"
	var asked []engine.Rollout
	w.engine.onRoll = func(r engine.Rollout) error { asked = append(asked, r); return nil }
	w.settle()
	if len(asked) != 2 {
		t.Fatalf("started %+v", asked)
	}
	web, mail := asked[0], asked[1]
	w.want("env of web", fmt.Sprint(web.Env), "map[KEY:canary MODE:test PORT:3000]")
	w.want("env of mail", fmt.Sprint(mail.Env), "map[MODE:test]")
	if web.Port != 3000 || web.Command != "serve" || web.Health.HTTPPath != "/up" || web.Count != 1 || mail.Port != 0 {
		t.Errorf("web %+v, mail %+v", web, mail)
	}
	if strings.Contains(w.lines.String(), "canary") {
		t.Error("a secret is in the log")
	}
	w.want("routes", w.ingress.routes(), "/ web-g1-1")
}

func TestACancelWhileTheReportIsOnItsWay(t *testing.T) {
	w := serving(t, app(service("web")))
	id := w.deploy("v2")
	w.around = func(int, bool) error {
		if w.happened("route") == "route" && w.state().Deployments[id].Phase == deploy.Deploying { // the agent is not told
			w.do(deploy.Cancel{Deployment: id})
		}
		return nil
	}
	if _, err := w.once(context.Background()); err != nil {
		t.Error(err)
	}
	w.around = nil
	w.settle()
	w.want("routes", w.ingress.routes(), "/ web-g1-1")
	w.want("running", w.engine.running(), "web-g1-1")
	if n := w.released(); n != 1 {
		t.Errorf("%d releases", n)
	}
}
