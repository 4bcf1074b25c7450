package projections

import (
	"fmt"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"shiplog/events"
	"shiplog/internal/deploy"
)

// TestQueries compares every query with what the history itself says.
func TestQueries(t *testing.T) {
	all := write(30, 4000, 4)
	opts := quiet(filepath.Join(scratch(t), "projection.db"))
	log := newTape(all)
	log.show(2500)
	s := run(t, opts, log)
	s.until(2500)
	log.show(len(all))
	s.until(len(all))
	for range 2 { // once more after a restart
		compare(t, s.Store, all)
		s.halt()
		s = run(t, opts, log)
	}
}

func compare(t *testing.T, s *Store, all []events.Recorded) {
	t.Helper()
	states, last := map[events.ID]deploy.App{}, map[events.ID]map[events.ID]*deploy.Deployment{}
	timelines, order, pushes := map[events.ID][]events.ID{}, map[events.ID][]events.ID{}, map[events.ID][]Push{}
	for i, r := range all {
		id, ok := r.Subject.App()
		if !ok {
			continue
		}
		headers := r.Headers()
		r, err := events.Open(all[i].Position, r.Subject, func(n string) string { return headers[n] }, r.Body)
		if err != nil {
			t.Fatal(err)
		}
		states[id] = deploy.Evolve(states[id], r)
		timelines[id] = append(timelines[id], r.ID)
		if last[id] == nil {
			last[id] = map[events.ID]*deploy.Deployment{}
		}
		for dep, d := range states[id].Deployments {
			last[id][dep] = d // what the fold forgets stays as it was
		}
		switch e := r.Event.(type) {
		case events.DeploymentRequested:
			order[id] = append(order[id], e.Deployment)
		case events.PushReceived:
			pushes[id] = append(pushes[id], Push{PushReceived: e, Event: r.ID, Position: r.Position, At: r.At, Actor: r.Actor})
		case events.PushJudged:
			for i, p := range pushes[id] {
				if p.PushID() == e.PushID() {
					pushes[id][i].Judged, pushes[id][i].JudgedAt = &e, r.At
				}
			}
		}
	}
	forgotten := 0
	for id, want := range states {
		got, ok := s.State(id)
		if !ok || !reflect.DeepEqual(got, want.Clone()) {
			t.Fatalf("State(%s): %v\n%+v\nnot\n%+v", id, ok, got, want)
		}
		if named, ok := s.AppByName(want.Name); ok != want.Exists() || ok && named != id {
			t.Errorf("AppByName(%s) = %s, %v", want.Name, named, ok)
		}

		list, total, err := s.Timeline(id, 3, 1<<20)
		if err != nil || total != len(timelines[id]) || len(list) != total-3 {
			t.Fatalf("Timeline: %d of %d, want %d: %v", len(list), total, len(timelines[id]), err)
		}
		for i, r := range list {
			if want := timelines[id][total-1-3-i]; r.ID != want {
				t.Fatalf("Timeline[%d] is %s, not %s", i, r.ID, want)
			}
		}

		deps, total, err := s.Deployments(id, 0, 1<<20)
		if err != nil || total != len(order[id]) || len(deps) != total {
			t.Fatalf("Deployments: %d of %d, want %d: %v", len(deps), total, len(order[id]), err)
		}
		for i, d := range deps {
			want := *last[id][order[id][total-1-i]]
			if !reflect.DeepEqual(d, want) {
				t.Fatalf("deployment %d is\n%+v\nnot\n%+v", i, d, want)
			}
			if one, ok, err := s.Deployment(id, d.ID); err != nil || !ok || !reflect.DeepEqual(one, want) {
				t.Fatalf("Deployment(%s): %v, %v", d.ID, ok, err)
			}
		}
		forgotten += total - len(want.Deployments)

		releases, total, err := s.Releases(id, 0, 1<<20)
		if err != nil || total != len(want.Releases) || total > 0 && releases[0].Number != total {
			t.Fatalf("Releases: %d of %d: %v", len(releases), total, err)
		}

		got2, total, err := s.Pushes(id, 0, 1<<20)
		if err != nil || total != len(pushes[id]) || len(got2) != total {
			t.Fatalf("Pushes: %d of %d, want %d: %v", len(got2), total, len(pushes[id]), err)
		}
		for i, p := range got2 {
			if want := pushes[id][total-1-i]; !reflect.DeepEqual(p, want) {
				t.Fatalf("push %d is\n%+v\nnot\n%+v", i, p, want)
			}
			refs, ok, err := s.Delivery(p.Provider, p.Delivery)
			if err != nil || !ok || len(refs) != 1 || refs[0] != (PushRef{id, p.Event, p.Position, p.Change, p.At}) {
				t.Fatalf("Delivery(%s): %+v, %v, %v", p.Delivery, refs, ok, err)
			}
		}
	}
	if forgotten == 0 {
		t.Error("no fold forgot a deployment: the history is too short to show that the projection keeps them")
	}
	if _, ok, err := s.Delivery("gitlab", "app-30-000-0"); ok || err != nil {
		t.Errorf("a delivery of another provider: %v, %v", ok, err)
	}
	if _, ok, err := s.Deployment(all[1].Meta.ID, all[1].Meta.ID); ok || err != nil {
		t.Errorf("a deployment of no app: %v, %v", ok, err)
	}
	if list, total, err := s.Timeline("nobody", 0, 10); list != nil || total != 0 || err != nil {
		t.Errorf("a timeline of no app: %v, %d, %v", list, total, err)
	}
}

func TestPaging(t *testing.T) {
	all := write(31, 1000, 3)
	s := run(t, quiet(filepath.Join(scratch(t), "projection.db")), newTape(all))
	s.until(len(all))
	apps, total, err := s.Apps(0, 10)
	if err != nil || total != 3 || len(apps) != 3 || apps[0].Name >= apps[1].Name {
		t.Fatal(len(apps), total, err)
	}
	id := apps[0].ID
	whole, total, err := s.Timeline(id, 0, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ offset, limit, from, to int }{
		{0, 1, 0, 1}, {0, 0, 0, 0}, {0, -1, 0, 0}, {-5, 2, 0, 2}, {5, 7, 5, 12}, {120, 20, 120, 140}, {total - 1, 5, total - 1, total},
		{total, 5, 0, 0}, {total + 9, 5, 0, 0}, {1 << 62, 1 << 62, 0, 0},
	} {
		got, n, err := s.Timeline(id, c.offset, c.limit)
		if err != nil || n != total || len(got) != c.to-c.from {
			t.Fatalf("Timeline(%d, %d): %d of %d: %v", c.offset, c.limit, len(got), n, err)
		}
		for i := range got {
			if got[i].ID != whole[c.from+i].ID {
				t.Errorf("Timeline(%d, %d)[%d] is another event", c.offset, c.limit, i)
			}
		}
		if list, n, err := s.Deployments(id, c.offset, c.limit); err != nil || len(list) > max(0, c.limit) || n == 0 {
			t.Errorf("Deployments(%d, %d): %d of %d: %v", c.offset, c.limit, len(list), n, err)
		}
		if list, n, err := s.Apps(c.offset, c.limit); err != nil || n != 3 || len(list) > max(0, c.limit) {
			t.Errorf("Apps(%d, %d): %d of %d: %v", c.offset, c.limit, len(list), n, err)
		}
	}
}

// TestAt follows one app through its life.
func TestAt(t *testing.T) {
	a := &author{now: start, heads: map[events.Subject]events.Head{}}
	a.rng = newRand(1)
	l := a.create("hello")
	subject := events.AppSubject(l.id)
	add := func(minute int, deployment events.ID, actor events.Actor, e events.Event) {
		t.Helper()
		r, err := events.Seal(subject, a.heads[subject].Hash, events.Draft{
			ID: events.NamedID("at", fmt.Sprint(len(a.all))), At: start.Add(time.Duration(minute) * time.Minute), Actor: actor,
			Deployment: deployment, Event: e,
		})
		if err != nil {
			t.Fatal(err)
		}
		r.Position = events.Position{Epoch: 1, Sequence: uint64(len(a.all) + 1)}
		a.all, a.heads[subject] = append(a.all, r), r.Head()
	}
	release := func(minute, generation, number int, intent events.Intent) events.ID {
		id := events.NamedID("d", fmt.Sprint(generation))
		w := events.Work{Deployment: id, Generation: uint64(generation)}
		target := map[string]events.Target{"web": {Digest: digestOf(max(number, 1))}}
		want := target
		if intent == events.IntentRestart {
			want = nil
		}
		add(minute-2, id, "token:ann", events.DeploymentRequested{Work: w, Intent: intent, Want: want, SpecHash: l.spec.Hash()})
		add(minute-1, id, "shiplog", events.RolloutStarted{Work: w, Attempt: 1, Have: target})
		add(minute, id, "shiplog", events.Released{Work: w, Number: number, SpecHash: l.spec.Hash(), Have: target})
		return id
	}
	first := release(10, 1, 1, events.IntentCreate)
	second := release(20, 2, 2, events.IntentPush)
	add(30, "", "token:bob", events.Pinned{Kind: events.RefRelease, Ref: "1", Reason: "slow", Resolved: map[string]events.Target{"web": {Digest: digestOf(1)}}})
	add(40, "", "token:bob", events.Unpinned{Why: events.UnpinCommit})
	add(50, "", "token:bob", events.AppStopped{})
	add(60, "", "token:bob", events.AppStarted{})
	third := release(70, 3, 0, events.IntentRestart)
	fourth := release(65, 4, 3, events.IntentPush) // the clock went back: it still comes after what is before it in the log
	add(90, "", "token:bob", events.AppDeleted{})

	s := run(t, quiet(filepath.Join(scratch(t), "projection.db")), newTape(a.all))
	s.until(len(a.all))
	for _, c := range []struct {
		minute     float64
		ok         bool
		release    int
		deployment events.ID
		pinned     string
		stopped    bool
		since      int
	}{
		{-100, false, 0, "", "", false, 0}, {9.99, false, 0, "", "", false, 0},
		{10, true, 1, first, "", false, 10}, {19.99, true, 1, first, "", false, 10},
		{20, true, 2, second, "", false, 20}, {30, true, 2, second, "slow", false, 20}, {39, true, 2, second, "slow", false, 20},
		{41, true, 2, second, "", false, 20}, {55, true, 2, second, "", true, 20}, {61, true, 2, second, "", false, 20},
		{69, true, 2, second, "", false, 20}, {69.99, true, 2, second, "", false, 20}, {75, true, 3, fourth, "", false, 65},
		{90, false, 0, "", "", false, 0}, {1e6, false, 0, "", "", false, 0},
	} {
		at, ok, err := s.At(l.id, start.Add(time.Duration(c.minute*float64(time.Minute))))
		if err != nil || ok != c.ok {
			t.Fatalf("At(%v): %v, %v", c.minute, ok, err)
		}
		if !ok {
			continue
		}
		reason := ""
		if at.Pin != nil {
			reason = at.Pin.Reason
		}
		if at.Release != c.release || at.Deployment != c.deployment || reason != c.pinned || at.Stopped != c.stopped ||
			!at.Since.Equal(start.Add(time.Duration(c.since)*time.Minute)) || at.Actor != "token:ann" ||
			!reflect.DeepEqual(at.Spec, l.spec) || len(at.Have) != 1 {
			t.Errorf("At(%v) = %+v", c.minute, at)
		}
	}
	_ = third
	if _, ok, err := s.At("nobody", start); ok || err != nil {
		t.Errorf("At of no app: %v, %v", ok, err)
	}
}
