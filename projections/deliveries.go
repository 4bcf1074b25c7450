package projections

import (
	"bytes"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"

	"shiplog/events"
)

// PushRef is where a delivery led to.
type PushRef struct {
	App      events.ID
	Event    events.ID // id of the PushReceived event
	Position events.Position
	Change   int // index among the refs of the delivery
	At       time.Time
}

// deliveries knows every delivery that led to a push by its provider and id, so that one that comes again is answered
// as the duplicate it is. Ids are kept as long as the events are: for ever, which is more than the 7 days promised.
type deliveries struct{ b *batch }

// Apply adds the delivery of a push.
func (p deliveries) Apply(tx *bolt.Tx, r events.Recorded) error {
	e, ok := r.Event.(events.PushReceived)
	if !ok || p.b.app(r.Subject) == nil {
		return nil
	}
	key := append(textKey(e.Provider, e.Delivery), number(r.Position.Sequence)...)
	return p.b.add(tx, deliveriesTable, key, nil)
}

// Delivery returns the pushes that a delivery led to, in any app, oldest first; ok is false when it is not known.
func (s *Store) Delivery(provider, id string) (refs []PushRef, ok bool, err error) {
	prefix := textKey(provider, id)
	err = s.view("", func(v view) error {
		c := v.tx.Bucket([]byte(bucketNames[deliveriesTable])).Cursor()
		for key, value := c.Seek(prefix); bytes.HasPrefix(key, prefix); key, value = c.Next() {
			if _, err := opened(bucketNames[deliveriesTable], seeds[deliveriesTable], key, value); err != nil {
				return err
			}
			r, err := readEvent(v.tx, v.epoch, lastNumber(key))
			if err != nil {
				return err
			}
			app, _ := r.Subject.App()
			push, ok := r.Event.(events.PushReceived)
			if !ok {
				return fmt.Errorf("event %s is not a push", r.Position)
			}
			refs = append(refs, PushRef{app, r.ID, r.Position, push.Change, r.At})
		}
		return nil
	})
	return refs, len(refs) > 0 && err == nil, err
}
