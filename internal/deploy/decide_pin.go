package deploy

import (
	"fmt"
	"maps"
	"slices"

	"shiplog/events"
)

func (s *story) pinTo(c PinTo) error {
	a := s.app
	if any, is := a.anyPin(); is && c.IfUnpinned {
		return a.pinnedRefusal(any)
	}
	if all, whole := a.Pins[""]; c.Commit && c.Component != "" && whole {
		return a.pinnedRefusal(all) // it would fall back under that pin at once
	}
	if len(c.Targets) == 0 {
		return refuse(CodeInvalid, "%q is nothing that app %s can run", c.Ref, a.Name)
	}
	if !c.Expires.IsZero() && !c.Expires.After(s.order.At) {
		return refuse(CodeInvalid, "the pin would expire at %s, which is past", c.Expires.UTC().Format("2006-01-02 15:04:05Z"))
	}
	spec := a.Spec
	if c.SpecHash != "" && c.Component == "" {
		var ok bool
		if spec, ok = a.Specs[c.SpecHash]; !ok {
			return refuse(CodeInvalid, "the configuration of %s is not known any more", c.Ref)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Targets)) {
		if _, ok := spec.Component(name); !ok || (c.Component != "" && name != c.Component) {
			return refuse(CodeInvalid, "app %s has no component %q to pin", a.Name, name)
		}
	}
	targets := s.known(c)
	if err := s.clean(targets); err != nil {
		return err
	}
	want := map[string]events.Target{}
	for _, comp := range spec.Components() {
		t, chosen := targets[comp.Name]
		if !chosen {
			t = a.Want[comp.Name]
		}
		if t.IsZero() {
			return refuse(CodeInvalid, "there is nothing to run yet for %s: push to %s first", comp.Name, sourceName(comp))
		}
		want[comp.Name] = t
	}
	runs := c.Mode == events.BuildReuse && a.runs(spec, want) && !a.rollingOut()
	if runs && c.IfUnpinned {
		return refuse(CodeInvalid, "%s is what app %s runs already", c.Ref, a.Name)
	}
	e := events.Pinned{
		Component: c.Component, Kind: c.Kind, Ref: clip(c.Ref, 255), Resolved: targets, Reason: clip(c.Reason, 1024), Expires: c.Expires,
	}
	if spec.Hash() != a.Spec.Hash() {
		e.SpecHash = spec.Hash()
	}
	e.Before = a.before(c.Component)
	if !runs {
		e.Deployment = s.newWork().Deployment
	}
	s.add(e)
	if c.Commit {
		s.add(events.Unpinned{Component: c.Component, Why: events.UnpinCommit})
	}
	if runs {
		s.drop("superseded by the pin to what runs")
		return nil
	}
	intent, cloned := s.pinIntent(targets, spec.Hash())
	s.request(request{
		intent: intent, cause: fmt.Sprintf("%s to %s", verb(intent), label(c)), spec: spec, want: want, mode: c.Mode, cloned: cloned,
	})
	return nil
}

// known fills in the digest of every chosen commit that was ever built: such a target is pulled, never built, unless a
// build is asked for. An image of the present build settings is preferred to an older one.
func (s *story) known(c PinTo) map[string]events.Target {
	targets := maps.Clone(c.Targets)
	for name, t := range targets {
		if c.Mode != events.BuildReuse && !t.Revision.IsZero() {
			targets[name] = events.Target{Revision: t.Revision}
			continue
		}
		if t.Digest != "" || t.Revision.IsZero() {
			continue
		}
		comp, _ := s.app.Spec.Component(name)
		key := s.app.Spec.BuildKey(comp, t.Revision.Commit)
		t.Digest = s.app.image(name, func(i Image) bool { return i.Key == key })
		if t.Digest == "" {
			t.Digest = s.app.image(name, func(i Image) bool { return i.Revision.Commit == t.Revision.Commit })
		}
		targets[name] = t
	}
	return targets
}

// pinIntent tells a rollback, to what went live before, from a pin to something new. Of several releases of the same
// images it is the newest with that configuration, else the newest.
func (s *story) pinIntent(targets map[string]events.Target, spec events.SpecHash) (events.Intent, events.ID) {
	intent, cloned := events.IntentPin, events.ID("")
	for i := len(s.app.Releases) - 1; i >= 0; i-- {
		r, all := s.app.Releases[i], true
		for name, t := range targets {
			all = all && t.Digest != "" && r.Have[name].Digest == t.Digest
		}
		if all && (cloned == "" || r.SpecHash == spec) {
			intent, cloned = events.IntentRollback, r.Deployment
		}
		if all && r.SpecHash == spec {
			break
		}
	}
	return intent, cloned
}

// label is the ref of a pin in a few letters.
func label(c PinTo) string {
	if c.Kind == events.RefDigest {
		return "sha256:" + events.Digest(c.Ref).Short()
	}
	return c.Ref
}

func verb(i events.Intent) string {
	if i == events.IntentRollback {
		return "rollback"
	}
	return "pin"
}

// before is what revert of a pin on a component ("" = all) returns to: what was wanted before the first pin of the row,
// with the digests of what runs. A row is the pins that follow each other on the same component; an app's pin goes on
// with the rows of the components that it replaces.
func (a App) before(component string) *events.Before {
	if own, is := a.Pins[component]; is && own.Before != nil {
		return own.Before
	}
	want := map[string]events.Target{}
	for name, t := range a.Want {
		if s, ok := a.Serving[name]; ok && s.Target.Same(t) {
			t = s.Target
		}
		if p := a.Pins[name]; component == "" && p.Before != nil && !p.Before.Want[name].IsZero() {
			t = p.Before.Want[name]
		}
		if component == "" || component == name {
			want[name] = t
		}
	}
	return &events.Before{SpecHash: a.Spec.Hash(), Want: want}
}

// runs reports whether every target is what serves now, under that spec.
func (a App) runs(spec events.Spec, want map[string]events.Target) bool {
	hash := spec.Hash()
	for name, t := range want {
		s, ok := a.Serving[name]
		if !ok || !s.Target.Same(t) || s.SpecHash != hash {
			return false
		}
	}
	return len(want) > 0
}

// rollingOut reports whether something that is not what serves is about to.
func (a App) rollingOut() bool {
	return slices.ContainsFunc(a.Live(), func(d *Deployment) bool { return d.Phase == Deploying && d.Intent != events.IntentRestart })
}

// anyPin returns the app's pin or, failing that, the first component's by name.
func (a App) anyPin() (Pin, bool) {
	for _, c := range slices.Sorted(maps.Keys(a.Pins)) {
		return a.Pins[c], true
	}
	return Pin{}, false
}

// drop cancels what is queued or building: nothing else shall run than what runs.
func (s *story) drop(reason string) {
	for _, d := range s.app.Live() {
		if d.Intent != events.IntentRestart && d.Phase != Deploying {
			s.add(events.DeploymentCanceled{Work: d.Work(), Reason: reason})
		}
	}
}

func (s *story) quarantine(c Quarantine) error {
	id := string(c.Commit) + string(c.Digest)
	if (c.Commit == "") == (c.Digest == "") {
		return refuse(CodeInvalid, "quarantine one commit or one digest")
	}
	_, is := s.app.Quarantined[id]
	switch {
	case c.Lift && is:
		s.add(events.Unquarantined{Commit: c.Commit, Digest: c.Digest})
	case !c.Lift && !is:
		s.add(events.Quarantined{Commit: c.Commit, Digest: c.Digest, Reason: clip(c.Reason, 1024)})
		for _, d := range s.app.Live() {
			for _, p := range d.Parts {
				if string(p.Target.Revision.Commit) == id || string(p.Target.Digest) == id {
					s.add(events.DeploymentCanceled{Work: d.Work(), Reason: "what it would run was put in quarantine"})
					break
				}
			}
		}
	}
	return nil
}
