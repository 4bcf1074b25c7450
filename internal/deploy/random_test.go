package deploy

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"shiplog/events"
)

// TestAnyOrder plays random lives of an app and checks what must hold in every one of them.
func TestAnyOrder(t *testing.T) {
	for seed := range uint64(1000) {
		rng := rand.New(rand.NewPCG(seed, 1))
		s := play(t, "app web api")
		s.t = t
		for range 40 {
			s.random(rng)
			s.holds(t, seed)
		}
		s.ship()
		s.holds(t, seed)
		s.settled(t, seed)
	}
}

// random takes a step that makes sense now.
func (s *scenario) random(rng *rand.Rand) {
	n := func() string { return fmt.Sprint(rng.IntN(8)) }
	pick := func(of ...string) string { return of[rng.IntN(len(of))] }
	s.last, s.err = nil, nil
	switch rng.IntN(14) {
	case 0, 1, 2:
		s.step([]string{"push", pick("main", "main", "main", "dev"), n()})
	case 3, 4:
		if s.has(ActBuild) {
			s.step([]string{"claim"})
		}
	case 5, 6, 7:
		if s.isBuilding() {
			s.step([]string{pick("built", "built", "fail")})
		}
	case 8:
		if s.has(ActRollout) {
			s.step([]string{"roll"})
		}
	case 9:
		if s.has(ActRollout) && s.app.Live()[0].Phase == Deploying {
			s.step([]string{pick("live", "live", "broke")})
		}
	case 10:
		s.step([]string{"pin", pick("*", "web", "api"), "commit", n()})
	case 11:
		s.step([]string{pick("unpin", "commit", "revert")})
	case 12:
		s.step([]string{pick("restart", "stop", "start")})
	case 13:
		if live := s.app.Live(); len(live) > 0 {
			s.step([]string{"cancel", fmt.Sprint(live[0].Generation)})
		}
	}
}

func (s *scenario) has(k ActionKind) bool {
	for _, a := range Next(s.app) {
		if a.Kind == k {
			return true
		}
	}
	return false
}

func (s *scenario) isBuilding() bool {
	for _, d := range s.app.Live() {
		for _, p := range d.Parts {
			if p.Builder != "" {
				return true
			}
		}
	}
	return false
}

// holds checks what is true at every moment.
func (s *scenario) holds(t *testing.T, seed uint64) {
	t.Helper()
	deploying, last := 0, uint64(0)
	for _, d := range s.app.Live() {
		if d.Phase == Deploying {
			deploying++
		}
		if d.Generation <= last {
			t.Fatalf("seed %d: generations do not rise", seed)
		}
		last = d.Generation
	}
	if deploying > 1 {
		t.Fatalf("seed %d: %d deployments roll out at once", seed, deploying)
	}
	for name, serving := range s.app.Serving {
		if serving.Generation > s.app.Generation || serving.Target.Digest == "" {
			t.Fatalf("seed %d: %s serves %+v", seed, name, serving)
		}
	}
	for _, e := range s.last { // a push never moves a pinned component
		r, ok := e.(events.DeploymentRequested)
		if !ok || r.Intent != events.IntentPush {
			continue
		}
		for name, want := range r.Want {
			if pin, is := s.app.PinOf(name); is && pin.Kind != events.RefBranch && !want.Same(pin.Resolved[name]) {
				t.Fatalf("seed %d: a push moved pinned %s to %s", seed, name, want)
			}
		}
	}
}

// settled checks what is true when nothing is left to do.
func (s *scenario) settled(t *testing.T, seed uint64) {
	t.Helper()
	if len(s.app.Live()) > 0 && !s.app.Stopped {
		t.Fatalf("seed %d: deployments are stuck: %+v", seed, Next(s.app))
	}
	var replayed App
	for _, r := range s.log {
		replayed = Evolve(replayed, r)
	}
	if !reflect.DeepEqual(replayed, s.app) {
		t.Fatalf("seed %d: a replay gives another state", seed)
	}
	before, _ := json.Marshal(s.app)
	var back App
	if err := json.Unmarshal(before, &back); err != nil {
		t.Fatal(err)
	}
	if after, _ := json.Marshal(back); string(after) != string(before) {
		t.Fatalf("seed %d: the state changes when it is stored", seed)
	}
	clone := s.app.Clone()
	s.step([]string{"push", "main", "9"})
	s.step([]string{"pin", "*", "commit", "1"})
	s.step([]string{"unpin"})
	s.ship()
	if after, _ := json.Marshal(clone); string(after) != string(before) {
		t.Fatalf("seed %d: a clone changes with its original", seed)
	}
}
