package rollout

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"shiplog/events"
	"shiplog/internal/deploy"
	"shiplog/internal/logs"
	"shiplog/internal/memlog"
)

// world is everything outside the agent: a real handler on a log in memory, and an engine, an ingress and a registry that
// keep their contracts. It outlives the agents that work in it.
type world struct {
	t       *testing.T
	log     *memlog.Log
	desk    *deploy.Handler
	engine  *fakeEngine
	ingress *fakeIngress
	real    Ingress // in the fake one's place
	images  *fakeImages
	app     events.ID
	secrets map[string]string // by the sealed reference

	mu    sync.Mutex
	now   time.Time
	n     int
	steps []string // what the agents asked for, in order
	lines bytes.Buffer
	tick  chan struct{} // lets one look at what serves happen while old instances go
	// around is called before and after each call that an agent makes, with its number; an error ends the agent.
	around func(n int, after bool) error
	calls  int
}

func service(name string, with ...func(*events.Component)) events.Component {
	c := events.Component{Name: name, Image: &events.ImageSource{Repository: name}}
	for _, w := range with {
		w(&c)
	}
	return c
}

func count(n int) func(*events.Component) { return func(c *events.Component) { c.InstanceCount = n } }
func at(path string) func(*events.Component) {
	return func(c *events.Component) { c.Routes = []events.Route{{Path: path}} }
}
func terms(drain, grace int) func(*events.Component) {
	return func(c *events.Component) {
		c.Termination = &events.Termination{DrainSeconds: drain, GracePeriodSeconds: grace}
	}
}

func app(services ...events.Component) events.Spec {
	return events.Spec{Name: "hello", Services: services}
}

func digest(component, version string) events.Digest {
	return events.Digest(fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(component+" "+version))))
}

func target(component, version string) events.Target {
	return events.Target{Image: "docker.io/acme/" + component, Digest: digest(component, version)}
}

func targets(spec events.Spec, version string) map[string]events.Target {
	out := map[string]events.Target{}
	for _, c := range spec.Components() {
		out[c.Name] = target(c.Name, version)
	}
	return out
}

// open makes an app of the spec that has no release; its version v1 is asked for.
func open(t *testing.T, spec events.Spec) *world {
	t.Helper()
	w := &world{t: t, log: memlog.New(), now: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC), tick: make(chan struct{}), secrets: map[string]string{}}
	w.desk = deploy.NewHandler(w.log, nil)
	w.engine, w.ingress, w.images = newEngine(w), newIngress(w), &fakeImages{w: w, has: map[events.Digest]bool{}}
	for _, v := range []string{"v1", "v2", "v3"} {
		for _, c := range spec.Components() {
			w.images.has[digest(c.Name, v)] = true
		}
	}
	res, err := w.desk.Create(t.Context(), spec.Name, w.order(deploy.CreateApp{Spec: spec, Targets: targets(spec, "v1")}))
	if err != nil {
		t.Fatal(err)
	}
	w.app = res.App.ID
	return w
}

// serving is open with v1 released.
func serving(t *testing.T, spec events.Spec) *world {
	t.Helper()
	w := open(t, spec)
	w.settle()
	if s := w.state(); len(s.Releases) != 1 || len(s.Live()) != 0 {
		t.Fatalf("v1 is not released: %+v\n%s", s.Deployments, w.lines.String())
	}
	w.steps = nil
	return w
}

func (w *world) order(c deploy.Command) deploy.Order {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n++
	w.now = w.now.Add(time.Second)
	return deploy.Order{ID: fmt.Sprint("person", w.n), Actor: "token:ann", At: w.now, Command: c}
}

// do has a person give an order.
func (w *world) do(c deploy.Command) events.ID {
	w.t.Helper()
	res, err := w.desk.Do(context.Background(), w.app, w.order(c))
	if err != nil {
		w.t.Fatal(err)
	}
	return res.Deployment
}

func (w *world) deploy(version string) events.ID {
	w.t.Helper()
	return w.do(deploy.Deploy{Targets: targets(w.state().Spec, version)})
}

func (w *world) state() deploy.App {
	s, err := w.desk.State(context.Background(), w.app)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func (w *world) agent() *Agent {
	var in Ingress = w.ingress
	if w.real != nil {
		in = w.real
	}
	return &Agent{
		Desk: fakeDesk{w}, Engine: w.engine, Ingress: in, Images: w.images, Secrets: fakeSecrets{w}, Logs: fakeLogs{w},
		Registry: "127.0.0.1:5000", User: "shiplog", Pass: "hunter2", Plain: true, Domain: "localhost",
		Now: w.clock, Wait: w.wait,
	}
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) wait(ctx context.Context, d time.Duration) error {
	if d == look {
		select {
		case <-w.tick:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
	return ctx.Err()
}

// once does what the reactor would do next to the app's instances.
func (w *world) once(ctx context.Context) (deploy.ActionKind, error) {
	state := w.state()
	for _, a := range deploy.Next(state) {
		switch a.Kind {
		case deploy.ActRollout:
			return a.Kind, w.agent().Rollout(ctx, state, a)
		case deploy.ActHold:
			return a.Kind, w.agent().Hold(ctx, state, a)
		}
	}
	w.t.Fatal("nothing to do with the instances")
	return "", nil
}

// settle goes on as the reactor would until the app is held; what fails is tried again, at most 30 times in all.
func (w *world) settle() {
	w.t.Helper()
	var err error
	for range 30 {
		head := w.state().Head
		var kind deploy.ActionKind
		if kind, err = w.once(w.t.Context()); err == nil && kind == deploy.ActHold && w.state().Head == head {
			return
		}
	}
	w.t.Fatalf("it does not settle: %v", err)
}

// call notes a step that an agent takes, and lets a test come in between.
func (w *world) call(step string, f func() error) error {
	w.mu.Lock()
	w.steps = append(w.steps, step)
	around, n := w.around, w.calls
	w.calls++
	w.mu.Unlock()
	if around == nil {
		return f()
	}
	if err := around(n, false); err != nil {
		return err
	}
	return errors.Join(f(), around(n, true))
}

// happened keeps the steps that begin with one of the words, in order.
func (w *world) happened(words ...string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(slices.DeleteFunc(slices.Clone(w.steps), func(s string) bool {
		return !slices.ContainsFunc(words, func(word string) bool { return strings.HasPrefix(s, word) })
	}), ", ")
}

// want compares what is with what should be.
func (w *world) want(what, got, want string) {
	w.t.Helper()
	if got != want {
		w.t.Errorf("%s:\n got %s\nwant %s", what, got, want)
	}
}

func (w *world) released() (n int) {
	for _, r := range w.log.All() {
		if _, ok := r.Event.(events.Released); ok {
			n++
		}
	}
	return n
}

// fakeDesk is the handler with steps noted.
type fakeDesk struct{ w *world }

func (d fakeDesk) Do(ctx context.Context, app events.ID, o deploy.Order) (res deploy.Result, err error) {
	err = d.w.call(strings.TrimPrefix(fmt.Sprintf("%T", o.Command), "deploy."), func() error {
		res, err = d.w.desk.Do(ctx, app, o)
		return err
	})
	return res, err
}

type fakeSecrets struct{ w *world }

func (s fakeSecrets) Reveal(owner string, e events.Env) (string, error) {
	if v, ok := s.w.secrets[e.Value]; ok && owner == string(s.w.app) {
		return v, nil
	}
	return "", errors.New("no such secret")
}

type fakeLogs struct{ w *world }

func (l fakeLogs) Writer(logs.Stream) io.WriteCloser { return l }
func (l fakeLogs) Close() error                      { return nil }
func (l fakeLogs) Write(p []byte) (int, error) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	return l.w.lines.Write(p)
}
func (l fakeLogs) Read(context.Context, logs.Stream, bool) iter.Seq2[logs.Line, error] { return nil }

// fakeImages is a registry.
type fakeImages struct {
	w    *world
	has  map[events.Digest]bool
	down int // so many calls fail before one succeeds; -1: all
	err  error
}

func (f *fakeImages) Verify(_ context.Context, repository string, d events.Digest) error {
	return f.w.call("verify", func() error {
		f.w.mu.Lock()
		defer f.w.mu.Unlock()
		switch {
		case f.down != 0:
			f.down--
			return passing{errors.New("registry cannot be reached")}
		case f.err != nil:
			return f.err
		case !f.has[d]:
			return fmt.Errorf("image %s@%s: not in the registry", repository, d)
		}
		return nil
	})
}

func (f *fakeImages) Repository(image string) (string, bool, error) { return image, false, nil }
