package deploy

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"shiplog/events"
)

// A push with the longest paths there are is recorded with as many as fit; a character can take six in JSON.
func TestLongPaths(t *testing.T) {
	for _, letter := range []string{"a", "<"} {
		s := play(t, "app")
		p := events.PushReceived{
			Provider: "git", Delivery: "long", Repository: repository, Ref: events.Branch(strings.Repeat("b", 240)), After: commit("1"),
			Message: strings.Repeat(letter, 5000), Author: strings.Repeat(letter, 5000), Pusher: strings.Repeat(letter, 5000),
		}
		for range 150 {
			p.Paths = append(p.Paths, strings.Repeat(letter, 4095))
		}
		s.last = nil
		s.do(ReceivePush{p})
		if s.err != nil || len(s.last) != 1 {
			t.Fatalf("%v, %d events; want the push", s.err, len(s.last))
		}
		got := s.last[0].(events.PushReceived)
		if len(got.Paths) == 0 || !got.MorePaths {
			t.Errorf("%d paths are kept and more=%v; want some, and a sign that there were more", len(got.Paths), got.MorePaths)
		}
	}
}

// many is a spec of n components that fits in an event.
func many(n int) events.Spec {
	spec := events.Spec{Name: "hello"}
	for i := range n {
		spec.Services = append(spec.Services, component(fmt.Sprintf("component-%d", i)))
	}
	return spec
}

// What is too large for the log is refused when it is asked for, and not when its work is reported.
func TestManyComponents(t *testing.T) {
	t.Parallel()
	most := 0
	for _, n := range []int{100, 120, 122, 123, 124, 125, 126, 128, 150, 500} {
		s := play(t, "app")
		s.do(ChangeSpec{Spec: many(n), Targets: s.targetsOf(many(n), revision(strings.Repeat("m", 100), "1"))})
		var r *Refusal
		if errors.As(s.err, &r) && r.Code == CodeInvalid && most > 0 {
			continue
		}
		if s.err != nil {
			t.Fatalf("%d components: %v", n, s.err)
		}
		most = n
		s.shipAll(n)
		if len(s.app.Releases) != 1 {
			t.Fatalf("%d components were requested, but never released", n)
		}
	}
	if most == 0 || most == 500 {
		t.Errorf("up to %d components are taken; the test should meet the bound", most)
	}
}

func (s *scenario) shipAll(n int) {
	for range n {
		s.step([]string{"claim"})
		s.step([]string{"built"})
	}
	s.step([]string{"roll"})
	s.step([]string{"live"})
	if s.err != nil {
		s.t.Fatal(s.err)
	}
}

// A push that cannot be deployed is judged, and does not wait for ever.
func TestPushOfTooManyComponents(t *testing.T) {
	s := play(t, "app")
	s.do(ChangeSpec{Spec: many(400)}) // they wait for their first push
	if s.err != nil {
		t.Fatal(s.err)
	}
	s.step([]string{"push", "main", "1"})
	if s.err != nil || len(s.app.Pending) > 0 {
		t.Fatalf("%v, %d pushes are pending; want a verdict", s.err, len(s.app.Pending))
	}
	if got := s.told(); got != "PushJudged unresolvable" {
		t.Errorf("it was judged %s", got)
	}
}

// A Dockerfile can name more base images than an event holds: then the build has failed, and is not done again.
func TestBuildWithTooManyInputs(t *testing.T) {
	s := play(t, `
		app
		push main 1
		claim`)
	d, name, p := s.building()
	s.last = nil
	bases := map[string]events.Digest{}
	for i := range 1000 {
		bases[fmt.Sprintf("registry.example.com/some/base/image-%d", i)] = digest(fmt.Sprint(i))
	}
	s.do(FinishBuild{Deployment: d.ID, Component: name, Attempt: p.Attempt, Digest: digest("1"), Inputs: events.Inputs{Bases: bases}})
	if got := s.told(); s.err != nil || got != "BuildFailed\nDeploymentFailed 1 build" {
		t.Errorf("%v, %s", s.err, got)
	}
}
