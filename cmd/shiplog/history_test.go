package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
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

// sound checks what must hold of every history, whatever happened to the service that wrote it.
func (l *logged) sound(t *testing.T) {
	t.Helper()
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
				t.Errorf("the delivery %s is in the log twice", x.PushID())
			}
		case events.DeploymentRequested:
			if x.Push != "" {
				if requested[key{app, x.Push}]++; requested[key{app, x.Push}] > 1 {
					t.Errorf("the push %s led to two deployments", x.Push)
				}
			}
			if x.Generation != generations[app]+1 {
				t.Errorf("event %s: generation %d follows generation %d", e.Position, x.Generation, generations[app])
			}
			generations[app] = x.Generation
		}
	}
	for id, a := range l.apps {
		for i, r := range a.Releases {
			if r.Number != i+1 {
				t.Errorf("app %s: release %d has the number %d", id, i+1, r.Number)
			}
		}
	}
}
