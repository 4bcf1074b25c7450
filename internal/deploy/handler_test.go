package deploy_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"shiplog/events"
	"shiplog/internal/deploy"
	"shiplog/internal/memlog"
)

const source = "http://localhost/git/hello.git"

func spec(name string) events.Spec {
	return events.Spec{Name: name, Services: []events.Component{{
		Name: "web", Git: &events.GitSource{RepoCloneURL: source, Branch: "main"},
	}}}
}

func order(id string, c deploy.Command) deploy.Order {
	return deploy.Order{ID: id, Actor: "token:ann", At: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC), Command: c}
}

func push(delivery, digit string) deploy.ReceivePush {
	commit := ""
	for range 40 {
		commit += digit
	}
	return deploy.ReceivePush{Push: events.PushReceived{
		Provider: "git", Delivery: delivery, Repository: source, Ref: events.Branch("main"), After: events.Commit(commit),
	}}
}

// create makes the app "hello" and returns its id.
func create(t *testing.T, h *deploy.Handler) events.ID {
	t.Helper()
	res, err := h.Create(t.Context(), "hello", order("create", deploy.CreateApp{Spec: spec("hello")}))
	if err != nil {
		t.Fatal(err)
	}
	return res.App.ID
}

func code(err error) deploy.Code {
	var r *deploy.Refusal
	errors.As(err, &r)
	if r == nil {
		return ""
	}
	return r.Code
}

func TestCreateIsUnique(t *testing.T) {
	log := memlog.New()
	h := deploy.NewHandler(log, nil)
	app := create(t, h)
	if res, err := h.Create(t.Context(), "hello", order("create", deploy.CreateApp{Spec: spec("hello")})); err != nil || res.App.ID != app || len(res.Recorded) != 0 {
		t.Errorf("the same order again: %v, app %s, %d events; want the first app and none", err, res.App.ID, len(res.Recorded))
	}
	if _, err := h.Create(t.Context(), "hello", order("other", deploy.CreateApp{Spec: spec("hello")})); code(err) != deploy.CodeConflict {
		t.Errorf("a second app of the name: %v, want a conflict", err)
	}
	if _, err := h.Do(t.Context(), app, order("delete", deploy.DeleteApp{})); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Do(t.Context(), app, order("late", push("a", "1"))); code(err) != deploy.CodeNotFound {
		t.Errorf("a push to a deleted app: %v, want not found", err)
	}
	if res, err := h.Create(t.Context(), "hello", order("other", deploy.CreateApp{Spec: spec("hello")})); err != nil || res.App.ID == app {
		t.Errorf("the freed name: %v, app %s; want another app", err, res.App.ID)
	}
}

// Two apps of one name at once: the loser's batch is refused as a whole.
func TestCreateRace(t *testing.T) {
	log := memlog.New()
	one, two := deploy.NewHandler(log, nil), deploy.NewHandler(log, nil)
	log.BeforeNext(func() {
		if _, err := two.Create(context.Background(), "hello", order("two", deploy.CreateApp{Spec: spec("hello")})); err != nil {
			t.Error(err)
		}
	})
	_, err := one.Create(t.Context(), "hello", order("one", deploy.CreateApp{Spec: spec("hello")}))
	if code(err) != deploy.CodeConflict {
		t.Errorf("the slower of two: %v, want a conflict", err)
	}
	if n := len(log.All()); n != 2 {
		t.Errorf("%d events, want 2: the claimed name and the app", n)
	}
}

// A state in memory that another writer has overtaken must not lead to a refusal, nor to "nothing to do".
func TestStaleStateIsReadAgainBeforeARefusal(t *testing.T) {
	log := memlog.New()
	stale, fresh := deploy.NewHandler(log, nil), deploy.NewHandler(log, nil)
	app := create(t, stale)
	if _, err := fresh.Do(t.Context(), app, order("stop", deploy.StopApp{})); err != nil {
		t.Fatal(err)
	}
	if res, err := stale.Do(t.Context(), app, order("start", deploy.StartApp{})); err != nil || len(res.Recorded) != 1 {
		t.Errorf("start of an app that another stopped: %v, %d events; want 1", err, len(res.Recorded))
	}
	if _, err := fresh.Do(t.Context(), app, order("recv", push("a", "1"))); err != nil {
		t.Fatal(err)
	}
	judge := deploy.JudgePush{Push: "a#0", Resolved: events.Revision{Ref: events.Branch("main"), Commit: push("a", "1").Push.After}}
	if _, err := stale.Do(t.Context(), app, order("judge", judge)); err != nil {
		t.Fatal(err)
	}
	d := deploy.DeploymentID(app, "judge")
	if _, err := fresh.Do(t.Context(), app, order("cancel", deploy.Cancel{Deployment: d})); err != nil {
		t.Errorf("cancel of a deployment that another made: %v", err)
	}
}

func TestLostAnswers(t *testing.T) {
	for _, written := range []bool{true, false} {
		t.Run(fmt.Sprintf("written=%v", written), func(t *testing.T) {
			log := memlog.New()
			h := deploy.NewHandler(log, nil)
			app := create(t, h)
			log.FailNext(events.ErrUnavailable, written)
			if _, err := h.Do(t.Context(), app, order("push", push("a", "1"))); !errors.Is(err, events.ErrUnavailable) {
				t.Fatalf("got %v, want the log's error", err)
			}
			if _, err := h.Do(t.Context(), app, order("push", push("a", "1"))); err != nil {
				t.Fatal(err)
			}
			state, err := h.State(t.Context(), app)
			if err != nil || len(state.Pending) != 1 {
				t.Errorf("%v, %d pushes are pending; want 1", err, len(state.Pending))
			}
			if n := len(log.All()); n != 3 {
				t.Errorf("%d events, want 3", n)
			}
		})
	}
}

func TestAnEventFromTheFutureMakesTheAppReadOnly(t *testing.T) {
	log := memlog.New()
	h := deploy.NewHandler(log, nil)
	app := create(t, h)
	other, err := h.Create(t.Context(), "other", order("create2", deploy.CreateApp{Spec: spec("other")}))
	if err != nil {
		t.Fatal(err)
	}
	log.Forge(events.AppSubject(app), "AppTeleported", 1, events.ReaderVersion, []byte(`{}`))
	if _, err := h.Do(t.Context(), app, order("stop", deploy.StopApp{})); code(err) != deploy.CodeReadOnly {
		t.Errorf("got %v, want read-only", err)
	}
	if _, err := h.Do(t.Context(), other.App.ID, order("stop", deploy.StopApp{})); err != nil {
		t.Errorf("the other app: %v", err)
	}
}

func TestManyAtOnce(t *testing.T) {
	log := memlog.New()
	h := deploy.NewHandler(log, nil)
	app := create(t, h)
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			for range 2 { // every delivery twice
				id := fmt.Sprintf("d%d", i)
				if _, err := h.Do(context.Background(), app, order("git:"+id, push(id, "1"))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	state, err := h.State(t.Context(), app)
	if err != nil || len(state.Pending) != 64 {
		t.Errorf("%v, %d pushes are pending; want 64", err, len(state.Pending))
	}
}

// fold is a store of folded states, as the projection is.
type fold map[events.ID]deploy.App

func (f fold) State(id events.ID) (deploy.App, bool) { a, ok := f[id]; return a, ok }

func TestStoredStates(t *testing.T) {
	log := memlog.New()
	h := deploy.NewHandler(log, nil)
	app := create(t, h)
	behind, err := h.State(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Do(t.Context(), app, order("stop", deploy.StopApp{})); err != nil {
		t.Fatal(err)
	}
	foreign := behind.Clone()
	foreign.Head.Hash[0]++
	foreign.Name = "of another log"
	for name, stored := range map[string]deploy.App{"behind": behind, "foreign": foreign} {
		state, err := deploy.NewHandler(log, fold{app: stored.Clone()}).State(t.Context(), app)
		if err != nil || !state.Stopped || state.Name != "hello" {
			t.Errorf("from a stored state that is %s: %v, stopped %v, name %q", name, err, state.Stopped, state.Name)
		}
	}
}
