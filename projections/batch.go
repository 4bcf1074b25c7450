package projections

import (
	"fmt"

	bolt "go.etcd.io/bbolt"

	"shiplog/events"
	"shiplog/internal/deploy"
)

// projection is one read model. It lives for one batch and keeps what it notes in it.
type projection interface {
	// Apply adds an event. It is called once for every event, in log order.
	Apply(tx *bolt.Tx, r events.Recorded) error
}

// flusher is a projection that writes what it noted at the end of the batch.
type flusher interface{ Flush(tx *bolt.Tx) error }

// batch is one transaction under way. What it changes in memory is its own until the transaction is committed.
type batch struct {
	file    *file
	state   state
	apps    map[events.ID]*app
	heads   map[events.Subject]events.Head
	saveAll bool // store every fold that is newer than the stored one
}

// projections lists the read models. Those after folds see the state that the event led to.
func (b *batch) projections() []projection {
	deployments := deployments{b, map[*app]map[uint64]*deploy.Deployment{}}
	return []projection{
		heads{b}, raw{b}, folds{b}, &timeline{b, map[*app][]byte{}}, deployments, pushes{b},
		deliveries{b}, moments{b},
	}
}

// apply runs events through the projections. Events up to the checkpoint are skipped: they are projected already.
func (b *batch) apply(tx *bolt.Tx, list []events.Recorded) error {
	all := b.projections()
	for _, r := range list {
		at := b.state.At
		switch {
		case at.Sequence == 0:
			b.state.First = r.Hash
		case r.Position.Epoch != at.Epoch:
			return fmt.Errorf("event %s is of another epoch than %s before it: %w", r.Position, at, events.ErrConflict)
		case r.Position.Sequence <= at.Sequence:
			continue
		case r.Position.Sequence != at.Sequence+1:
			return fmt.Errorf("after event %s comes %s: what was between is lost: %w", at, r.Position, events.ErrCorrupt)
		}
		for _, p := range all {
			if err := p.Apply(tx, r); err != nil {
				return err
			}
		}
		b.state.At, b.state.Hash = r.Position, r.Hash
	}
	for _, p := range all {
		if f, ok := p.(flusher); ok {
			if err := f.Flush(tx); err != nil {
				return err
			}
		}
	}
	return b.state.put(tx)
}

// app returns the app of a subject, ready to be changed; nil when the subject is not an app's.
func (b *batch) app(subject events.Subject) *app {
	id, ok := subject.App()
	if !ok {
		return nil
	}
	if a := b.apps[id]; a != nil {
		return a
	}
	a := &app{id: id}
	if before := b.file.apps[id]; before != nil && b.file.private {
		a = before
	} else if before != nil {
		a = before.clone()
	}
	b.apps[id] = a
	return a
}

// changed returns the apps that the batch touches; with saveAll also those whose stored fold is old.
func (b *batch) changed() map[events.ID]*app {
	if b.saveAll {
		for id, a := range b.file.apps {
			if b.apps[id] == nil && a.unsaved > 0 {
				b.apps[id] = a.clone()
			}
		}
	}
	return b.apps
}

func (b *batch) head(subject events.Subject) events.Head {
	if h, ok := b.heads[subject]; ok {
		return h
	}
	return b.file.heads[subject]
}

// put writes a record, new or not. The payload's memory belongs to the transaction from then on.
func (b *batch) put(tx *bolt.Tx, t table, key, payload []byte) error {
	if old := tx.Bucket([]byte(bucketNames[t])).Get(key); old != nil {
		if _, err := opened(bucketNames[t], seeds[t], key, old); err != nil {
			return err
		}
		b.state.Seals[t].remove(old)
	}
	return b.add(tx, t, key, payload)
}

// add is put of a record that cannot be there yet.
func (b *batch) add(tx *bolt.Tx, t table, key, payload []byte) error {
	value := sealed(seeds[t], key, payload)
	b.state.Seals[t].add(value)
	bucket := tx.Bucket([]byte(bucketNames[t]))
	if t == eventsTable {
		bucket.FillPercent = 1 // keys only grow
	}
	return bucket.Put(key, value)
}
