package projections

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"shiplog/events"
)

func quiet(path string) Options {
	return Options{Path: path, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
}

// scratch is a directory for a test's files, in memory where there is one: what is tested is not the disk.
func scratch(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "projections-*")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// running is a store with its Run.
type running struct {
	*Store
	t    testing.TB
	stop func()
}

// run opens a store and follows a log; both end with the test, or with halt.
func run(t testing.TB, opts Options, log events.Log) *running {
	t.Helper()
	s, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, log) }()
	r := &running{Store: s, t: t}
	r.stop = func() {
		r.stop = func() {}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	t.Cleanup(func() { r.stop() })
	return r
}

func (r *running) halt() { r.stop() }

// until waits for the projection of a sequence of epoch 1, and that it can be queried.
func (r *running) until(sequence int) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := r.Wait(ctx, events.Position{Epoch: 1, Sequence: uint64(sequence)}); err != nil {
		r.t.Fatalf("%v; status %+v", err, r.Status())
	}
}

// eventually waits for a condition.
func (r *running) eventually(what string, is func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("not in time: %s; status %+v", what, r.Status())
		}
	}
}

func (r *running) dump() string {
	r.t.Helper()
	var b bytes.Buffer
	if err := r.Dump(&b); err != nil {
		r.t.Fatal(err)
	}
	if err := r.Check(); err != nil {
		r.t.Fatal(err)
	}
	return b.String()
}

// same fails the test with the first line that differs.
func same(t testing.TB, what, got, want string) {
	t.Helper()
	if got == want {
		return
	}
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			t.Fatalf("%s: line %d is\n%.2000s\nnot\n%.2000s", what, i+1, g[i], w[i])
		}
	}
	t.Fatalf("%s: %d lines, not %d", what, len(g), len(w))
}

// rebuilt is the dump of a projection made in one go of the first n events.
func rebuilt(t testing.TB, all []events.Recorded, n int) string {
	t.Helper()
	s := run(t, quiet(filepath.Join(scratch(t), "projection.db")), newTape(all[:n]))
	s.until(n)
	defer s.halt()
	return s.dump()
}

func TestLiveEqualsReplay(t *testing.T) {
	all := write(1, 3000, 7)
	want := rebuilt(t, all, len(all))

	log := newTape(all)
	log.show(0)
	live := run(t, quiet(filepath.Join(scratch(t), "projection.db")), log)
	for n := 1; n <= len(all); n += 1 + n%7 {
		log.show(n)
		if n%3 == 0 {
			live.until(n)
		}
	}
	log.show(len(all))
	live.until(len(all))
	same(t, "live", live.dump(), want)

	r, err := live.Rebuild(context.Background())
	if err != nil || r.Differs != "" || r.Events != uint64(len(all)) {
		t.Fatalf("Rebuild: %+v, %v", r, err)
	}
	same(t, "rebuilt while running", live.dump(), want)
}

func TestRestartsChangeNothing(t *testing.T) {
	all := write(2, 3000, 5)
	want := rebuilt(t, all, len(all))
	for seed := range uint64(4) {
		rng := rand.New(rand.NewPCG(seed, 3))
		opts := quiet(filepath.Join(scratch(t), "projection.db"))
		log := newTape(all)
		for n := 0; n < len(all); {
			n = min(n+1+rng.IntN(300), len(all))
			log.show(n)
			opts.Batch = 1 + rng.IntN(64)
			opts.Settle = time.Duration(1+rng.IntN(3)) * time.Millisecond
			s := run(t, opts, log)
			s.until(n)
			if rng.IntN(3) == 0 { // die without a word: nothing stored, nothing synced
				s.abandon()
			}
			s.halt()
			if d := s.Status().LastDamage; d != "" {
				t.Fatal(d)
			}
		}
		s := run(t, opts, log)
		s.until(len(all))
		same(t, "after restarts", s.dump(), want)
		if got := s.Status().Rebuilds; got != 0 {
			t.Errorf("%d rebuilds", got)
		}
		s.halt()
	}
}

// abandon makes Close leave everything as it is, as after a kill.
func (r *running) abandon() {
	r.writer.Lock()
	defer r.writer.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.broken = io.ErrUnexpectedEOF
	r.file.readers.Wait()
	_ = r.file.db.Close()
}
