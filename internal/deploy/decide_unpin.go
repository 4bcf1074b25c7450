package deploy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"shiplog/events"
)

func (s *story) unpin(c Unpin) error {
	a := s.app
	pin, ok := a.Pins[c.Component]
	if c.Why == events.UnpinExpired && (!ok || pin.Expires.IsZero() || s.order.At.Before(pin.Expires)) {
		return nil // it was unpinned or replaced meanwhile
	}
	all, whole := a.Pins[""]
	switch {
	case !ok && c.Component == "":
		_, ok = a.anyPin()
	case !ok && whole:
		return refuse(CodeInvalid, "%s is pinned with the whole app, to %s: shiplog unpin %s ends that", c.Component, all.Ref, a.Name)
	}
	if !ok {
		return refuse(CodeInvalid, "app %s is not pinned%s", a.Name, ofComponent(c.Component))
	}
	if c.Why == events.UnpinCommit && c.Component != "" && whole {
		return a.pinnedRefusal(all) // it cannot keep what the app's pin forbids
	}
	e := events.Unpinned{Component: c.Component, Why: c.Why}
	r := request{spec: a.Spec, want: maps.Clone(a.Want), mode: events.BuildReuse}
	switch {
	case c.Why == events.UnpinCommit:
		s.add(e)
		return nil
	case c.Component != "" && whole:
		s.backUnder(all, c, &r)
	case c.Why == events.UnpinRevert:
		if err := s.revert(c, &r, &e); err != nil {
			return err
		}
	default:
		s.moveOn(c, pin, &r, &e)
	}
	if err := s.cleanOrServing(r.want); err != nil {
		if c.Why == events.UnpinRevert {
			return err
		}
		r.intent = "" // a pin can always be ended
	}
	if r.intent == "" || !r.complete() || a.runs(r.spec, r.want) && len(a.Live()) == 0 {
		s.add(e) // what runs goes on
		return nil
	}
	e.Deployment = s.newWork().Deployment
	s.add(e)
	s.request(r)
	return nil
}

// backUnder prepares the end of a component's own pin while the app is pinned as a whole: the component runs what that
// pin says.
func (s *story) backUnder(all Pin, c Unpin, r *request) {
	r.intent, r.cause = events.IntentUnpin, fmt.Sprintf("unpinned %s: back to %s, to which the app is pinned", c.Component, all.Ref)
	if c.Why == events.UnpinRevert {
		r.intent = events.IntentRevert
	}
	if t := all.Resolved[c.Component]; !t.IsZero() {
		r.want[c.Component] = t
	}
}

// revert prepares the return to before the first pin of the row. A component's pin takes only that component back.
func (s *story) revert(c Unpin, r *request, e *events.Unpinned) error {
	a := s.app
	r.intent, r.cause = events.IntentRevert, "rollback reverted"
	if pin, ok := a.Pins[""]; ok && c.Component == "" && pin.Before != nil {
		r.spec, r.want, e.SpecHash = a.Specs[pin.Before.SpecHash], maps.Clone(pin.Before.Want), pin.Before.SpecHash
		return nil
	}
	for name, pin := range a.Pins {
		if c.Component != "" && c.Component != name {
			continue
		}
		if pin.Before == nil || pin.Before.Want[name].IsZero() {
			return refuse(CodeInvalid, "nothing is recorded of app %s from before the pin: unpin it instead", a.Name)
		}
		r.want[name] = pin.Before.Want[name]
	}
	return nil
}

// moveOn prepares the end of a pin: the newest held revision of each component that is free again, and the spec from
// before the pin where the pin had brought its own and nobody changed it since. What a pin chose and never ran is not
// kept.
func (s *story) moveOn(c Unpin, pin Pin, r *request, e *events.Unpinned) {
	a := s.app
	freed := a.freed(c.Component, c.Why)
	for _, name := range freed {
		if t, ok := a.fallback(name); ok {
			r.want[name] = t
		}
	}
	if home, brought := a.home(); brought && c.Component == "" {
		r.spec, e.SpecHash = home, pin.Before.SpecHash
		r.intent, r.cause = events.IntentUnpin, "unpinned: the configuration from before"
		for _, comp := range home.Components() {
			now, is := a.Spec.Component(comp.Name)
			if !is || !now.SameSource(comp) || r.want[comp.Name].IsZero() {
				r.want[comp.Name] = pin.Before.Want[comp.Name]
			}
		}
	}
	var held []string
	for _, name := range freed {
		h, is := a.Held[name]
		if !is || has(a.Quarantined, string(h.Revision.Commit)) {
			continue
		}
		r.intent, r.want[name] = events.IntentUnpin, events.Target{Revision: h.Revision}
		if short := h.Revision.Commit.Short(); !slices.Contains(held, short) {
			held = append(held, short)
		}
	}
	if len(held) > 0 {
		r.cause = "unpinned: held commit " + strings.Join(held, ", ")
	}
	maps.DeleteFunc(r.want, func(name string, _ events.Target) bool { _, ok := r.spec.Component(name); return !ok })
}

// complete reports whether every component has something to run.
func (r request) complete() bool {
	return !slices.ContainsFunc(r.spec.Components(), func(c events.Component) bool { return r.want[c.Name].IsZero() })
}

func ofComponent(name string) string {
	if name == "" {
		return ""
	}
	return " in component " + name
}
