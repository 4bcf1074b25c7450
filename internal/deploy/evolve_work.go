package deploy

import (
	"slices"
	"time"

	"shiplog/events"
)

// work folds the events that belong to a deployment. One whose deployment is not known any more changes nothing.
func (a *App) work(r events.Recorded) {
	if e, ok := r.Event.(events.DeploymentRequested); ok {
		a.requested(e, r)
		return
	}
	d := a.Deployments[r.Deployment]
	if d == nil {
		return
	}
	switch e := r.Event.(type) {
	case events.BuildStarted:
		if p := d.Parts[e.Component]; p != nil {
			p.Attempt, p.Builder, p.Until, p.Started, p.Failed = e.Attempt, e.Builder, e.Until, r.At, ""
		}
		d.enter(Building, r.At)
	case events.ImageBuilt:
		a.built(d, e, r.At)
	case events.BuildFailed:
		if p := d.Parts[e.Component]; p != nil {
			p.Builder, p.Until, p.Failed, p.Ended = "", time.Time{}, e.Reason, r.At
			p.Faults++
			p.Retry = r.At.Add(time.Duration(p.Faults*p.Faults) * 5 * time.Second)
		}
	case events.ImagePulled:
		if p := d.Parts[e.Component]; p != nil {
			p.Pulled, p.Phases = e.From, append(slices.Clip(p.Phases), e.Phases...)
		}
	case events.RolloutStarted:
		a.rolling(d, e, r.At)
	case events.Released:
		a.released(d, e, r)
	case events.DeploymentFailed:
		d.Component, d.Step, d.Reason, d.Log = e.Component, e.Step, e.Reason, e.Log
		a.end(d, Failed, r.At)
	case events.DeploymentSuperseded:
		if d.Phase == Building {
			a.Superseded++
		}
		d.By = e.By
		d.end(Superseded, r.At)
		a.forget()
	case events.DeploymentCanceled:
		d.Reason = e.Reason
		a.end(d, Canceled, r.At)
		a.unwant(d)
	}
}

func (a *App) requested(e events.DeploymentRequested, r events.Recorded) {
	a.Generation = e.Generation
	d := &Deployment{
		ID: e.Deployment, Generation: e.Generation, Intent: e.Intent, Cause: e.Cause, Actor: r.Actor, Mode: e.Mode,
		SpecHash: e.SpecHash, Want: e.Want, Only: e.Components, ClonedFrom: e.ClonedFrom, Previous: a.Active,
		Parts: map[string]*Part{}, Requested: r.At, Updated: r.At, PushID: e.Push, Source: e.Source,
	}
	spec := a.Specs[e.SpecHash]
	for name, t := range e.Want {
		p := &Part{Target: t, Ready: t.Digest != "", Build: t.Digest == ""}
		if c, ok := spec.Component(name); ok && p.Build {
			p.Key = spec.BuildKey(c, t.Revision.Commit)
		}
		d.Parts[name] = p
		a.Want[name] = t
	}
	for _, s := range e.Resolved {
		a.Seen[SeenKey(s.Repository, s.Ref)] = Seen{Commit: s.Commit, At: r.At}
	}
	d.Phase = PendingDeploy
	if !d.ready() {
		d.Phase = PendingBuild
	}
	a.Deployments[d.ID] = d
}

func (a *App) built(d *Deployment, e events.ImageBuilt, at time.Time) {
	a.Images[e.Component] = append(a.Images[e.Component], Image{
		Revision: e.Revision, Digest: e.Digest, Key: e.Key, Deployment: d.ID, At: at,
	})
	if p := d.Parts[e.Component]; p != nil {
		p.Target.Digest, p.Ready, p.Builder, p.Until = e.Digest, true, "", time.Time{}
		p.Ended, p.Phases = at, e.Phases
	}
	if d.ready() {
		d.enter(PendingDeploy, at)
	}
	if has(a.Quarantined, string(e.Digest)) {
		return
	}
	for _, other := range a.Live() { // whoever waits to build the very same needs to no more
		if p := other.Parts[e.Component]; p != nil && !p.Ready && p.Key == e.Key && p.Builder == "" && other.Mode == events.BuildReuse {
			p.Target.Digest, p.Ready, p.Build = e.Digest, true, false
			if other.ready() {
				other.enter(PendingDeploy, at)
			}
		}
	}
}

func (a *App) rolling(d *Deployment, e events.RolloutStarted, at time.Time) {
	d.Rollouts = e.Attempt
	if d.Rolling.IsZero() {
		d.Rolling = at
	}
	if d.Intent == events.IntentRestart { // what it restarts is known only now
		for name, t := range e.Have {
			d.SpecHash = a.Serving[name].SpecHash
			d.Parts[name] = &Part{Target: t, Ready: true}
		}
	}
	d.enter(Deploying, at)
}

func (a *App) released(d *Deployment, e events.Released, r events.Recorded) {
	d.Phases, d.Release = e.Phases, e.Number
	if e.Number > 0 {
		a.Releases = append(a.Releases, Release{
			Number: e.Number, Deployment: d.ID, Intent: d.Intent, Cause: d.Cause, Actor: d.Actor, At: r.At,
			SpecHash: e.SpecHash, Have: e.Have, RolledFrom: a.releaseOf(d.ClonedFrom),
		})
		clear(a.Serving)
	} else {
		d.Release = len(a.Releases)
	}
	for name, t := range e.Have {
		a.Serving[name] = Serving{Deployment: d.ID, Generation: d.Generation, SpecHash: e.SpecHash, Target: t}
		if want := a.Want[name]; want.Same(t) {
			a.Want[name] = t
		}
	}
	a.Active = d.ID
	a.end(d, Active, r.At)
}

// end finishes a deployment other than by superseding. That also ends a row of superseded builds, unless it is one that
// never got to build: a restart, or one canceled while it was queued.
func (a *App) end(d *Deployment, phase Phase, at time.Time) {
	if d.Intent != events.IntentRestart && d.Phase != PendingBuild {
		a.Superseded = 0
	}
	d.end(phase, at)
	a.forget()
}

// unwant takes back what a canceled deployment wanted, where nothing else wants the same. A pin that fixes a component is
// a choice of its own and stays.
func (a *App) unwant(d *Deployment) {
	for name, t := range d.Want {
		if pin, pinned := a.PinOf(name); !a.Want[name].Same(t) || pinned && pin.fixes(name) {
			continue
		}
		if back, ok := a.fallback(name); ok {
			a.Want[name] = back
		}
	}
}

// forget drops finished deployments beyond the newest KeepFinished; the one that serves stays.
func (a *App) forget() {
	if len(a.Deployments) <= 2*KeepFinished {
		return
	}
	var done []*Deployment
	for _, d := range a.Deployments {
		if d.Phase.Final() && d.ID != a.Active {
			done = append(done, d)
		}
	}
	slices.SortFunc(done, byGeneration)
	for _, d := range done[:max(0, len(done)-KeepFinished)] {
		delete(a.Deployments, d.ID)
	}
}

// releaseOf returns the number of the release that a deployment made, or 0.
func (a *App) releaseOf(deployment events.ID) int {
	for i := len(a.Releases) - 1; i >= 0 && deployment != ""; i-- {
		if a.Releases[i].Deployment == deployment {
			return a.Releases[i].Number
		}
	}
	return 0
}

func (d *Deployment) enter(p Phase, at time.Time) {
	if d.Phase != p && !d.Phase.Final() {
		d.Phase, d.Updated = p, at
	}
}

func (d *Deployment) end(p Phase, at time.Time) {
	d.Phase, d.Updated, d.Ended = p, at, at
	for _, part := range d.Parts {
		part.Builder, part.Until = "", time.Time{}
	}
}

// ready reports whether every image is there. A restart is: it takes what runs.
func (d *Deployment) ready() bool {
	for _, p := range d.Parts {
		if !p.Ready {
			return false
		}
	}
	return true
}
