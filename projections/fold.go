package projections

import (
	"encoding/json"
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"

	"shiplog/events"
	"shiplog/internal/deploy"
)

// app is what is kept in memory of one app, as of a commit. A published one is never changed: a batch works on a copy.
type app struct {
	id    events.ID
	state deploy.App

	// Lengths of the app's lists in the file.
	events, deployments, pushes uint64

	open    []openDeployment // those that were not over after the last event
	moment  moment           // what runs; its time is zero when nothing ever ran
	stored  int              // bytes of the fold in the file; 0 when there is none
	unsaved int              // bytes of events folded since it was stored
}

func (a *app) clone() *app {
	c := *a
	c.state, c.open = a.state.Clone(), slices.Clone(a.open)
	for i, o := range c.open {
		if d := c.state.Deployments[o.d.ID]; d != nil {
			c.open[i].d = d
		}
	}
	return &c
}

// storedFold is a record of foldsTable.
type storedFold struct {
	ID       events.ID  `json:"id"`
	Sequence uint64     `json:"sequence"` // of the last event folded in
	State    deploy.App `json:"state"`
}

// storeFactor says how seldom a fold is stored: once the events since weigh so many times what it weighs. So the cost
// of an event does not grow with the state, and a start replays at most that many times what it reads anyway.
const storeFactor = 4

// folds keeps the folded state of every app.
type folds struct{ b *batch }

// Apply folds an event into its app's state.
func (p folds) Apply(tx *bolt.Tx, r events.Recorded) error {
	a := p.b.app(r.Subject)
	if a == nil {
		return nil
	}
	a.state = foldSafely(p.b.file.fold, a.state, r)
	a.unsaved += 256 + len(r.Body)
	return nil
}

// Flush stores the states whose turn it is; with p.b.saveAll those of all apps that changed since.
func (p folds) Flush(tx *bolt.Tx) error {
	for _, a := range p.b.changed() {
		due := a.unsaved > storeFactor*a.stored && !p.b.file.private
		if a.unsaved == 0 || !due && !p.b.saveAll {
			continue
		}
		payload, err := json.Marshal(storedFold{a.id, p.b.state.At.Sequence, a.state})
		if err != nil {
			return fmt.Errorf("store the state of app %s: %w", a.id, err)
		}
		a.stored, a.unsaved = len(payload), 0
		if err := p.b.put(tx, foldsTable, idKey(a.id), payload); err != nil {
			return err
		}
	}
	return nil
}

// foldSafely folds an event. A fold that panics is a bug of ours that a rebuild would only repeat: it makes that one app
// read-only, and the service stays up.
func foldSafely(fold Fold, a deploy.App, r events.Recorded) (next deploy.App) {
	defer func() {
		if p := recover(); p != nil {
			next = a
			next.Head, next.Updated = r.Head(), r.At
			next.ReadOnly = fmt.Sprintf("event %s of type %s cannot be folded: %v", r.Position, r.Type, p)
		}
	}()
	return fold(a, r)
}
