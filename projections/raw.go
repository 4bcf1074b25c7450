package projections

import (
	bolt "go.etcd.io/bbolt"

	"shiplog/events"
)

// raw keeps every event wholly, known or not, in log order.
type raw struct{ b *batch }

// Apply stores the event.
func (p raw) Apply(tx *bolt.Tx, r events.Recorded) error {
	return p.b.add(tx, eventsTable, number(r.Position.Sequence), encodeEvent(r))
}

// readEvent returns a stored event.
func readEvent(tx *bolt.Tx, epoch, sequence uint64) (events.Recorded, error) {
	payload, err := must(tx, eventsTable, number(sequence))
	if err != nil {
		return events.Recorded{}, err
	}
	return decodeEvent(events.Position{Epoch: epoch, Sequence: sequence}, payload)
}
