package projections

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	bolt "go.etcd.io/bbolt"

	"shiplog/events"
	"shiplog/internal/deploy"
)

// At is what an app ran at some time.
type At struct {
	Release    int                      // its number; a restart has that of the release it restarted
	Deployment events.ID                // the one that served
	Have       map[string]events.Target // by component
	SpecHash   events.SpecHash
	Spec       events.Spec           // the configuration it ran with
	Pin        *deploy.Pin           // the app's pin, or its only one; nil when it was not pinned
	Pins       map[string]deploy.Pin // by component, "" is the app's
	Actor      events.Actor          // who asked for the deployment
	Since      time.Time             // when the deployment went live
	Stopped    bool                  // it was stopped: nothing ran, and this is what would have
}

// moment is a record of momentsTable: what runs from At on.
type moment struct {
	At         time.Time                `json:"at"` // never before the moment before it, whatever the clock did
	Release    int                      `json:"release"`
	Deployment events.ID                `json:"deployment"` // empty: nothing ran
	Have       map[string]events.Target `json:"have"`
	SpecHash   events.SpecHash          `json:"spec_hash"`
	Pins       map[string]deploy.Pin    `json:"pins,omitempty"`
	Actor      events.Actor             `json:"actor"`
	Since      time.Time                `json:"since"`
	Stopped    bool                     `json:"stopped,omitempty"`
}

// moments keeps what ran when.
type moments struct{ b *batch }

// Apply adds a moment where an event changes what runs, or the pins. It runs after the fold.
func (p moments) Apply(tx *bolt.Tx, r events.Recorded) error {
	a := p.b.app(r.Subject)
	if a == nil {
		return nil
	}
	m := a.moment
	switch e := r.Event.(type) {
	case events.Released:
		m.Deployment, m.Have, m.SpecHash, m.Since = e.Deployment, e.Have, e.SpecHash, r.At
		if e.Number == 0 { // a restart, perhaps of some components only
			m.Have = map[string]events.Target{}
			maps.Copy(m.Have, a.moment.Have)
			maps.Copy(m.Have, e.Have)
		}
		if e.Number > 0 {
			m.Release = e.Number
		}
		m.Actor = r.Actor
		if d := a.state.Deployments[e.Deployment]; d != nil {
			m.Actor = d.Actor
		}
	case events.AppDeleted:
		m = moment{}
	case events.AppStopped, events.AppStarted, events.Pinned, events.Unpinned, events.SpecChanged:
		if m.Deployment == "" {
			return nil
		}
	default:
		return nil
	}
	if m.Deployment != "" {
		m.Stopped, m.Pins = a.state.Stopped, maps.Clone(a.state.Pins)
	}
	m.At = r.At
	if m.At.Before(a.moment.At) {
		m.At = a.moment.At
	}
	a.moment = m
	payload, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("store what app %s runs: %w", a.id, err)
	}
	key := append(appKey(a.id, timeNumber(m.At)), number(r.Position.Sequence)...)
	return p.b.add(tx, momentsTable, key, payload)
}

// lastMoment returns what an app ran at a time, or the zero moment.
func lastMoment(tx *bolt.Tx, app events.ID, at time.Time) (m moment, err error) {
	prefix := idKey(app)
	c := tx.Bucket([]byte(bucketNames[momentsTable])).Cursor()
	before := c.Prev
	if key, _ := c.Seek(append(appKey(app, timeNumber(at)), number(^uint64(0))...)); key == nil {
		before = c.Last
	}
	key, value := before()
	if !bytes.HasPrefix(key, prefix) {
		return m, nil
	}
	payload, err := opened(bucketNames[momentsTable], seeds[momentsTable], key, value)
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(payload, &m); err != nil {
		return m, fmt.Errorf("read what app %s ran: %w", app, err)
	}
	return m, nil
}

// At returns what an app ran at a time; ok is false when it did not run then: not deployed yet, or deleted.
func (s *Store) At(app events.ID, t time.Time) (at At, ok bool, err error) {
	err = s.view(app, func(v view) error {
		m, err := lastMoment(v.tx, app, t)
		if err != nil || m.Deployment == "" {
			return err
		}
		ok = true
		at = At{
			Release: m.Release, Deployment: m.Deployment, Have: m.Have, SpecHash: m.SpecHash, Spec: v.app.state.Specs[m.SpecHash],
			Pins: m.Pins, Actor: m.Actor, Since: m.Since, Stopped: m.Stopped,
		}
		if pin, all := m.Pins[""]; all {
			at.Pin = &pin
		} else if len(m.Pins) == 1 {
			for _, pin := range m.Pins {
				at.Pin = &pin
			}
		}
		return nil
	})
	return at, ok, err
}
