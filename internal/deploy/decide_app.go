package deploy

import (
	"fmt"
	"maps"
	"slices"

	"shiplog/events"
)

func (s *story) createApp(c CreateApp) error {
	s.add(events.AppCreated{Name: c.Spec.Name, Spec: c.Spec})
	s.app.Spec, s.app.Name = c.Spec, c.Spec.Name
	want := map[string]events.Target{}
	for _, comp := range c.Spec.Components() {
		t := c.Targets[comp.Name]
		if t.IsZero() {
			return nil // it waits for its first push
		}
		want[comp.Name] = t
	}
	s.request(request{
		intent: events.IntentCreate, cause: "app created", spec: c.Spec, want: want, mode: events.BuildReuse,
		resolved: resolvedRefs(c.Spec, c.Targets),
	})
	return nil
}

func (s *story) changeSpec(c ChangeSpec) error {
	a, old := s.app, s.app.Spec
	if c.Spec.Name != a.Name {
		return refuse(CodeInvalid, "an app cannot be renamed: %s stays %s", a.Name, a.Name)
	}
	want, fresh, complete := map[string]events.Target{}, map[string]events.Target{}, true
	for _, comp := range c.Spec.Components() {
		name := comp.Name
		before, existed := old.Component(name)
		same := existed && before.SameSource(comp)
		pin, pinned := a.PinOf(name)
		fixed := pinned && existed && pin.Kind != events.RefBranch // of a new component the pin says nothing
		if pinned && existed && !same {
			return refuse(CodePinned, "%s is pinned to %s: its source cannot change; unpin it first (shiplog unpin %s)", name, pin.Ref, a.Name)
		}
		t := a.Want[name]
		if newest := c.Targets[name]; !fixed && !newest.IsZero() && (!same || t.IsZero() || c.UpdateAll) {
			t, fresh[name] = newest, newest
		} else if !same {
			t = events.Target{}
		}
		if t.IsZero() {
			complete = false
			continue
		}
		if same && old.BuildKey(before, t.Revision.Commit) != c.Spec.BuildKey(comp, t.Revision.Commit) && !exact(pin, pinned) {
			t.Digest = dropBuilt(t)
		}
		want[name] = t
	}
	if err := s.clean(want); err != nil {
		return err
	}
	s.add(events.SpecChanged{Spec: c.Spec})
	if complete {
		s.request(request{
			intent: events.IntentSpec, cause: "app spec updated", spec: c.Spec, want: want, mode: events.BuildReuse,
			resolved: resolvedRefs(c.Spec, fresh),
		})
	}
	return nil
}

func (s *story) deleteApp() error {
	for _, d := range s.app.Live() {
		s.add(events.DeploymentCanceled{Work: d.Work(), Reason: "the app was deleted"})
	}
	s.add(events.AppDeleted{})
	return nil
}

func (s *story) deploy(c Deploy) error {
	a := s.app
	want, fresh, held := map[string]events.Target{}, map[string]events.Target{}, 0
	comps := a.Spec.Components()
	for _, comp := range comps {
		t, newest := a.Want[comp.Name], c.Targets[comp.Name]
		if pin, ok := a.PinOf(comp.Name); ok && pin.Kind != events.RefBranch {
			held++
		} else if !newest.IsZero() {
			t, fresh[comp.Name] = newest, newest
		}
		if t.IsZero() {
			return refuse(CodeInvalid, "there is nothing to deploy yet for %s: push to %s first", comp.Name, sourceName(comp))
		}
		want[comp.Name] = t
	}
	if held == len(comps) {
		pin, _ := a.PinOf(comps[0].Name)
		return a.pinnedRefusal(pin)
	}
	if err := s.clean(want); err != nil {
		return err
	}
	cause := "manual"
	if c.Mode != events.BuildReuse {
		cause = fmt.Sprintf("manual (%s)", c.Mode)
	}
	s.request(request{
		intent: events.IntentDeploy, cause: cause, spec: a.Spec, want: want, mode: c.Mode,
		resolved: resolvedRefs(a.Spec, fresh),
	})
	return nil
}

func (s *story) restart(c Restart) error {
	a := s.app
	if a.Active == "" {
		return refuse(CodeInvalid, "app %s has never run: there is nothing to restart", a.Name)
	}
	for _, name := range c.Components {
		if _, ok := a.Serving[name]; !ok {
			return refuse(CodeInvalid, "app %s runs no component %q", a.Name, name)
		}
	}
	last := a.Releases[len(a.Releases)-1]
	s.add(events.DeploymentRequested{
		Work: s.newWork(), Intent: events.IntentRestart, Cause: "manual restart", SpecHash: last.SpecHash,
		Mode: events.BuildReuse, ClonedFrom: a.Active, Components: c.Components,
	})
	return nil
}

// pinnedRefusal names the pin and the way out.
func (a App) pinnedRefusal(p Pin) error {
	why := ""
	if p.Reason != "" {
		why = fmt.Sprintf(" (%s)", p.Reason)
	}
	return refuse(CodePinned, "app %s is pinned to %s by %s%s: unpin it first (shiplog unpin %s), or pin it elsewhere", a.Name, p.Ref, p.By, why, a.Name)
}

// clean refuses targets that are in quarantine.
func (s *story) clean(want map[string]events.Target) error {
	for _, name := range slices.Sorted(maps.Keys(want)) {
		t := want[name]
		for _, id := range []string{string(t.Revision.Commit), string(t.Digest)} {
			if reason, bad := s.app.Quarantined[id]; bad && id != "" {
				return refuse(CodeQuarantined, "%s of %s is in quarantine: %s; lift it first, or choose another", t, name, reason)
			}
		}
	}
	return nil
}

// cleanOrServing is clean for what nobody chose just now: what is in quarantine and serves may go on serving.
func (s *story) cleanOrServing(want map[string]events.Target) error {
	fresh := maps.Clone(want)
	maps.DeleteFunc(fresh, func(name string, t events.Target) bool { return t.Same(s.app.Serving[name].Target) })
	return s.clean(fresh)
}

// resolvedRefs lists the refs that targets were resolved from.
func resolvedRefs(spec events.Spec, targets map[string]events.Target) []events.Resolved {
	var out []events.Resolved
	for _, c := range spec.Components() {
		t := targets[c.Name]
		if url, _, ok := c.Repository(); ok && t.Revision.Ref != "" {
			out = append(out, events.Resolved{Repository: url, Ref: t.Revision.Ref, Commit: t.Revision.Commit})
		}
	}
	return out
}

func sourceName(c events.Component) string {
	url, branch, ok := c.Repository()
	if !ok {
		return c.Image.Repository
	}
	return fmt.Sprintf("%s of %s", branch, url)
}
