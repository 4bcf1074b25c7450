package rollout

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"shiplog/events"
	"shiplog/internal/deploy"
)

// interrupt deploys v2 over v1 and comes in between at the n-th call that the agents make from then on: before what it
// does, or after. It returns false when there were not so many.
func interrupt(t *testing.T, spec events.Spec, begin func(*world) events.ID, n int, after bool, f func(w *world, id events.ID)) (w *world, came bool) {
	t.Helper()
	w = serving(t, spec)
	id := begin(w)
	ctx, cancel := context.WithCancel(context.Background())
	w.calls = 0
	var dead bool
	var one sync.Mutex // instances are retired by several goroutines
	w.around = func(call int, isAfter bool) error {
		one.Lock()
		defer one.Unlock()
		w.check()
		switch {
		case dead:
			return errDead
		case call == n && isAfter == after:
			came = true
			f(w, id)
			cancel()
			if n%2 == 0 { // the agent's process is gone
				dead = true
				return errDead
			}
		}
		return nil
	}
	for range 10 {
		_, _ = w.once(ctx)
		if ctx.Err() != nil {
			break
		}
	}
	cancel()
	w.around = nil
	w.settle()
	return w, came
}

// check is what must hold at every moment after the first release: requests go to instances that run, and all go to the
// same version.
func (w *world) check() {
	routes := w.ingress.routes()
	if routes != "/ web-g1-1+web-g1-2, /api api-g1-1" && routes != "/ web-g2-1+web-g2-2, /api api-g2-1" && routes != "/ web-g2-1+web-g2-2, /api api-g1-1" {
		w.t.Errorf("in between, the routes are %s", routes)
	}
}

func two() events.Spec {
	s := app(service("web", count(2), at("/")), service("api", at("/api")))
	s.Workers = []events.Component{service("mail")}
	return s
}

func beginDeploy(w *world) events.ID  { return w.deploy("v2") }
func beginRestart(w *world) events.ID { return w.do(deploy.Restart{Components: []string{"web"}}) }

func TestACrashAnywhere(t *testing.T) {
	for name, c := range map[string]struct {
		begin           func(*world) events.ID
		routes, running string
	}{
		"deploy":  {beginDeploy, "/ web-g2-1+web-g2-2, /api api-g2-1", "api-g2-1 mail-g2-1 web-g2-1 web-g2-2"},
		"restart": {beginRestart, "/ web-g2-1+web-g2-2, /api api-g1-1", "api-g1-1 mail-g1-1 web-g2-1 web-g2-2"},
	} {
		points := 0
		for n, more := 0, true; more; n++ {
			for _, after := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%d/%v", name, n, after), func(t *testing.T) {
					var w *world
					if w, more = interrupt(t, two(), c.begin, n, after, func(*world, events.ID) {}); more {
						points++
					}
					w.want("routes", w.ingress.routes(), c.routes)
					w.want("running", w.engine.running(), c.running)
					if got := w.released(); got != 2 {
						t.Errorf("%d releases, want 2", got)
					}
				})
			}
		}
		if points < 25 {
			t.Errorf("%s: only %d points", name, points)
		}
	}
}

func TestACancelAnywhere(t *testing.T) {
	for name, begin := range map[string]func(*world) events.ID{"deploy": beginDeploy, "restart": beginRestart} {
		canceled := 0
		for n, more := 0, true; more; n++ {
			for _, after := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%d/%v", name, n, after), func(t *testing.T) {
					over := false
					var w *world
					w, more = interrupt(t, two(), begin, n, after, func(w *world, id events.ID) {
						_, err := w.desk.Do(context.Background(), w.app, w.order(deploy.Cancel{Deployment: id}))
						over = err != nil // it is released by then
					})
					if !more || over {
						return
					}
					canceled++
					w.want("routes", w.ingress.routes(), "/ web-g1-1+web-g1-2, /api api-g1-1")
					w.want("running", w.engine.running(), "api-g1-1 mail-g1-1 web-g1-1 web-g1-2")
					if got := w.released(); got != 1 {
						t.Errorf("%d releases, want 1", got)
					}
				})
			}
		}
		if canceled < 10 {
			t.Errorf("%s: only %d cancels", name, canceled)
		}
	}
}

// The log may have a report whose answer was lost.
func TestALostAnswerToTheReport(t *testing.T) {
	for _, written := range []bool{false, true} {
		w := serving(t, app(service("web")))
		w.deploy("v2")
		var lose sync.Once
		w.around = func(int, bool) error {
			if w.happened("FinishRollout") != "" {
				lose.Do(func() { w.log.FailNext(events.ErrUnavailable, written) })
			}
			return nil
		}
		w.settle()
		w.want("routes", w.ingress.routes(), "/ web-g2-1")
		w.want("running", w.engine.running(), "web-g2-1")
		if n := w.released(); n != 2 {
			t.Errorf("written %v: %d releases, want 2", written, n)
		}
	}
}
