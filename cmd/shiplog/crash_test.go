package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"shiplog/events"
	"shiplog/internal/deploy"
)

// fromEnv reads a number that a person gives to repeat a run (SHIPLOG_SEED) or to make it longer (SHIPLOG_KILLS).
func fromEnv(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// quick makes the app that these tests deploy: its old instances drain for 1 s and not for 15.
func (s *site) quick(app string) {
	s.t.Helper()
	file := s.t.TempDir() + "/spec.yaml"
	spec := fmt.Sprintf("name: %s\nservices:\n- name: web\n  git:\n    repo_clone_url: %s/git/%s.git\n    branch: main\n  termination:\n    drain_seconds: 1\n    grace_period_seconds: 5\n", app, s.url, app)
	if err := os.WriteFile(file, []byte(spec), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.shiplog("apps", "create", "--spec", file)
}

// building makes the commit of the app whose build has a step that runs for so long, and returns it.
func (r *repo) building(answer, seconds string) string {
	r.t.Helper()
	r.hello(answer)
	r.write("Dockerfile", strings.Replace(dockerfile, "0.4", seconds, 1))
	return r.commit(answer)
}

// ready waits until the service answers that it is, and returns how long that took.
func (s *site) ready() time.Duration {
	s.t.Helper()
	began := time.Now()
	client := http.Client{Timeout: 5 * time.Second}
	s.eventually("the service is ready", 60*time.Second, func() error {
		res, err := client.Get(s.url + "/readyz")
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if res.StatusCode != 200 {
			return fmt.Errorf("%s", res.Status)
		}
		return nil
	})
	return time.Since(began)
}

// The service is killed at random moments while people push, roll back, unpin and restart, and while others use the app.
func TestKilledAtRandomMoments(t *testing.T) {
	seed := fromEnv(t, "SHIPLOG_SEED", uint64(time.Now().UnixNano())%1_000_000)
	kills := fromEnv(t, "SHIPLOG_KILLS", 30)
	random := rand.New(rand.NewPCG(seed, 0))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("repeat with SHIPLOG_SEED=%d", seed)
		}
	})
	s := start(t, "--registry-mirror", "docker.io="+mirror(t))
	s.quick("hello")
	r := s.clone("hello")
	for _, answer := range []string{"first", "push 0"} {
		r.building(answer, "0.4")
		r.push()
		s.answers("hello", answer)
		s.settled("hello")
	}
	ingress := s.ingressPID()

	began := time.Now()
	load := s.load("hello")
	traffic := s.traffic("hello", r, seed)
	for n := range kills {
		// A quarter of the kills meet the service while it starts.
		moment := time.Duration(500+random.IntN(4500)) * time.Millisecond
		if n%4 == 3 {
			moment = time.Duration(random.IntN(700)) * time.Millisecond
		}
		time.Sleep(moment)
		s.kill()
		s.again()
		if n == kills-1 {
			traffic.end() // what it began before the last kill has to be finished by itself
		}
	}
	up := time.Now()
	ready := s.ready()
	traffic.end()
	took := s.converges("hello", up)
	if pid := s.ingressPID(); pid != ingress {
		t.Errorf("the ingress was process %d and is process %d", ingress, pid)
	}

	// One more push, to see that all of it works as before.
	r.building("the end", "0")
	r.push()
	if out, err := s.try("unpin", "hello", "--yes"); err != nil && !strings.Contains(err.Error(), "not pinned") {
		t.Errorf("unpin: %v %s", err, out)
	}
	s.answers("hello", "the end")
	s.settled("hello")
	s.converges("hello", time.Now())
	load.check(500)
	s.nothingLeft("hello")
	t.Logf("%d kills in %v; ready %v after the last start, as decided after %v", kills, time.Since(began).Round(time.Second), ready.Round(time.Millisecond), took)
	dump := s.dump()
	s.rebuildSays("the one that was killed so often", "equal")
	s.sameDump("rebuilt after the kills", dump)
	t.Logf("stopped in %v", s.down())

	l := s.logged()
	l.sound(t)
	l.explains(t, dump)
	traffic.recorded(t, l)
	a := l.app(t, "hello")
	if err := s.runs(a); err != nil {
		t.Error(err)
	}
	for app, state := range l.apps {
		if len(state.Pending) > 0 || len(state.Live()) > 0 {
			t.Errorf("app %s: %d pushes have no verdict and %d deployments are under way", app, len(state.Pending), len(state.Live()))
		}
	}
	l.told(t, a)
}

// The very first start is killed again and again, each time a little later: what it makes once (tokens, keys, the stream,
// the ingress) is whole, or made by the next start.
func TestKilledAtTheFirstStart(t *testing.T) {
	seed := fromEnv(t, "SHIPLOG_SEED", uint64(time.Now().UnixNano())%1_000_000)
	random := rand.New(rand.NewPCG(seed, 0))
	s := prepare(t)
	for n := range 15 {
		s.again()
		time.Sleep(time.Duration(n)*25*time.Millisecond + time.Duration(random.IntN(25))*time.Millisecond)
		s.kill()
	}
	s.up()
	s.quick("hello")
	r := s.clone("hello")
	r.hello("one")
	r.push()
	s.answers("hello", "one")
	s.converges("hello", time.Now())
	s.nothingLeft("hello")
	s.down()
	l := s.logged()
	l.sound(t)
	if t.Failed() {
		t.Logf("repeat with SHIPLOG_SEED=%d", seed)
	}
}

// told logs what a history holds, for people. No deployment may have failed: that the service was killed is no reason.
func (l *logged) told(t *testing.T, a deploy.App) {
	t.Helper()
	count := map[string]int{}
	for _, e := range l.events {
		count[e.Type]++
	}
	for _, e := range of[events.BuildFailed](l, a.ID) { // it was tried again; worth knowing all the same
		t.Logf("attempt %d of a build failed: %s\n%s", e.Attempt, e.Reason, e.Log)
	}
	for _, e := range of[events.DeploymentFailed](l, a.ID) {
		t.Errorf("a deployment failed, which nothing but a kill was a reason for: %s: %s\n%s", e.Step, e.Reason, e.Log)
	}
	t.Logf("the log has %d events: %v; %d releases", len(l.events), count, len(a.Releases))
}

// converges waits until nothing is under way and the engine runs exactly what the app's history says, and returns how
// long after a start that was. It may take 15 s, and as long as the builds meanwhile took.
func (s *site) converges(app string, since time.Time) time.Duration {
	s.t.Helper()
	var last error
	for deadline := since.Add(4 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		if last = s.settledAs(app); last == nil {
			break
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("the app is not as it was decided, 4 minutes after the start: %v", last)
		}
	}
	took := time.Since(since)
	built := s.built(app, since)
	if took-built > 15*time.Second {
		s.t.Errorf("as decided only %v after the start, of which %v were builds: want at most 15 s beside them", took, built)
	}
	return took.Round(time.Millisecond)
}

// settledAs is nil when nothing is under way and the engine runs what serves, and nothing else.
func (s *site) settledAs(app string) error {
	var reply struct {
		App struct {
			InProgress *struct{} `json:"in_progress_deployment"`
			Pending    *struct{} `json:"pending_deployment"`
			Active     *struct {
				Components []struct {
					Name   string `json:"name"`
					Digest string `json:"digest"`
				} `json:"components"`
			} `json:"active_deployment"`
		} `json:"app"`
	}
	if err := s.api("GET", "/v2/apps/"+s.id(app), nil, &reply); err != nil {
		return err
	}
	if reply.App.InProgress != nil || reply.App.Pending != nil || reply.App.Active == nil {
		return fmt.Errorf("something is under way")
	}
	if waiting := s.unjudged(app); waiting > 0 {
		return fmt.Errorf("%d pushes have no verdict", waiting)
	}
	list := s.containers(app)
	if len(list) != len(reply.App.Active.Components) {
		return fmt.Errorf("the engine has %d containers: %v", len(list), list)
	}
	for _, c := range reply.App.Active.Components {
		if !slices.ContainsFunc(list, func(x container) bool {
			return x.Labels["shiplog.component"] == c.Name && x.State == "running" && slices.ContainsFunc(x.Digests, func(d string) bool { return strings.HasSuffix(d, c.Digest) })
		}) {
			return fmt.Errorf("the engine does not run %s of %s but %v", c.Digest, c.Name, list)
		}
	}
	return nil
}

// unjudged counts the pushes that have no verdict.
func (s *site) unjudged(app string) (n int) {
	for _, e := range s.timeline(app) {
		switch e.Type {
		case "PushReceived":
			n++
		case "PushJudged":
			n--
		}
	}
	return n
}

// built is how long builds took after a time.
func (s *site) built(app string, since time.Time) (sum time.Duration) {
	var from time.Time
	for _, e := range s.timeline(app) {
		switch {
		case e.Type == "BuildStarted" && e.At.After(since):
			from = e.At
		case (e.Type == "ImageBuilt" || e.Type == "BuildFailed") && !from.IsZero():
			sum += e.At.Sub(from)
			from = time.Time{}
		}
	}
	return sum
}
