package projections

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"shiplog/events"
	"shiplog/internal/deploy"
	"shiplog/internal/memlog"
)

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, seed)) }

// TestOtherLog opens a projection with a log it is not of.
func TestOtherLog(t *testing.T) {
	mine, other := write(40, 400, 2), write(41, 500, 3)
	fork := append(append([]events.Recorded{}, mine[:1]...), other[1:]...) // same first event, another at the checkpoint
	later := newTape(mine)
	later.epoch = 2
	for name, log := range map[string]*tape{
		"another history": newTape(other), "shorter": newTape(mine[:300]), "empty": newTape(nil), "later epoch": later,
		"fork": newTape(rechained(fork)),
	} {
		t.Run(name, func(t *testing.T) {
			opts := quiet(filepath.Join(scratch(t), "projection.db"))
			s := run(t, opts, newTape(mine))
			s.until(len(mine))
			s.halt()
			fresh := run(t, quiet(filepath.Join(scratch(t), "projection.db")), log)
			fresh.eventually("built", func() bool { return !fresh.Status().Rebuilding })

			s = run(t, opts, log)
			s.eventually("rebuilt", func() bool { st := s.Status(); return st.Rebuilds == 1 && !st.Rebuilding })
			same(t, name, s.dump(), fresh.dump())
			if _, err := os.Stat(opts.Path + ".damaged-1"); err != nil {
				t.Error("the copy of the other log was not kept:", err)
			}
			s.halt()
			s = run(t, opts, log) // and now it is of this log
			s.eventually("opened", func() bool { return s.Status().Trouble == "" && !s.Status().Rebuilding })
			if s.Status().Rebuilds != 0 {
				t.Errorf("rebuilt again: %+v", s.Status())
			}
		})
	}
}

// rechained makes each event follow the one before it on its subject.
func rechained(all []events.Recorded) []events.Recorded {
	heads, out := map[events.Subject]events.Hash{}, []events.Recorded{}
	for i, r := range all {
		n, err := events.Seal(r.Subject, heads[r.Subject], events.Draft{
			ID: r.ID, At: r.At, Actor: r.Actor, Cause: r.Cause, Deployment: r.Deployment, Event: r.Event,
		})
		if err != nil {
			panic(err)
		}
		n.Position = events.Position{Epoch: 1, Sequence: uint64(i + 1)}
		heads[r.Subject] = n.Hash
		out = append(out, n)
	}
	return out
}

// TestDamagedLog stops at what does not fit, says so, keeps answering, and goes on once the log is whole again.
func TestDamagedLog(t *testing.T) {
	all := write(42, 300, 2)
	for name, spoil := range map[string]func(all []events.Recorded) []events.Recorded{
		"gap": func(all []events.Recorded) []events.Recorded {
			out := append([]events.Recorded{}, all...)
			out[200].Position.Sequence = 999
			return out
		},
		"broken chain": func(all []events.Recorded) []events.Recorded {
			out := append([]events.Recorded{}, all...)
			out[200].Body = append([]byte(" "), out[200].Body...)
			return out
		},
	} {
		t.Run(name, func(t *testing.T) {
			log := newTape(spoil(all))
			log.show(200)
			opts := quiet(filepath.Join(scratch(t), "projection.db"))
			opts.Batch = 1
			s := run(t, opts, log)
			s.until(200)
			log.show(300)
			s.eventually("trouble", func() bool { return s.Status().Trouble != "" })
			if at := s.Checkpoint().Sequence; at > 299 || at < 200 {
				t.Errorf("the checkpoint is %d", at)
			}
			if _, _, err := s.Apps(0, 10); err != nil {
				t.Error(err)
			}
			if s.Status().Rebuilds != 0 {
				t.Error("the projection was thrown away for a fault of the log")
			}
		})
	}
}

func TestUnavailableLog(t *testing.T) {
	all := write(43, 100, 1)
	log := newTape(all)
	log.refuse(events.ErrUnavailable)
	s := run(t, quiet(filepath.Join(scratch(t), "projection.db")), log)
	s.eventually("trouble", func() bool { return strings.Contains(s.Status().Trouble, events.ErrUnavailable.Error()) })
	if _, _, err := s.Timeline("x", 0, 1); !errors.Is(err, ErrRebuilding) {
		t.Errorf("a query before there is a file: %v", err)
	}
	if _, _, err := s.Apps(0, 1); !errors.Is(err, ErrRebuilding) {
		t.Errorf("Apps before there is a file: %v", err)
	}
	log.refuse(nil)
	s.until(len(all))
	s.eventually("no trouble", func() bool { return s.Status().Trouble == "" })
}

func TestWait(t *testing.T) {
	s := run(t, quiet(filepath.Join(scratch(t), "projection.db")), newTape(nil))
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if err := s.Wait(ctx, events.Position{Epoch: 1, Sequence: 1}); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if err := s.Wait(context.Background(), events.Position{}); err != nil {
		t.Error(err)
	}
	s.eventually("built", func() bool { return !s.Status().Rebuilding })
	waiting := make(chan error)
	go func() { waiting <- s.Wait(context.Background(), events.Position{Epoch: 1, Sequence: 1}) }()
	s.halt()
	if err := <-waiting; !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if _, _, err := s.Timeline("x", 0, 1); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if err := s.Run(context.Background(), newTape(nil)); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

func TestInUse(t *testing.T) {
	opts := quiet(filepath.Join(scratch(t), "projection.db"))
	s := run(t, opts, newTape(write(44, 50, 1)))
	if _, err := Open(opts); !errors.Is(err, ErrInUse) {
		t.Error(err)
	}
	if _, err := Rebuild(context.Background(), opts, newTape(nil)); !errors.Is(err, ErrInUse) {
		t.Error(err)
	}
	s.halt()
	if _, err := Rebuild(context.Background(), opts, newTape(write(44, 50, 1))); err != nil {
		t.Error(err)
	}
}

// TestRebuildFinds a projection that is sound and wrong.
func TestRebuildFinds(t *testing.T) {
	all := write(45, 500, 2)
	opts := quiet(filepath.Join(scratch(t), "projection.db"))
	lying := opts
	lying.Fold = func(a deploy.App, r events.Recorded) deploy.App {
		a = deploy.Evolve(a, r)
		if d := a.Deployments[r.Deployment]; d != nil {
			d.Cause = "a lie"
		}
		return a
	}
	if _, err := Rebuild(context.Background(), lying, newTape(all)); err != nil {
		t.Fatal(err)
	}
	r, err := Rebuild(context.Background(), opts, newTape(all))
	if err != nil || !strings.Contains(r.Differs, "deployments.v1") {
		t.Fatalf("%+v, %v", r, err)
	}
	if r, err = Rebuild(context.Background(), opts, newTape(all)); err != nil || r.Differs != "" || !r.Compared {
		t.Fatalf("%+v, %v", r, err)
	}
	lying.Fold = func(a deploy.App, r events.Recorded) deploy.App { // a lie that no table but the folds has
		a = deploy.Evolve(a, r)
		a.Superseded = 77
		return a
	}
	if r, err = Rebuild(context.Background(), lying, newTape(all)); err != nil || !strings.Contains(r.Differs, "folds.v2") {
		t.Fatalf("%+v, %v", r, err)
	}
	if r, err = Rebuild(context.Background(), opts, newTape(all)); err != nil || !strings.Contains(r.Differs, "folds.v2") {
		t.Fatalf("%+v, %v", r, err)
	}
	for what, spoil := range map[string]func() error{
		"damaged": func() error { return os.WriteFile(opts.Path, []byte("no projection"), 0o600) },
		"missing": func() error { return os.Remove(opts.Path) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if r, err = Rebuild(context.Background(), opts, newTape(all)); err != nil || r.Compared || r.Differs != "" {
			t.Fatalf("%s: %+v, %v", what, r, err)
		}
	}
}

// TestPanickingFold makes one app read-only and leaves the others alone.
func TestPanickingFold(t *testing.T) {
	all := write(46, 200, 2)
	opts := quiet(filepath.Join(scratch(t), "projection.db"))
	bad, _ := all[1].Subject.App()
	opts.Fold = func(a deploy.App, r events.Recorded) deploy.App {
		if id, _ := r.Subject.App(); id == bad {
			panic("a bug")
		}
		return deploy.Evolve(a, r)
	}
	s := run(t, opts, newTape(all))
	s.until(len(all))
	a, ok := s.State(bad)
	if !ok || !strings.Contains(a.ReadOnly, "a bug") || s.Status().Rebuilds != 0 {
		t.Errorf("%+v, %v, %+v", a, ok, s.Status())
	}
	if list, _, err := s.Apps(0, 10); err != nil || len(list) != 1 || list[0].ReadOnly != "" {
		t.Errorf("%+v, %v", list, err)
	}
}

// TestUnknownEvent keeps an event from the future wholly, and shows it.
func TestUnknownEvent(t *testing.T) {
	log := memlog.New()
	id := events.NewID()
	_, err := log.Append(context.Background(), events.Append{Subject: events.AppSubject(id), Events: []events.Draft{
		{ID: events.NewID(), At: time.Now(), Actor: events.Self, Event: events.AppCreated{Name: "x", Spec: events.Spec{Name: "x"}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	log.Forge(events.AppSubject(id), "AppTeleported", 3, 9, []byte(`{"where":"moon"}`))
	s := run(t, quiet(filepath.Join(scratch(t), "projection.db")), log)
	s.until(2)
	list, total, err := s.Timeline(id, 0, 10)
	if err != nil || total != 2 || string(list[0].Body) != `{"where":"moon"}` || list[0].Type != "AppTeleported" || list[0].Hash != log.All()[1].Hash {
		t.Fatalf("%+v, %d, %v", list, total, err)
	}
	if a, _ := s.State(id); a.ReadOnly == "" {
		t.Error("the app is not read-only")
	}
	s.dump()
}

// TestStateIsACopy changes what State gave away.
func TestStateIsACopy(t *testing.T) {
	all := write(47, 300, 1)
	s := run(t, quiet(filepath.Join(scratch(t), "projection.db")), newTape(all))
	s.until(len(all))
	before := s.dump()
	a, _ := s.State(mustApp(all[1]))
	for _, d := range a.Deployments {
		d.Cause = "spoiled"
		for _, p := range d.Parts {
			p.Failed = "spoiled"
		}
	}
	clear(a.Deployments)
	clear(a.Want)
	a = deploy.Evolve(a, all[len(all)-1])
	same(t, "after changing a copy", s.dump(), before)
}

func mustApp(r events.Recorded) events.ID {
	id, ok := r.Subject.App()
	if !ok {
		panic(r.Subject)
	}
	return id
}

// TestConcurrently reads everything from all sides while the log grows, the file is rebuilt and damaged.
func TestConcurrently(t *testing.T) {
	all := write(48, 2000, 5)
	want := rebuilt(t, all, len(all))
	log := newTape(all)
	log.show(10)
	opts := quiet(filepath.Join(scratch(t), "projection.db"))
	opts.Settle, opts.Batch = time.Millisecond, 50
	s := run(t, opts, log)
	s.until(10)
	done := make(chan struct{})
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			rng := newRand(uint64(i))
			for {
				select {
				case <-done:
					return
				default:
				}
				id := mustApp(all[1+2*rng.IntN(5)])
				_, _, err1 := s.Timeline(id, 0, 20)
				deps, _, err2 := s.Deployments(id, 0, 20)
				_, _, err3 := s.Pushes(id, 0, 20)
				_, _, err4 := s.At(id, start.Add(time.Hour))
				_, _, err5 := s.Apps(0, 10)
				if len(deps) > 0 {
					_, _, err := s.Deployment(id, deps[0].ID)
					err5 = errors.Join(err5, err)
				}
				s.State(id)
				s.AppByName("x")
				if rng.IntN(100) == 0 {
					err5 = errors.Join(err5, s.Dump(io.Discard))
				}
				if err := errors.Join(err1, err2, err3, err4, err5); err != nil && !errors.Is(err, ErrRebuilding) {
					t.Error(err)
					return
				}
			}
		})
	}
	for n := 10; n <= len(all); n += 10 {
		log.show(n)
		switch n {
		case 500, 1510:
			if r, err := s.Rebuild(context.Background()); err != nil || r.Differs != "" {
				t.Errorf("%+v, %v", r, err)
			}
		case 1000:
			s.mu.RLock()
			f := s.file
			s.mu.RUnlock()
			s.condemn(f, fmt.Errorf("%w: a test says so", errDamaged))
		}
		if n%100 == 0 {
			s.until(n)
		}
	}
	s.until(len(all))
	close(done)
	wg.Wait()
	same(t, "after all that", s.dump(), want)
}
