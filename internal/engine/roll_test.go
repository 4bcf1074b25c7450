package engine

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"shiplog/events"
)

func TestRoll(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.rollout("web", 1)
	r.Count = 2
	r.Health.HTTPPath = "/healthz"
	begin := time.Now()
	up := b.roll(r)
	t.Logf("2 instances healthy after %v", time.Since(begin))
	if len(up) != 2 {
		t.Fatalf("%d instances", len(up))
	}
	for n, i := range up {
		want := Instance{
			ID: i.ID, Name: b.name + []string{"-web-g1-1", "-web-g1-2"}[n], App: b.app, AppName: b.name, Component: "web", Deployment: r.Deployment,
			Generation: 1, Index: n + 1, Digest: b.image.Digest, Address: i.Address, State: "running", Started: i.Started,
		}
		if i != want {
			t.Errorf("got  %+v\nwant %+v", i, want)
		}
		if time.Since(i.Started) > time.Minute || !strings.HasSuffix(i.Address, ":8080") {
			t.Errorf("started %v at %q", i.Started, i.Address)
		}
		if v := get(t, i, "/"); v != "v1" {
			t.Errorf("answers %q", v)
		}
	}

	// Again, by another process: the same instances.
	restarted := b.open()
	begin = time.Now()
	again, err := restarted.Roll(t.Context(), r, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("adopted after %v", time.Since(begin))
	for n := range up {
		if again[n] != up[n] {
			t.Errorf("adopted %+v\nwas     %+v", again[n], up[n])
		}
	}

	// A crash in between: one instance is gone, one was made and not started.
	if err := b.Retire(t.Context(), up[:1], 0); err != nil {
		t.Fatal(err)
	}
	r.Count = 3
	if _, err := b.create(t.Context(), r, 3, b.image.Ref()); err != nil {
		t.Fatal(err)
	}
	mended := b.roll(r)
	if len(mended) != 3 || mended[0].ID == up[0].ID || mended[1] != up[1] {
		t.Errorf("mended to %+v", mended)
	}

	// The next generation starts beside it.
	next := b.rollout("web", 2)
	second := b.roll(next)
	all := b.instances()
	if len(all) != 4 || get(t, second[0], "/") != "v2" || get(t, mended[0], "/") != "v1" {
		t.Errorf("%d instances run: %+v", len(all), all)
	}
}

func TestRollFails(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	old := b.roll(b.rollout("web", 1))
	for n, tt := range []struct {
		what   string
		change func(*Rollout)
		step   string
		reason string
		log    string
	}{
		{"crash", func(r *Rollout) { r.Env["MODE"] = "crash" }, "healthy", "exited with code 3", "fatal: cannot open the database"},
		{"crash of a worker", func(r *Rollout) { r.Env["MODE"], r.Env["PORT"], r.Port = "crash", "0", 0 }, "healthy", "code 3", "fatal"},
		{"never ready", func(r *Rollout) { r.Env["MODE"] = "never"; r.Health.PeriodSeconds, r.Health.FailureThreshold = 1, 1 }, "healthy", "refused", "starts"},
		{"never ready by path", func(r *Rollout) {
			r.Health = events.HealthCheck{HTTPPath: "/none", PeriodSeconds: 1, FailureThreshold: 1}
		}, "healthy", "404", "starts"},
		{"deadline", func(r *Rollout) { r.Env["MODE"], r.Deadline = "never", 2*time.Second }, "healthy", "refused", "starts"},
		{"no such command", func(r *Rollout) { r.Command = "true" }, "start", "", ""},
		{"one of three", func(r *Rollout) { r.Count, r.Env["MODE"] = 3, "crash" }, "healthy", "exit", "fatal"},
		{"out of memory", func(r *Rollout) { r.Env["MODE"], r.Memory, r.Port = "hungry", 32<<20, 0 }, "healthy", "memory", "starts"},
	} {
		r := b.rollout("web", uint64(n+2))
		tt.change(&r)
		begin := time.Now()
		_, err := b.Roll(t.Context(), r, io.Discard)
		var un *Unhealthy
		if !errors.As(err, &un) {
			t.Errorf("%s: %v", tt.what, err)
			continue
		}
		t.Logf("%s: %v, after %v", tt.what, un, time.Since(begin).Round(10*time.Millisecond))
		if un.Step != tt.step || !strings.Contains(un.Reason, tt.reason) || !strings.Contains(un.Log, tt.log) || !strings.HasPrefix(un.Instance, b.name+"-web-g") {
			t.Errorf("%s: %+v", tt.what, un)
		}
		if left := b.instances(); len(left) != 1 || left[0] != old[0] {
			t.Fatalf("%s: left %d, was %+v: %+v", tt.what, len(left), old[0], left)
		}
	}
	if get(t, old[0], "/") != "v1" {
		t.Error("the old instance does not serve")
	}
}

// A failed repair keeps what may be serving.
func TestRollFailureKeepsHealthyAdopted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.rollout("web", 1)
	good := b.roll(r)
	r.Count, r.Env = 2, map[string]string{"MODE": "crash"}
	if _, err := b.Roll(t.Context(), r, io.Discard); err == nil {
		t.Fatal("rolled")
	}
	if left := b.instances(); len(left) != 1 || left[0] != good[0] {
		t.Errorf("left %+v", left)
	}
}

func TestRollCanceled(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.rollout("web", 1)
	r.Env["MODE"] = "never"
	ctx, cancel := context.WithCancel(t.Context())
	started := make(chan struct{})
	go func() {
		<-started
		cancel()
	}()
	_, err := b.Roll(ctx, r, writer(func(line string) {
		if strings.Contains(line, "starts from "+string(b.image.Digest)) {
			close(started)
		}
	}))
	var un *Unhealthy
	if !errors.As(err, &un) || !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if left := b.instances(); len(left) > 0 {
		t.Errorf("left %+v", left)
	}
}

func TestRollWithoutImage(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.rollout("web", 1)
	r.Image.Digest = events.Digest("sha256:" + strings.Repeat("1", 64))
	if _, err := b.Roll(t.Context(), r, io.Discard); !errors.Is(err, ErrNoImage) || !strings.Contains(err.Error(), string(r.Image.Digest)) {
		t.Errorf("%v", err)
	}
	for _, change := range []func(*Rollout){func(r *Rollout) { r.Count = 0 }, func(r *Rollout) { r.App = "" }, func(r *Rollout) { r.Port = 70000 }} {
		r := b.rollout("web", 1)
		change(&r)
		if _, err := b.Roll(t.Context(), r, io.Discard); err == nil {
			t.Errorf("accepted %+v", r)
		}
	}
}

func TestWorker(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.rollout("mailer", 1)
	r.Port, r.Env["PORT"] = 0, "0"
	begin := time.Now()
	up := b.roll(r)
	if took := time.Since(begin); took < WorkerProof {
		t.Errorf("healthy after %v", took)
	}
	if strings.Contains(up[0].Address, ":") || up[0].Address == "" {
		t.Errorf("address %q", up[0].Address)
	}
}

// The same app name in another Shiplog on the same engine.
func TestNameTaken(t *testing.T) {
	t.Parallel()
	b, other := newBench(t), newBench(t)
	other.name = b.name
	one, two := b.roll(b.rollout("web", 1)), other.roll(other.rollout("web", 1))
	if one[0].Name == two[0].Name || !strings.HasPrefix(two[0].Name, one[0].Name) {
		t.Errorf("names %q and %q", one[0].Name, two[0].Name)
	}
	if all, err := b.Instances(t.Context(), ""); err != nil || len(all) != 1 || all[0].ID != one[0].ID {
		t.Errorf("all of this Shiplog: %+v, %v", all, err)
	}
}

// writer is a func that gets every write.
type writer func(string)

func (w writer) Write(b []byte) (int, error) {
	w(string(bytes.TrimSpace(b)))
	return len(b), nil
}
