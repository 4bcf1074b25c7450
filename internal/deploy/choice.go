package deploy

import (
	"maps"
	"slices"
	"time"

	"shiplog/events"
)

// fixes reports whether a pin keeps a component at a target, whatever is pushed.
func (p Pin) fixes(component string) bool {
	return p.Kind != events.RefBranch && !p.Resolved[component].IsZero()
}

// fallback returns what a component should run when what was wanted of it is taken back: what the newest deployment under
// way makes of it or, failing that, what serves. Nothing that is in quarantine is fallen back to, unless it serves.
func (a App) fallback(component string) (events.Target, bool) {
	for _, d := range slices.Backward(a.Live()) {
		if t, ok := d.Want[component]; ok && a.quarantined(t) == "" {
			return t, true
		}
	}
	s, ok := a.Serving[component]
	return s.Target, ok
}

// quarantined returns the commit or digest of a target that is in quarantine, or "".
func (a App) quarantined(t events.Target) string {
	for _, id := range []string{string(t.Revision.Commit), string(t.Digest)} {
		if id != "" && has(a.Quarantined, id) {
			return id
		}
	}
	return ""
}

// freed lists the components that no pin holds any more once a pin ends, by name. An app's pin that is ended takes the
// components' own pins with it, but one that expires leaves them: their time is their own.
func (a App) freed(component string, why events.UnpinWhy) []string {
	_, whole := a.Pins[""]
	if component != "" {
		if whole {
			return nil
		}
		return []string{component}
	}
	names := map[string]bool{}
	for name := range a.Want {
		names[name] = true
	}
	for name := range a.Held {
		names[name] = true
	}
	return slices.DeleteFunc(slices.Sorted(maps.Keys(names)), func(name string) bool {
		_, own := a.Pins[name]
		return own && why == events.UnpinExpired
	})
}

// home is the spec that the app goes back to when it is unpinned: the present one, or the one from before where the app's
// pin brought its own (brought) and nobody changed it since.
func (a App) home() (spec events.Spec, brought bool) {
	pin := a.Pins[""]
	if pin.SpecHash == "" || pin.Before == nil || pin.SpecHash != a.Spec.Hash() {
		return a.Spec, false
	}
	spec, brought = a.Specs[pin.Before.SpecHash]
	return spec, brought
}

func (a *App) pinned(e events.Pinned, r events.Recorded) {
	for c, t := range e.Resolved {
		a.holdUnshipped(c, r.At)
		a.Want[c] = t
		if url, _, ok := a.source(c); ok && t.Revision.Ref != "" && (e.Kind == events.RefBranch || e.Kind == events.RefTag) {
			a.Seen[SeenKey(url, t.Revision.Ref)] = Seen{Commit: t.Revision.Commit, At: r.At}
		}
	}
	pin := Pin{
		Kind: e.Kind, Ref: e.Ref, Resolved: e.Resolved, Reason: e.Reason, By: r.Actor, At: r.At,
		Expires: e.Expires, Deployment: e.Deployment, SpecHash: e.SpecHash, Before: e.Before,
	}
	if s, ok := a.Specs[e.SpecHash]; ok {
		a.setSpec(s)
	} else if _, brought := a.home(); brought && e.Component == "" {
		pin.SpecHash = a.Pins[""].SpecHash // the row's configuration stays
	}
	if e.Component == "" {
		clear(a.Pins)
	}
	a.Pins[e.Component] = pin
}

// holdUnshipped keeps a revision that was on its way when its component is pinned for the first time: it is offered
// again when the pin ends, like a push that comes later.
func (a *App) holdUnshipped(component string, at time.Time) {
	want, held := a.Want[component], a.Held[component]
	_, pinned := a.PinOf(component)
	if !pinned && held.Count == 0 && !want.Revision.IsZero() && !want.Same(a.Serving[component].Target) {
		a.Held[component] = Held{Revision: want.Revision, At: at, Count: 1}
	}
}

func (a *App) unpinned(e events.Unpinned) {
	freed := a.freed(e.Component, e.Why)
	if s, ok := a.Specs[e.SpecHash]; ok {
		a.setSpec(s)
	}
	if e.Component == "" && e.Why != events.UnpinExpired {
		clear(a.Pins)
	}
	delete(a.Pins, e.Component)
	if e.Deployment == "" { // none follows that says what is wanted
		a.rest(e, freed)
	}
	for _, name := range freed {
		delete(a.Held, name)
	}
}

// rest settles what is wanted after a pin that ends without a deployment: what was held, or else what runs or is on its
// way. A pin that failed or was canceled must not come back with the next deployment.
func (a *App) rest(e events.Unpinned, freed []string) {
	if all, whole := a.Pins[""]; whole && e.Component != "" { // it falls under the app's pin
		if t := all.Resolved[e.Component]; !t.IsZero() && a.quarantined(t) == "" && !a.Want[e.Component].Same(t) {
			a.Want[e.Component] = t
		}
		return
	}
	for _, name := range freed {
		if _, ok := a.Spec.Component(name); !ok {
			continue
		}
		t, ok := a.fallback(name)
		h, held := a.Held[name]
		on := e.Why == events.UnpinByHand || e.Why == events.UnpinExpired
		if on && held && !has(a.Quarantined, string(h.Revision.Commit)) && !t.Same(events.Target{Revision: h.Revision}) {
			t, ok = events.Target{Revision: h.Revision}, true
		}
		if ok {
			a.Want[name] = t
		}
	}
}

// quarantine marks a commit or a digest, and wants it no more where something else serves.
func (a *App) quarantine(e events.Quarantined) {
	a.Quarantined[string(e.Commit)+string(e.Digest)] = e.Reason
	for name, t := range a.Want {
		if back, ok := a.fallback(name); ok && a.quarantined(t) != "" {
			a.Want[name] = back
		}
	}
}

// source returns where a component's code comes from under the present spec.
func (a *App) source(component string) (url, branch string, ok bool) {
	c, found := a.Spec.Component(component)
	if !found {
		return "", "", false
	}
	return c.Repository()
}
