package rollout

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"shiplog/events"
	"shiplog/internal/deploy"
	"shiplog/internal/engine"
)

func TestAPartialRestartKeepsTheOthersRoutes(t *testing.T) {
	w := serving(t, two())
	w.engine.change("api-g1-1", func(i *engine.Instance) { i.State, i.Address = "exited", "" })
	delete(w.engine.images, digest("web", "v1")) // and the image has to be fetched again
	beginRestart(w)
	w.settle()
	w.want("routes", w.ingress.routes(), "/ web-g2-1+web-g2-2, /api api-g1-1")
	w.want("running", w.engine.running(), "api-g1-1 mail-g1-1 web-g2-1 web-g2-2")
	w.want("tries", w.happened("StartRollout"), "StartRollout")
}

func TestStopAndStart(t *testing.T) {
	w := serving(t, two())
	w.do(deploy.StopApp{})
	w.settle()
	w.want("routes", w.ingress.routes(), "stopped")
	w.want("running", w.engine.running(), "")
	w.do(deploy.StartApp{})
	w.settle()
	w.want("routes", w.ingress.routes(), "/ web-g1-1+web-g1-2, /api api-g1-1")
}

func TestDelete(t *testing.T) {
	w := serving(t, two())
	w.do(deploy.DeleteApp{})
	w.settle()
	w.want("routes", w.ingress.routes(), "no app")
	w.want("running", w.engine.running(), "")
	w.want("steps", w.happened("unroute", "remove")[:len("unroute, remove app")], "unroute, remove app")
}

func TestAWorkerAlone(t *testing.T) {
	w := serving(t, events.Spec{Name: "hello", Workers: []events.Component{service("mail", terms(0, 5))}})
	w.want("routes", w.ingress.routes(), "")
	w.deploy("v2")
	w.settle()
	w.want("running", w.engine.running(), "mail-g2-1")
	w.want("steps", w.happened("drain", "retire"), "retire mail-g1-1 after 5s") // there is nothing to drain
}

func TestAReadOnlyAppIsHeld(t *testing.T) {
	w := serving(t, app(service("web")))
	w.log.Forge(events.AppSubject(w.app), "FromTheFuture", 1, 99, []byte("{}"))
	w.desk = deploy.NewHandler(w.log, nil)
	w.engine.change("web-g1-1", func(i *engine.Instance) { i.State, i.Address = "exited", "" })
	if w.state().ReadOnly == "" {
		t.Fatal("the app is not read-only")
	}
	w.settle()
	w.want("routes", w.ingress.routes(), "/ web-g1-1")
}

func TestHold(t *testing.T) {
	for _, c := range []struct {
		name            string
		happens         func(w *world)
		routes, running string
		err             string
	}{
		{"nothing", func(*world) {}, "/ web-g1-1+web-g1-2, /api api-g1-1", "api-g1-1 mail-g1-1 web-g1-1 web-g1-2", ""},
		{"one ended", func(w *world) {
			w.engine.change("web-g1-1", func(i *engine.Instance) { i.State, i.Address = "exited", "" })
		}, "/ web-g1-1+web-g1-2, /api api-g1-1", "api-g1-1 mail-g1-1 web-g1-1 web-g1-2", ""},
		{"another address", func(w *world) {
			w.engine.change("web-g1-2", func(i *engine.Instance) { i.Address = "10.0.0.99:8080" })
		}, "/ web-g1-1+web-g1-2, /api api-g1-1", "api-g1-1 mail-g1-1 web-g1-1 web-g1-2", ""},
		{"one too many", func(w *world) {
			w.engine.all = append(w.engine.all, engine.Instance{
				ID: "extra", Name: "hello-web-g1-3", Component: "web", Generation: 1, Index: 3, Digest: digest("web", "v1"), State: "running", Address: "10.0.0.88:8080",
			})
		}, "/ web-g1-1+web-g1-2, /api api-g1-1", "api-g1-1 mail-g1-1 web-g1-1 web-g1-2", ""},
		{"another image", func(w *world) {
			w.engine.change("web-g1-1", func(i *engine.Instance) { i.Digest = digest("web", "evil") })
		}, "/ web-g1-1+web-g1-2, /api api-g1-1", "api-g1-1 mail-g1-1 web-g1-1 web-g1-2", ""},
		{"an image whose name is forgotten", func(w *world) {
			w.engine.change("web-g1-1", func(i *engine.Instance) { i.Digest = "" })
		}, "/ web-g1-1+web-g1-2, /api api-g1-1", "api-g1-1 mail-g1-1 web-g1-1 web-g1-2", ""},
		{"it does not come back", func(w *world) {
			w.engine.change("api-g1-1", func(i *engine.Instance) { i.State, i.Address = "exited", "" })
			w.engine.sick[digest("api", "v1")] = &engine.Unhealthy{Instance: "hello-api-g1-1", Step: "healthy", Reason: "it exited with code 3"}
		}, "/ web-g1-1+web-g1-2, /api", "mail-g1-1 web-g1-1 web-g1-2", "bring api back: healthy api: instance hello-api-g1-1"},
		{"neither does its image", func(w *world) {
			w.engine.change("api-g1-1", func(i *engine.Instance) { i.State, i.Address = "exited", "" })
			delete(w.engine.images, digest("api", "v1"))
			w.images.down = -1
		}, "/ web-g1-1+web-g1-2, /api", "mail-g1-1 web-g1-1 web-g1-2", "bring api back: pull api: registry cannot be reached"},
		{"the engine is away", func(w *world) { w.engine.down = true },
			"/ web-g1-1+web-g1-2, /api api-g1-1", "api-g1-1 mail-g1-1 web-g1-1 web-g1-2", "cannot be reached"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := serving(t, two())
			c.happens(w)
			_, err := w.once(t.Context())
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("err %v, want %q", err, c.err)
			}
			w.want("routes", w.ingress.routes(), c.routes)
			w.want("running", w.engine.running(), c.running)
		})
	}
}

// What runs has its routes before what does not is waited for.
func TestWhatRunsIsRoutedFirst(t *testing.T) {
	w := serving(t, two())
	w.engine.change("web-g1-1", func(i *engine.Instance) { i.Address = "10.0.0.99:8080" })
	w.engine.change("web-g1-2", func(i *engine.Instance) { i.State, i.Address = "exited", "" })
	w.around = func(_ int, after bool) error {
		if !after && strings.HasSuffix(w.happened("route", "start"), "start web") {
			w.want("routes", w.ingress.routes(), "/ web-g1-1, /api api-g1-1")
		}
		return nil
	}
	w.settle()
	w.want("steps", w.happened("start"), "start web")
}

func TestAScaleDown(t *testing.T) {
	w := serving(t, two())
	s := w.state().Spec
	s.Services = slices.Clone(s.Services)
	s.Services[0].InstanceCount = 1
	w.do(deploy.ChangeSpec{Spec: s})
	w.settle()
	w.want("routes", w.ingress.routes(), "/ web-g2-1, /api api-g2-1")
	w.want("running", w.engine.running(), "api-g2-1 mail-g2-1 web-g2-1")
}

func TestEachComponentGoesOnItsOwnTerms(t *testing.T) {
	s := app(service("web", at("/"), terms(30, 40)), service("api", at("/api"), terms(2, 3)))
	s.Workers = []events.Component{service("mail", terms(0, 7))}
	w := serving(t, s)
	apiGone := make(chan struct{})
	var gone sync.Once
	w.ingress.onDrain = func(timeout time.Duration) {
		if timeout == 30*time.Second {
			<-apiGone // web drains until api is gone: neither waits for the other
		}
	}
	w.around = func(_ int, after bool) error {
		if after && strings.Contains(w.happened("retire"), "api-g1-1") {
			gone.Do(func() { close(apiGone) })
		}
		return nil
	}
	changed := w.state().Spec // the new terms are for the new instances
	changed.Services, changed.Workers = slices.Clone(changed.Services), slices.Clone(changed.Workers)
	changed.Services[0].Termination, changed.Workers[0].Termination = nil, nil
	w.do(deploy.ChangeSpec{Spec: changed})
	w.settle()
	for _, step := range []string{"drain 1 for 30s", "drain 1 for 2s", "retire web-g1-1 after 40s", "retire api-g1-1 after 3s", "retire mail-g1-1 after 7s"} {
		if !strings.Contains(w.happened("drain", "retire"), step) {
			t.Errorf("not done: %s; done: %s", step, w.happened("drain", "retire"))
		}
	}
}

// A drain may take many minutes; what serves keeps its routes meanwhile.
func TestANewAddressDuringADrain(t *testing.T) {
	w := serving(t, app(service("web", count(2))))
	w.deploy("v2")
	w.ingress.onDrain = func(time.Duration) {
		w.engine.change("web-g2-2", func(i *engine.Instance) { i.Address = "10.0.0.99:8080" })
		w.want("before", w.ingress.routes(), "/ web-g2-1+nobody")
		w.tick <- struct{}{}
		w.tick <- struct{}{} // the first look is over
		w.want("after", w.ingress.routes(), "/ web-g2-1+web-g2-2")
	}
	w.settle()
	w.want("running", w.engine.running(), "web-g2-1 web-g2-2")
}

func TestAHoldThatIsNotWantedAnyMoreEndsNothing(t *testing.T) {
	w := serving(t, app(service("web")))
	w.deploy("v2")
	if _, err := w.once(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	w.ingress.onDrain = func(time.Duration) { cancel() }
	if _, err := w.once(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	w.want("running", w.engine.running(), "web-g1-1 web-g2-1")
}
