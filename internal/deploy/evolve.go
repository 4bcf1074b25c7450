package deploy

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"shiplog/events"
)

// keepRecent is how many event ids an App remembers to know an order that is given twice. Clients retry within 35 s.
const keepRecent = 128

// Evolve returns the app after an event. It consumes a: its maps are changed in place (use [App.Clone] to keep one).
// It never fails: an event that is not understood makes the app read-only.
func Evolve(a App, r events.Recorded) App {
	if a.ID == "" {
		a = begin(r)
	}
	a.Head, a.Updated = r.Head(), r.At
	a.Recent = append(a.Recent, r.ID)
	if len(a.Recent) > 2*keepRecent {
		a.Recent = slices.Clone(a.Recent[len(a.Recent)-keepRecent:])
	}
	switch e := r.Event.(type) {
	case events.AppCreated:
		a.Name, a.Created = e.Name, r.At
		a.setSpec(e.Spec)
	case events.SpecChanged:
		a.setSpec(e.Spec)
		a.drop(e.Spec)
	case events.AppStopped:
		a.Stopped = true
	case events.AppStarted:
		a.Stopped = false
	case events.AppDeleted:
		a.Deleted = true
	case events.PushReceived:
		a.received(e, r)
	case events.PushJudged:
		a.judged(e, r.At)
	case events.Pinned:
		a.pinned(e, r)
	case events.Unpinned:
		a.unpinned(e)
	case events.Quarantined:
		a.quarantine(e)
	case events.Unquarantined:
		delete(a.Quarantined, string(e.Commit)+string(e.Digest))
	case events.ImageRemoved:
		a.Images[e.Component] = slices.DeleteFunc(a.Images[e.Component], func(i Image) bool { return i.Digest == e.Digest })
	case events.Unknown:
		a.ReadOnly = fmt.Sprintf("event %s of type %s: %s", r.Position, e.Type, e.Why)
	default:
		a.work(r)
	}
	return a
}

func begin(r events.Recorded) App {
	id, _ := r.Subject.App()
	return App{
		ID: id, Specs: map[events.SpecHash]events.Spec{}, Want: map[string]events.Target{}, Pins: map[string]Pin{},
		Held: map[string]Held{}, Seen: map[string]Seen{}, Received: map[string]events.Commit{}, Pending: map[string]PendingPush{},
		Deliveries: map[string]time.Time{}, Quarantined: map[string]string{}, Deployments: map[events.ID]*Deployment{},
		Serving: map[string]Serving{}, Images: map[string][]Image{},
	}
}

// setSpec puts a spec in force and forgets what no longer has a component. What is held stays: a component that a rollback
// takes away comes back at unpin.
func (a *App) setSpec(s events.Spec) {
	a.Spec = s
	a.Specs[s.Hash()] = s
	gone := func(name string) bool { _, ok := s.Component(name); return name != "" && !ok }
	maps.DeleteFunc(a.Want, func(c string, _ events.Target) bool { return gone(c) })
	maps.DeleteFunc(a.Pins, func(c string, _ Pin) bool { return gone(c) })
}

// drop forgets of the pins, and of what they hold, the components that a person took out of the spec. One of that name that
// is added later is another.
func (a *App) drop(s events.Spec) {
	gone := func(name string) bool { _, ok := s.Component(name); return !ok }
	maps.DeleteFunc(a.Held, func(c string, _ Held) bool { return gone(c) })
	for component, pin := range a.Pins {
		pin.Resolved = maps.Clone(pin.Resolved) // the event's own stays as it is
		maps.DeleteFunc(pin.Resolved, func(c string, _ events.Target) bool { return gone(c) })
		a.Pins[component] = pin
	}
}

func (a *App) received(e events.PushReceived, r events.Recorded) {
	a.Pending[e.PushID()] = PendingPush{PushReceived: e, At: r.At, Actor: r.Actor, Event: r.ID}
	a.Deliveries[e.PushID()] = r.At
	switch {
	case e.Provider != "git": // its own word for a ref is no more than a hint, and its repository is not compared
	case e.After == "":
		delete(a.Received, SeenKey(e.Repository, e.Ref))
	default:
		a.Received[SeenKey(e.Repository, e.Ref)] = e.After
	}
	if len(a.Deliveries)%256 == 0 { // now and then: a sweep for every push would cost the square of their number
		maps.DeleteFunc(a.Deliveries, func(_ string, at time.Time) bool { return r.At.Sub(at) > DeliveryMemory })
	}
}

func (a *App) judged(e events.PushJudged, at time.Time) {
	delete(a.Pending, e.PushID())
	if e.Verdict != events.VerdictUnresolved {
		a.Seen[SeenKey(e.Repository, e.Ref)] = Seen{Commit: e.Revision.Commit, At: at}
	}
	for _, c := range e.Held {
		a.Held[c] = Held{Revision: e.Revision, Push: e.PushID(), At: at, Count: a.Held[c].Count + 1}
	}
	for _, c := range e.Components {
		a.Want[c] = events.Target{Revision: e.Revision}
	}
}
