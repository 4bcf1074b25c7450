package projections

import (
	"encoding/binary"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"

	"shiplog/events"
)

// Push is a push that an app received, and what became of it.
type Push struct {
	events.PushReceived
	Event    events.ID          // id of the PushReceived event
	Position events.Position    // of the PushReceived event
	At       time.Time          // when it was received
	Actor    events.Actor       // who sent it
	Judged   *events.PushJudged // its verdict; nil until there is one
	JudgedAt time.Time          // zero until then
}

// pushes lists each app's pushes. A record holds no more than where the two events are.
type pushes struct{ b *batch }

// Apply adds a push, or its verdict.
func (p pushes) Apply(tx *bolt.Tx, r events.Recorded) error {
	a := p.b.app(r.Subject)
	if a == nil {
		return nil
	}
	switch e := r.Event.(type) {
	case events.PushReceived:
		ordinal := number(a.pushes)
		if err := p.b.put(tx, pushIDsTable, pushKey(a.id, e.PushID()), ordinal); err != nil {
			return err
		}
		a.pushes++
		return p.b.add(tx, pushesTable, append(idKey(a.id), ordinal...), append(number(r.Position.Sequence), number(0)...))
	case events.PushJudged:
		ordinal, err := get(tx, pushIDsTable, pushKey(a.id, e.PushID()))
		if err != nil || ordinal == nil { // judged, but never received: nothing to show it with
			return err
		}
		key := append(idKey(a.id), ordinal...)
		received, err := must(tx, pushesTable, key)
		if err != nil {
			return err
		}
		return p.b.put(tx, pushesTable, key, append(append(make([]byte, 0, 20), received[:8]...), number(r.Position.Sequence)...))
	}
	return nil
}

func pushKey(app events.ID, push string) []byte { return append(idKey(app), textKey(push)...) }

// Pushes returns an app's pushes with their verdicts, newest first, and how many there are.
func (s *Store) Pushes(app events.ID, offset, limit int) (list []Push, total int, err error) {
	err = s.view(app, func(v view) error {
		total = int(v.app.pushes)
		for n := range newestFirst(v.app.pushes, offset, limit) {
			p, err := v.push(n)
			if err != nil {
				return err
			}
			list = append(list, p)
		}
		return nil
	})
	return list, total, err
}

func (v view) push(ordinal uint64) (p Push, err error) {
	at, err := must(v.tx, pushesTable, appKey(v.app.id, ordinal))
	if err != nil {
		return p, err
	}
	r, err := readEvent(v.tx, v.epoch, binary.BigEndian.Uint64(at))
	if err != nil {
		return p, err
	}
	received, ok := r.Event.(events.PushReceived)
	if !ok {
		return p, fmt.Errorf("event %s is not a push", r.Position)
	}
	p = Push{PushReceived: received, Event: r.ID, Position: r.Position, At: r.At, Actor: r.Actor}
	judged := binary.BigEndian.Uint64(at[8:])
	if judged == 0 {
		return p, nil
	}
	if r, err = readEvent(v.tx, v.epoch, judged); err != nil {
		return p, err
	}
	if e, ok := r.Event.(events.PushJudged); ok {
		p.Judged, p.JudgedAt = &e, r.At
	}
	return p, nil
}
