package deploy

import (
	"fmt"
	"maps"

	"shiplog/events"
)

func (s *story) receivePush(c ReceivePush) {
	p := c.Push
	if _, known := s.app.Deliveries[p.PushID()]; known {
		return
	}
	p.Message, p.Author, p.Pusher = clip(p.Message, 1024), clip(p.Author, 256), clip(p.Pusher, 256)
	p.Paths, p.MorePaths = shorten(p.Paths, p.MorePaths)
	s.add(p)
}

func (s *story) judgePush(c JudgePush) error {
	p, waiting := s.app.Pending[c.Push]
	if !waiting {
		return nil // judged before
	}
	v := events.PushJudged{Delivery: p.Delivery, Change: p.Change, Ref: p.Ref, Revision: c.Resolved, Repository: p.Repository}
	followers := s.app.followers(p.Repository, p.Ref)
	held := s.app.heldBack(p.Repository, p.Ref)
	switch seen, known := s.app.Seen[SeenKey(p.Repository, p.Ref)]; {
	case c.Err != "":
		v.Verdict, v.Reason = events.VerdictUnresolved, clip(c.Err, 1024)
	case c.Resolved.IsZero():
		v.Verdict, v.Reason = events.VerdictDeletedRef, "the ref is gone; what runs goes on running"
	case known && seen.Commit == c.Resolved.Commit:
		v.Verdict, v.Reason = events.VerdictDuplicate, fmt.Sprintf("%s was at %s already", p.Ref.Short(), c.Resolved.Commit.Short())
	case has(s.app.Quarantined, string(c.Resolved.Commit)):
		v.Verdict, v.Reason = events.VerdictQuarantined, "the commit is in quarantine: "+s.app.Quarantined[string(c.Resolved.Commit)]
	case c.Skip != "":
		v.Verdict, v.Reason = c.Skip, clip(c.Reason, 1024)
	case len(followers) == 0 && len(held) > 0:
		pin, _ := s.app.PinOf(held[0])
		v.Verdict, v.Held, v.Reason = events.VerdictHeld, held, fmt.Sprintf("pinned to %s; shiplog unpin %s moves on", pin.Ref, s.app.Name)
	case len(followers) == 0 && s.app.manual(p.Repository, p.Ref):
		v.Verdict, v.Reason = events.VerdictManual, "deploy_on_push is off; shiplog deploy "+s.app.Name+" deploys it"
	case len(followers) == 0:
		v.Verdict, v.Reason = events.VerdictOtherBranch, "no component follows "+p.Ref.Short()
	default:
		v.Verdict, v.Components, v.Held = events.VerdictDeploys, followers, held
		s.ship(v, p)
		return nil
	}
	s.add(v)
	return nil
}

// ship adds the verdict of a push that deploys, and the deployment: every component as it should be, with the push's
// revision for those that follow its ref.
func (s *story) ship(v events.PushJudged, p PendingPush) {
	want := maps.Clone(s.app.Want)
	if want == nil {
		want = map[string]events.Target{}
	}
	for _, name := range v.Components {
		want[name] = events.Target{Revision: v.Revision}
	}
	for _, c := range s.app.Spec.Components() {
		if want[c.Name].IsZero() {
			v.Reason = fmt.Sprintf("waits for the first push to %s, the source of %s", sourceName(c), c.Name)
			s.add(v)
			return
		}
	}
	if err := s.cleanOrServing(want); err != nil { // another component's: it is wanted, and never served
		v.Verdict, v.Reason, v.Components = events.VerdictQuarantined, err.Error(), nil
		s.add(v)
		return
	}
	v.Deployment = s.newWork().Deployment
	s.add(v)
	s.request(request{
		intent: events.IntentPush, cause: pushCause(p, v.Revision), spec: s.app.Spec, want: want, mode: events.BuildReuse, push: &p,
	})
}

func pushCause(p PendingPush, r events.Revision) string {
	return fmt.Sprintf("commit %s pushed to %s", r.Commit.Short(), sourceLabel(p.Provider, p.Repository))
}

// followers returns the components that a push to the ref deploys now.
func (a App) followers(repository string, ref events.RefName) []string {
	return componentsOf(a.Spec, repository, func(c events.Component, branch string) bool {
		pin, pinned := a.PinOf(c.Name)
		switch {
		case !pinned:
			return c.DeployOnPush() && a.tracks(repository, c.Name, branch, ref)
		case pin.Kind == events.RefBranch:
			return pin.Resolved[c.Name].Revision.Ref == ref
		}
		return false
	})
}

// heldBack returns the components whose own branch the ref is, but which a pin keeps elsewhere. Where the pin brought a
// configuration of its own, the one that comes back at unpin counts.
func (a App) heldBack(repository string, ref events.RefName) []string {
	home, _ := a.home()
	return componentsOf(home, repository, func(c events.Component, branch string) bool {
		pin, pinned := a.PinOf(c.Name)
		elsewhere := pin.Kind != events.RefBranch || pin.Resolved[c.Name].Revision.Ref != ref
		return pinned && elsewhere && c.DeployOnPush() && a.tracks(repository, c.Name, branch, ref)
	})
}

// manual reports whether the ref would deploy, were it not for deploy_on_push.
func (a App) manual(repository string, ref events.RefName) bool {
	return len(componentsOf(a.Spec, repository, func(c events.Component, branch string) bool {
		return a.tracks(repository, c.Name, branch, ref)
	})) > 0
}

func componentsOf(spec events.Spec, repository string, fits func(events.Component, string) bool) []string {
	var names []string
	for _, c := range spec.Components() {
		if url, branch, ok := c.Repository(); ok && url == repository && fits(c, branch) {
			names = append(names, c.Name)
		}
	}
	return names
}

// tracks reports whether a component's branch field means the ref. The field holds a short name, which a branch and a
// tag can share: then the one that the component runs from counts, else the branch.
func (a App) tracks(repository, component, branch string, ref events.RefName) bool {
	if ref.Short() != branch || !(ref.IsBranch() || ref.IsTag()) {
		return false
	}
	own := a.Want[component]
	if pin, pinned := a.PinOf(component); pinned && pin.Before != nil { // a pin can be to the other of that name
		own = pin.Before.Want[component]
	}
	if from := own.Revision.Ref; from != "" && from.Short() == branch {
		return from == ref
	}
	branchSeen, ok := a.Seen[SeenKey(repository, events.Branch(branch))]
	return ref.IsBranch() || !ok || branchSeen.Commit == ""
}

func has(m map[string]string, key string) bool { _, ok := m[key]; return ok }
