package deploy

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"shiplog/events"
)

// TestAnyOrder plays random lives of an app and checks what must hold in every one of them.
func TestAnyOrder(t *testing.T) {
	const seeds, shards = 1000, 4
	for shard := range shards {
		t.Run(fmt.Sprint(shard), func(t *testing.T) {
			t.Parallel()
			for i := range uint64(seeds / shards) {
				anyOrder(t, uint64(shard)*seeds/shards+i)
			}
		})
	}
}

func anyOrder(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	s := play(t, "app web api")
	var stored App
	for i := range 40 {
		s.random(rng)
		s.holds(t, seed)
		if i == 20 && seed%8 == 0 {
			stored = restored(t, s.app)
		}
	}
	s.ship()
	s.holds(t, seed)
	s.settled(t, seed, stored)
}

// restored is an app as it comes out of the store.
func restored(t *testing.T, a App) (b App) {
	t.Helper()
	if err := json.Unmarshal([]byte(encode(t, a)), &b); err != nil {
		t.Fatal(err)
	}
	return b
}

// random takes a step that makes sense now.
func (s *scenario) random(rng *rand.Rand) {
	n := func() string { return fmt.Sprint(rng.IntN(8)) }
	pick := func(of ...string) string { return of[rng.IntN(len(of))] }
	s.last, s.err = nil, nil
	switch rng.IntN(17) {
	case 0, 1, 2:
		s.step([]string{"push", pick("main", "main", "main", "dev"), n()})
	case 3, 4:
		if s.has(ActBuild) {
			s.step([]string{"claim"})
		}
	case 5, 6, 7:
		if s.isBuilding() {
			s.step(strings.Fields(pick("built", "built", "built", "fail", "fail again")))
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
		s.step([]string{pick("unpin", "commit", "revert"), pick("", "", "web", "api")})
	case 12:
		s.step([]string{pick("restart", "stop", "start")})
	case 13:
		if live := s.app.Live(); len(live) > 0 {
			s.step([]string{"cancel", fmt.Sprint(live[rng.IntN(len(live))].Generation)})
		}
	case 14:
		if len(s.app.Releases) > 0 {
			s.step([]string{"rollback", fmt.Sprintf("v%d", 1+rng.IntN(len(s.app.Releases))), pick("", "", "skip-pin", "if-unpinned")})
		}
	case 15:
		switch rng.IntN(4) {
		case 0:
			s.step([]string{"components", "web", "api", "db"})
		case 1:
			s.step([]string{"components", "web", "api"})
		case 2:
			s.step([]string{pick("env", "arg"), n()})
		case 3:
			s.step([]string{"deploy", n(), pick("reuse", "force")})
		}
	case 16:
		switch rng.IntN(4) {
		case 0:
			s.step([]string{"quarantine", n()})
		case 1:
			s.step([]string{"pin", pick("*", "web"), "commit", n(), "for=1h"})
		case 2:
			if s.has(ActUnpin) {
				s.step([]string{"expire"})
			}
		case 3:
			s.step([]string{"pin", pick("*", "web", "api"), "branch", "dev", n()})
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
	for name, want := range s.app.Want { // a choice in force is what is wanted, whatever became of its deployment
		pin, is := s.app.PinOf(name)
		if is && pin.fixes(name) && want.Revision.Commit != pin.Resolved[name].Revision.Commit && s.app.quarantined(pin.Resolved[name]) == "" {
			t.Fatalf("seed %d: %s is pinned to %s, but %s is wanted", seed, name, pin.Resolved[name], want)
		}
	}
	for _, e := range s.last {
		if r, ok := e.(events.DeploymentRequested); ok && r.Intent != events.IntentRestart {
			spec := s.app.Specs[r.SpecHash]
			for _, c := range spec.Components() {
				if r.Want[c.Name].IsZero() {
					t.Fatalf("seed %d: a deployment without %s", seed, c.Name)
				}
			}
			if len(r.Want) != len(spec.Components()) {
				t.Fatalf("seed %d: a deployment of %d components, of %d in its spec", seed, len(r.Want), len(spec.Components()))
			}
		}
	}
	for _, e := range s.last { // a push never moves a pinned component
		r, ok := e.(events.DeploymentRequested)
		if !ok || r.Intent != events.IntentPush {
			continue
		}
		for name, want := range r.Want {
			if pin, is := s.app.PinOf(name); is && pin.fixes(name) && want.Revision.Commit != pin.Resolved[name].Revision.Commit && s.app.quarantined(pin.Resolved[name]) == "" {
				t.Fatalf("seed %d: a push moved pinned %s to %s", seed, name, want)
			}
		}
	}
}

// settled checks what is true when nothing is left to do. stored is the app as it was stored on the way.
func (s *scenario) settled(t *testing.T, seed uint64, stored App) {
	t.Helper()
	if len(s.app.Live()) > 0 && !s.app.Stopped {
		t.Fatalf("seed %d: deployments are stuck: %+v", seed, Next(s.app))
	}
	var replayed App
	for _, r := range s.log {
		replayed = Evolve(replayed, r)
		if stored.ID != "" && r.Position.Compare(stored.Head.Position) > 0 {
			stored = Evolve(stored, r)
		}
	}
	if !reflect.DeepEqual(replayed, s.app) {
		t.Fatalf("seed %d: a replay gives another state", seed)
	}
	if seed%8 != 0 { // what follows costs more than the life itself
		return
	}
	before := encode(t, s.app)
	if encode(t, restored(t, s.app)) != before {
		t.Fatalf("seed %d: the state changes when it is stored", seed)
	}
	if encode(t, stored) != before {
		t.Fatalf("seed %d: a stored state goes on to another one", seed)
	}
	clone := s.app.Clone()
	s.step([]string{"push", "main", "9"})
	s.step([]string{"pin", "*", "commit", "1"})
	s.step([]string{"unpin"})
	s.ship()
	if encode(t, clone) != before {
		t.Fatalf("seed %d: a clone changes with its original", seed)
	}
}
