package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"shiplog/events"
	"shiplog/internal/deploy"
	"shiplog/internal/natslog"
)

// logged is the whole log, and what it folds to: read and folded by the test itself, from the stream's files, without
// the service and without its projection.
type logged struct {
	events      []events.Recorded
	apps        map[events.ID]deploy.App
	deployments map[events.ID]map[events.ID]json.RawMessage // by app: every deployment there was, as it was last
	order       map[events.ID][]events.ID                   // by app: deployments in the order of asking
}

// logged reads the log of a service that does not run. Sequences must have no gap and every event must follow the one
// before it on its subject.
func (s *site) logged() *logged {
	s.t.Helper()
	if s.cmd.ProcessState == nil {
		s.t.Fatal("the log's files belong to the running service: stop it first")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	server, err := natslog.Start(natslog.ServerOptions{Dir: filepath.Join(s.dir, "nats")})
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() {
		if err := server.Close(ctx); err != nil {
			s.t.Error(err)
		}
	}()
	log, err := natslog.Open(ctx, server.Conn(), natslog.Options{})
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	var all []events.Recorded
	for e, err := range log.Replay(ctx, events.Position{}) {
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, e)
	}
	if err := contiguous(all); err != nil {
		s.t.Fatal(err)
	}
	return fold(all)
}

// contiguous checks the order and the chains of a log.
func contiguous(all []events.Recorded) error {
	heads, ids := map[events.Subject]events.Hash{}, map[events.ID]events.Position{}
	for i, e := range all {
		if e.Position.Sequence != uint64(i+1) {
			return fmt.Errorf("event %d of the log is at %s", i+1, e.Position)
		}
		if e.Prev != heads[e.Subject] {
			return fmt.Errorf("event %s does not follow the one before it on %s", e.Position, e.Subject)
		}
		if at, twice := ids[e.ID]; twice {
			return fmt.Errorf("events %s and %s have one id", at, e.Position)
		}
		heads[e.Subject], ids[e.ID] = e.Hash, e.Position
	}
	return nil
}

// fold evolves every app from nothing.
func fold(all []events.Recorded) *logged {
	l := &logged{
		events: all, apps: map[events.ID]deploy.App{}, deployments: map[events.ID]map[events.ID]json.RawMessage{},
		order: map[events.ID][]events.ID{},
	}
	for _, e := range all {
		id, ok := e.Subject.App()
		if !ok {
			continue
		}
		a := deploy.Evolve(l.apps[id], e)
		l.apps[id] = a
		if l.deployments[id] == nil {
			l.deployments[id] = map[events.ID]json.RawMessage{}
		}
		for d, state := range a.Deployments {
			if l.deployments[id][d] == nil {
				l.order[id] = append(l.order[id], d)
			}
			l.deployments[id][d], _ = json.Marshal(state)
		}
	}
	return l
}

// app returns the id and the state of an app.
func (l *logged) app(t *testing.T, name string) deploy.App {
	t.Helper()
	for _, a := range l.apps {
		if a.Name == name && !a.Deleted {
			return a
		}
	}
	t.Fatalf("the log knows no app %s", name)
	return deploy.App{}
}

// of lists an app's events of one type.
func of[E events.Event](l *logged, app events.ID) (list []E) {
	for _, e := range l.events {
		if id, ok := e.Subject.App(); ok && id == app {
			if is, ok := e.Event.(E); ok {
				list = append(list, is)
			}
		}
	}
	return list
}

// wrong lists what must not be in any history, whatever happened to the service that wrote it: a delivery recorded or
// deployed twice, a generation that does not rise by one, a release out of row.
func (l *logged) wrong() (found []string) {
	add := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	type key struct {
		app events.ID
		id  string
	}
	pushes, requested := map[key]int{}, map[key]int{}
	generations := map[events.ID]uint64{}
	for _, e := range l.events {
		app, _ := e.Subject.App()
		switch x := e.Event.(type) {
		case events.PushReceived:
			if pushes[key{app, x.PushID()}]++; pushes[key{app, x.PushID()}] > 1 {
				add("the delivery %s is in the log twice", x.PushID())
			}
		case events.DeploymentRequested:
			if x.Push != "" {
				if requested[key{app, x.Push}]++; requested[key{app, x.Push}] > 1 {
					add("the push %s led to two deployments", x.Push)
				}
			}
			if x.Generation != generations[app]+1 {
				add("event %s: generation %d follows generation %d", e.Position, x.Generation, generations[app])
			}
			generations[app] = x.Generation
		}
	}
	for id, a := range l.apps {
		for i, r := range a.Releases {
			if r.Number != i+1 {
				add("app %s: release %d has the number %d", id, i+1, r.Number)
			}
		}
	}
	return found
}

// sound fails the test for each of these.
func (l *logged) sound(t *testing.T) {
	t.Helper()
	for _, w := range l.wrong() {
		t.Error(w)
	}
}

// What checks a history must find what is wrong with one.
func TestWhatChecksAHistoryCanFail(t *testing.T) {
	subject := events.AppSubject("8aaa78ae-7930-5251-8f86-9165667eec87")
	app, _ := subject.App()
	made := func(list ...events.Event) (all []events.Recorded) {
		var prev events.Hash
		for i, e := range list {
			r, err := events.Seal(subject, prev, events.Draft{ID: events.NewID(), At: time.Now(), Actor: "token:admin", Cause: fmt.Sprint("c", i), Event: e})
			if err != nil {
				t.Fatal(err)
			}
			r.Position = events.Position{Epoch: 1, Sequence: uint64(i + 1)}
			all, prev = append(all, r), r.Hash
		}
		return all
	}
	commit := events.Commit(strings.Repeat("a", 40))
	created := events.AppCreated{Name: "hello", Spec: events.Spec{Name: "hello"}}
	push := events.PushReceived{Provider: "git", Delivery: "d1", Repository: "r", Ref: "refs/heads/main", After: commit}
	asked := func(generation uint64, of string) events.Event {
		return events.DeploymentRequested{Work: events.Work{Deployment: events.NewID(), Generation: generation}, Intent: events.IntentPush, Push: of}
	}
	good := made(created, push, asked(1, "d1#0"), asked(2, ""))
	if err := contiguous(good); err != nil || len(fold(good).wrong()) > 0 {
		t.Errorf("a good history: %v, %q", err, fold(good).wrong())
	}
	gap, swapped := append(slices.Clone(good[:1]), good[2:]...), slices.Clone(good)
	swapped[2], swapped[3] = swapped[3], swapped[2]
	swapped[2].Position, swapped[3].Position = good[2].Position, good[3].Position
	for what, all := range map[string][]events.Recorded{"an event is missing": gap, "two are swapped": swapped} {
		if contiguous(all) == nil {
			t.Errorf("%s, and it was not found", what)
		}
	}
	for what, all := range map[string][]events.Recorded{
		"a push twice": made(created, push, push), "one push, two deployments": made(created, push, asked(1, "d1#0"), asked(2, "d1#0")),
		"a generation twice": made(created, asked(1, ""), asked(1, "")),
	} {
		if len(fold(all).wrong()) == 0 {
			t.Errorf("%s, and it was not found", what)
		}
	}
	order := command{what: "pin", method: "POST", path: "/x", key: "k"}
	for _, c := range []struct {
		accepted []pushed
		commands []command
		want     int
	}{
		{[]pushed{{"refs/heads/main", string(commit)}}, nil, 0},
		{[]pushed{{"refs/heads/side", string(commit)}}, nil, 1},
		{[]pushed{{"refs/heads/main", strings.Repeat("b", 40)}}, nil, 1},
		{nil, []command{order}, 1},
	} {
		tr := traffic{accepted: c.accepted, commands: c.commands}
		if got, _ := tr.missing(fold(good), app); len(got) != c.want {
			t.Errorf("accepted %v, acknowledged %v: found %q, want %d", c.accepted, c.commands, got, c.want)
		}
	}
	tr := traffic{accepted: []pushed{{"refs/heads/main", string(commit)}}}
	if got, _ := tr.missing(fold(made(created, push, push)), app); len(got) != 1 {
		t.Errorf("an accepted push that is in the log twice: found %q", got)
	}
}
