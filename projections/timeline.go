package projections

import (
	"encoding/binary"
	"slices"

	bolt "go.etcd.io/bbolt"

	"shiplog/events"
)

// blockSize is how many sequences a record of the timeline holds.
const blockSize = 128

// timeline lists the events of each app. It writes each app's share of a batch at once.
type timeline struct {
	b     *batch
	fresh map[*app][]byte // sequences of this batch
}

// Apply notes the event.
func (p timeline) Apply(tx *bolt.Tx, r events.Recorded) error {
	if a := p.b.app(r.Subject); a != nil {
		p.fresh[a] = binary.BigEndian.AppendUint64(p.fresh[a], r.Position.Sequence)
	}
	return nil
}

// Flush appends what was noted to the last blocks.
func (p timeline) Flush(tx *bolt.Tx) error {
	for _, a := range p.b.changed() {
		more := p.fresh[a]
		for len(more) > 0 {
			key := appKey(a.id, a.events/blockSize)
			block, err := get(tx, timelineTable, key)
			if err != nil {
				return err
			}
			n := min(len(more), int(blockSize-a.events%blockSize)*8)
			block = append(slices.Clip(block), more[:n]...)
			if err := p.b.put(tx, timelineTable, key, block); err != nil {
				return err
			}
			more, a.events = more[n:], a.events+uint64(n/8)
		}
	}
	return nil
}

// sequenceAt returns the sequence of an app's nth event, from 0.
func sequenceAt(tx *bolt.Tx, id events.ID, n uint64) (uint64, error) {
	block, err := must(tx, timelineTable, appKey(id, n/blockSize))
	if err != nil {
		return 0, err
	}
	at := int(n%blockSize) * 8
	if at+8 > len(block) {
		return 0, damagef("the timeline of app %s ends before event %d", id, n)
	}
	return binary.BigEndian.Uint64(block[at:]), nil
}

// Timeline returns an app's events, newest first, and how many there are.
func (s *Store) Timeline(app events.ID, offset, limit int) (list []events.Recorded, total int, err error) {
	err = s.view(app, func(v view) error {
		total = int(v.app.events)
		for n := range newestFirst(v.app.events, offset, limit) {
			sequence, err := sequenceAt(v.tx, app, n)
			if err != nil {
				return err
			}
			r, err := readEvent(v.tx, v.epoch, sequence)
			if err != nil {
				return err
			}
			list = append(list, r)
		}
		return nil
	})
	return list, total, err
}
