package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
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

const (
	token = "s3cret"
	admin = events.Actor("token:admin")
	repo  = "http://127.0.0.1:8080/git/hello.git"
	webGo = `{"name":"hello","services":[{"name":"web","git":{"repo_clone_url":"` + repo + `","branch":"main"}}]}`
)

// desk is the API at work on the real handler and a log in memory.
type desk struct {
	*testing.T
	log      *memlog.Log
	handler  *deploy.Handler
	history  *fold
	resolver *fakeGit
	logs     *fakeLogs
	options  Options
	server   *httptest.Server
	clock    time.Time
	orders   int
}

func newDesk(t *testing.T, change ...func(*Options)) *desk {
	t.Helper()
	log := memlog.New()
	d := &desk{
		T: t, log: log, handler: deploy.NewHandler(log, nil), history: &fold{log: log},
		resolver: &fakeGit{refs: map[string]events.Target{}, kinds: map[string]events.RefKind{}},
		logs:     &fakeLogs{lines: map[logs.Stream][]string{}, open: map[logs.Stream]bool{}},
		clock:    time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC),
	}
	d.resolver.set("main", events.RefBranch, commitA)
	d.server = httptest.NewUnstartedServer(nil)
	d.options = Options{
		PublicURL: "http://" + d.server.Listener.Addr().String(), Desk: d.handler, History: d.history, Resolver: d.resolver,
		Logs: d.logs, Secrets: noSecrets{}, Hooks: fakeHooks{}, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Authenticate: func(s string) (events.Actor, bool) { return admin, s == token },
		Now:          d.tick,
	}
	for _, f := range change {
		f(&d.options)
	}
	d.server.Config.Handler = New(d.options)
	d.server.Start()
	t.Cleanup(d.server.Close)
	return d
}

const (
	commitA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	commitB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	commitC = "cccccccccccccccccccccccccccccccccccccccc"
)

var tickMu sync.Mutex

// tick is a clock that moves a second whenever it is read.
func (d *desk) tick() time.Time {
	tickMu.Lock()
	defer tickMu.Unlock()
	d.clock = d.clock.Add(time.Second)
	return d.clock
}

// call sends a request and decodes the answer into out, if that is not nil. It returns the status.
func (d *desk) call(method, path string, body, out any, headers ...string) int {
	d.Helper()
	var in io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		in = strings.NewReader(b)
	default:
		raw, err := json.Marshal(b)
		if err != nil {
			d.Fatal(err)
		}
		in = bytes.NewReader(raw)
	}
	req, err := http.NewRequest(method, d.server.URL+path, in)
	if err != nil {
		d.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		d.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		d.Fatal(err)
	}
	if resp.Header.Get("x-request-id") == "" {
		d.Errorf("%s %s: no x-request-id", method, path)
	}
	if out != nil {
		if err := json.Unmarshal(raw, out); err != nil {
			d.Fatalf("%s %s answered %d %q: %v", method, path, resp.StatusCode, raw, err)
		}
	}
	return resp.StatusCode
}

// refused is call for what must be refused; it returns the message.
func (d *desk) refused(status int, id, method, path string, body any) string {
	d.Helper()
	var e struct {
		ID        string `json:"id"`
		Message   string `json:"message"`
		RequestID string `json:"request_id"`
	}
	got := d.call(method, path, body, &e)
	if got != status || e.ID != id || e.Message == "" || e.RequestID == "" {
		d.Fatalf("%s %s %v = %d %+v, want %d %s", method, path, body, got, e, status, id)
	}
	return e.Message
}

// do calls and wants a 200.
func (d *desk) do(method, path string, body, out any) {
	d.Helper()
	var raw json.RawMessage
	var into any = out
	if out == nil {
		into = &raw
	}
	if got := d.call(method, path, body, into); got != http.StatusOK {
		d.Fatalf("%s %s = %d %s %v", method, path, got, raw, into)
	}
}

type appAnswer struct {
	App appObject `json:"app"`
}
type deploymentAnswer struct {
	Deployment deploymentObject `json:"deployment"`
}
type pinAnswer struct {
	App        appObject         `json:"app"`
	Pin        *pinObject        `json:"pin"`
	Deployment *deploymentObject `json:"deployment"`
	Note       string            `json:"note"`
	Undo       *undoObject       `json:"undo"`
}

// create makes the app hello and returns its path.
func (d *desk) create(spec string) (app appObject, path string) {
	d.Helper()
	var a appAnswer
	d.do("POST", "/v2/apps", map[string]json.RawMessage{"spec": json.RawMessage(spec)}, &a)
	return a.App, "/v2/apps/" + string(a.App.ID)
}

func (d *desk) state(app events.ID) deploy.App {
	d.Helper()
	a, err := d.handler.State(context.Background(), app)
	if err != nil {
		d.Fatal(err)
	}
	return a
}

func (d *desk) order(app events.ID, c deploy.Command) deploy.Result {
	d.Helper()
	d.orders++
	res, err := d.handler.Do(context.Background(), app, deploy.Order{
		ID: fmt.Sprintf("test:%d", d.orders), Actor: events.Self, At: d.tick(), Command: c,
	})
	if err != nil {
		d.Fatalf("%T: %v", c, err)
	}
	return res
}

// work does what a builder and a rollout agent would, until nothing is left to do.
func (d *desk) work(app events.ID) {
	d.Helper()
	for range 20 {
		var did bool
		for _, act := range deploy.Next(d.state(app)) {
			switch act.Kind {
			case deploy.ActBuild:
				d.build(app, act.Deployment, act.Component)
				did = true
			case deploy.ActRollout:
				d.order(app, deploy.StartRollout{Deployment: act.Deployment})
				d.order(app, deploy.FinishRollout{Deployment: act.Deployment, Phases: []events.Phase{{Name: "healthy", Ms: 120}}})
				did = true
			}
			if did {
				break
			}
		}
		if !did {
			return
		}
	}
	d.Fatal("the work does not end")
}

func (d *desk) build(app, deployment events.ID, component string) {
	d.Helper()
	d.order(app, deploy.ClaimBuild{Deployment: deployment, Component: component, Builder: "b1", Until: d.clock.Add(time.Hour)})
	part := d.state(app).Deployments[deployment].Parts[component]
	d.order(app, deploy.FinishBuild{
		Deployment: deployment, Component: component, Attempt: part.Attempt, Digest: digestOf(component, part.Target.Revision.Commit),
		Phases: []events.Phase{{Name: "checkout", Ms: 40}, {Name: "build", Ms: 900}},
	})
}

func digestOf(component string, c events.Commit) events.Digest {
	return events.Digest("sha256:" + strings.Repeat(fmt.Sprintf("%02x", component[0]), 12) + string(c))
}

// push moves main and deploys it to the end.
func (d *desk) ship(path string, app events.ID, commit events.Commit) deploymentObject {
	d.Helper()
	d.resolver.set("main", events.RefBranch, commit)
	var a deploymentAnswer
	d.do("POST", path+"/deployments", nil, &a)
	d.work(app)
	return a.Deployment
}

// fold is a History that folds the log anew for each question.
type fold struct {
	log   *memlog.Log
	block chan struct{} // Wait waits for it, when set
}

func (f *fold) apps() map[events.ID]deploy.App {
	apps := map[events.ID]deploy.App{}
	for _, r := range f.log.All() {
		if id, ok := r.Subject.App(); ok {
			apps[id] = deploy.Evolve(apps[id], r)
		}
	}
	return apps
}

func (f *fold) AppByName(name string) (events.ID, bool) {
	for id, a := range f.apps() {
		if a.Name == name && a.Exists() {
			return id, true
		}
	}
	return "", false
}

func (f *fold) Apps(offset, limit int) ([]deploy.App, int, error) {
	var list []deploy.App
	for _, a := range f.apps() {
		if a.Exists() {
			list = append(list, a)
		}
	}
	slices.SortFunc(list, func(x, y deploy.App) int { return strings.Compare(x.Name, y.Name) })
	return cut(list, offset, limit)
}

func (f *fold) Deployments(app events.ID, offset, limit int) ([]deploy.Deployment, int, error) {
	var list []deploy.Deployment
	for _, d := range f.apps()[app].Deployments {
		list = append(list, *d)
	}
	slices.SortFunc(list, func(x, y deploy.Deployment) int { return int(y.Generation) - int(x.Generation) })
	return cut(list, offset, limit)
}

func (f *fold) Deployment(app, id events.ID) (deploy.Deployment, bool, error) {
	d := f.apps()[app].Deployments[id]
	if d == nil {
		return deploy.Deployment{}, false, nil
	}
	return *d, true, nil
}

func (f *fold) Releases(app events.ID, offset, limit int) ([]deploy.Release, int, error) {
	list := slices.Clone(f.apps()[app].Releases)
	slices.Reverse(list)
	return cut(list, offset, limit)
}

func (f *fold) Timeline(app events.ID, offset, limit int) ([]events.Recorded, int, error) {
	var list []events.Recorded
	for _, r := range f.log.All() {
		if r.Subject == events.AppSubject(app) {
			list = append(list, r)
		}
	}
	slices.Reverse(list)
	return cut(list, offset, limit)
}

func (f *fold) Wait(ctx context.Context, at events.Position) error {
	if f.block == nil {
		return nil
	}
	select {
	case <-f.block:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func cut[T any](list []T, offset, limit int) ([]T, int, error) {
	lo := min(offset, len(list))
	return list[lo:min(lo+limit, len(list))], len(list), nil
}

// fakeGit knows the refs it was told; every component's source has the same ones.
type fakeGit struct {
	mu    sync.Mutex
	refs  map[string]events.Target
	kinds map[string]events.RefKind
	err   error // of every question
	asked int
}

func (g *fakeGit) set(name string, kind events.RefKind, c events.Commit) {
	g.mu.Lock()
	defer g.mu.Unlock()
	ref := events.Branch(name)
	switch kind {
	case events.RefTag:
		ref = events.Tag(name)
	case events.RefCommit:
		ref = ""
	}
	t := events.Target{Revision: events.Revision{Ref: ref, Commit: c}}
	for _, n := range []string{name, string(ref)} {
		g.refs[n], g.kinds[n] = t, kind
	}
}

func (g *fakeGit) Newest(_ context.Context, a deploy.App, spec events.Spec, c events.Component) (events.Target, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked++
	if g.err != nil {
		return events.Target{}, g.err
	}
	if c.Image != nil {
		return events.Target{Image: c.Image.Repository, Digest: digestOf(c.Name, commitA)}, nil
	}
	_, branch, _ := c.Repository()
	if p, ok := a.PinOf(c.Name); ok && p.Kind == events.RefBranch {
		branch = p.Ref
	}
	return g.refs[branch], nil
}

func (g *fakeGit) Ref(_ context.Context, _ deploy.App, c events.Component, ref string) (deploy.Resolved, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked++
	t, ok := g.refs[ref]
	switch {
	case g.err != nil:
		return deploy.Resolved{}, g.err
	case c.Image != nil, !ok:
		return deploy.Resolved{}, fmt.Errorf("%s: no such ref", ref)
	}
	return deploy.Resolved{Target: t, Kind: g.kinds[ref]}, nil
}

// fakeLogs holds lines; an open stream's followers wait.
type fakeLogs struct {
	mu    sync.Mutex
	lines map[logs.Stream][]string
	open  map[logs.Stream]bool
}

func (f *fakeLogs) Writer(s logs.Stream) io.WriteCloser {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open[s] = true
	return &fakeWriter{f, s}
}

type fakeWriter struct {
	f *fakeLogs
	s logs.Stream
}

func (w *fakeWriter) Write(b []byte) (int, error) {
	w.f.mu.Lock()
	defer w.f.mu.Unlock()
	w.f.lines[w.s] = append(w.f.lines[w.s], strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")...)
	return len(b), nil
}

func (w *fakeWriter) Close() error {
	w.f.mu.Lock()
	defer w.f.mu.Unlock()
	w.f.open[w.s] = false
	return nil
}

func (f *fakeLogs) Read(ctx context.Context, s logs.Stream, follow bool) iter.Seq2[logs.Line, error] {
	return func(yield func(logs.Line, error) bool) {
		for i := 0; ; {
			f.mu.Lock()
			lines := slices.Clone(f.lines[s])
			isOpen, known := f.open[s]
			f.mu.Unlock()
			for ; i < len(lines); i++ {
				if !yield(logs.Line{At: time.Unix(1, 0), Text: lines[i]}, nil) {
					return
				}
			}
			if !follow || known && !isOpen {
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}
}

type noSecrets struct{}

func (noSecrets) Seal(_ string, s events.Spec) (events.Spec, error) { return s, nil }

type fakeHooks struct{}

func (fakeHooks) Secret(context.Context, events.ID) (string, error) { return "hook-1", nil }
func (fakeHooks) Rotate(context.Context, events.ID) (string, error) { return "hook-2", nil }

func sortedKeys[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
