package projections

import (
	"encoding/json"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"shiplog/events"
)

// heads keeps the last event of every subject, and refuses an event that does not follow it.
type heads struct{ b *batch }

// Apply checks the chain and moves the subject's head.
func (p heads) Apply(tx *bolt.Tx, r events.Recorded) error {
	if head := p.b.head(r.Subject); r.Prev != head.Hash {
		return fmt.Errorf("event %s on %s follows %q, but the event before it is %s with hash %q: %w",
			r.Position, r.Subject, r.Prev, head.Position, head.Hash, events.ErrCorrupt)
	}
	p.b.heads[r.Subject] = r.Head()
	return nil
}

// Flush stores the heads that moved.
func (p heads) Flush(tx *bolt.Tx) error {
	for subject, head := range p.b.heads {
		payload, err := json.Marshal(head)
		if err != nil {
			return err
		}
		if err := p.b.put(tx, headsTable, []byte(subject), payload); err != nil {
			return err
		}
	}
	return nil
}
