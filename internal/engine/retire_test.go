package engine

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"shiplog/events"
)

func TestRetire(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.rollout("web", 1)
	r.Count = 3
	up := b.roll(r)
	begin := time.Now()
	if err := b.Retire(t.Context(), up, 20*time.Second); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > 8*time.Second {
		t.Errorf("three that obey took %v", took)
	}
	if left := b.instances(); len(left) > 0 {
		t.Errorf("left %+v", left)
	}
	if err := b.Retire(t.Context(), up, time.Second); err != nil {
		t.Errorf("again: %v", err)
	}

	r = b.rollout("web", 2)
	r.Env["MODE"] = "stubborn"
	up = b.roll(r)
	begin = time.Now()
	done := make(chan error)
	go func() { done <- b.Retire(t.Context(), up, 2*time.Second) }()
	for !strings.Contains(logText(t, b, LogOptions{}), "TERM is ignored") {
		if time.Since(begin) > 10*time.Second {
			t.Fatal("it got no TERM")
		}
	}
	if all := b.instances(); len(all) != 1 { // the engine answers while it waits for one to end
		t.Errorf("during the grace: %+v", all)
	}
	if v := get(t, up[0], "/"); v != "v2" {
		t.Errorf("during the grace it answers %q", v)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took < 2*time.Second || took > 10*time.Second {
		t.Errorf("one that ignores TERM took %v, with a grace of 2s", took)
	}
	if left := b.instances(); len(left) > 0 {
		t.Errorf("left %+v", left)
	}
}

func TestRetireInterrupted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.rollout("web", 1)
	r.Env["MODE"] = "stubborn"
	up := b.roll(r)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	begin := time.Now()
	if err := b.Retire(ctx, up, time.Minute); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("returned after %v", took)
	}
	begin = time.Now()
	if err := b.Retire(t.Context(), up, 0); err != nil {
		t.Error(err)
	}
	t.Logf("the second call, without grace, took %v", time.Since(begin))
	if left := b.instances(); len(left) > 0 {
		t.Errorf("left %+v", left)
	}
}

// An instance that dies is started again by the engine, and can be told from one that did not.
func TestRestartedByEngine(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	i := b.roll(b.rollout("web", 1))[0]
	b.kill(i)
	for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		all := b.instances()
		if len(all) == 1 && all[0].Running() && all[0].Restarts == 1 && all[0].Started.After(i.Started) {
			if newProbe(events.HealthCheck{}, 8080).try(t.Context(), all[0].Address) == nil {
				return
			}
		}
		if time.Since(begin) > 10*time.Second {
			t.Fatalf("%+v", all)
		}
	}
}
