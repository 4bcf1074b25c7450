package deploy

import (
	"slices"

	"shiplog/events"
)

// protectAfter is how many builds in a row may be superseded before one is let finish.
const protectAfter = 2

// request is a deployment about to be asked for.
type request struct {
	intent   events.Intent
	cause    string
	spec     events.Spec
	want     map[string]events.Target
	mode     events.BuildMode
	cloned   events.ID
	push     *PendingPush
	resolved []events.Resolved
}

// request adds a deployment, and the end of those it supersedes.
func (s *story) request(r request) {
	work := s.newWork()
	for _, d := range s.app.Live() {
		if s.supersedes(r.intent, d) {
			s.add(events.DeploymentSuperseded{Work: d.Work(), By: work.Deployment})
		}
	}
	e := events.DeploymentRequested{
		Work: work, Intent: r.intent, Cause: clip(r.cause, 512), Want: s.settle(r.spec, r.want, r.mode),
		SpecHash: r.spec.Hash(), Mode: r.mode, ClonedFrom: r.cloned, Resolved: r.resolved,
	}
	if p := r.push; p != nil {
		e.Push = p.PushID()
		e.Source = &events.Change{Provider: p.Provider, Commit: p.After, Message: p.Message, Author: p.Author, Pusher: p.Pusher}
	}
	s.add(e)
}

func (s *story) newWork() events.Work {
	return events.Work{Deployment: DeploymentID(s.order.App, s.order.ID), Generation: s.app.Generation + 1}
}

// supersedes reports whether a new deployment takes the place of d. One that is rolling out finishes first; restarts
// queue and are never dropped. Against a stream of pushes the third build in a row is let finish, so that something
// ships; a person's choice of what to run waits for no build.
func (s *story) supersedes(intent events.Intent, d *Deployment) bool {
	if d.Phase == Deploying || d.Intent == events.IntentRestart {
		return false
	}
	chosen := intent == events.IntentRollback || intent == events.IntentPin || intent == events.IntentRevert || intent == events.IntentUnpin
	return chosen || d.Phase != Building || s.app.Superseded < protectAfter
}

// settle fills in the digests that are known, so that nothing is built twice: an image of the same commit and build
// inputs. With another mode than BuildReuse it looks for none: what has no digest is built.
func (s *story) settle(spec events.Spec, want map[string]events.Target, mode events.BuildMode) map[string]events.Target {
	out := map[string]events.Target{}
	for name, t := range want {
		c, ok := spec.Component(name)
		switch {
		case !ok || t.Revision.IsZero():
		case mode == events.BuildReuse && t.Digest == "":
			key := spec.BuildKey(c, t.Revision.Commit)
			t.Digest = s.app.image(name, func(i Image) bool { return i.Key == key })
		}
		out[name] = t
	}
	return out
}

// image returns the newest image of a component that fits and is not in quarantine, or "".
func (a App) image(component string, fits func(Image) bool) events.Digest {
	for _, i := range slices.Backward(a.Images[component]) {
		if _, bad := a.Quarantined[string(i.Digest)]; !bad && fits(i) {
			return i.Digest
		}
	}
	return ""
}

// exact reports whether a pin is to an image rather than to source: then a change of build settings builds nothing.
func exact(p Pin, pinned bool) bool {
	return pinned && (p.Kind == events.RefDigest || p.Kind == events.RefRelease)
}

// dropBuilt returns a target's digest unless it is of an image we build, which other build settings make anew.
func dropBuilt(t events.Target) events.Digest {
	if t.Revision.IsZero() {
		return t.Digest
	}
	return ""
}
