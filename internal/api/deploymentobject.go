package api

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"shiplog/events"
	"shiplog/internal/deploy"
)

// deploymentObject is App Platform's deployment, and after timing what Shiplog adds.
type deploymentObject struct {
	ID                   events.ID         `json:"id"`
	Spec                 events.Spec       `json:"spec"`
	Services             []componentCommit `json:"services,omitempty"`
	Workers              []componentCommit `json:"workers,omitempty"`
	Phase                deploy.Phase      `json:"phase"`
	PhaseLastUpdatedAt   time.Time         `json:"phase_last_updated_at"`
	CreatedAt            time.Time         `json:"created_at"`
	UpdatedAt            time.Time         `json:"updated_at"`
	Cause                string            `json:"cause"`
	CauseDetails         causeObject       `json:"cause_details"`
	ClonedFrom           events.ID         `json:"cloned_from,omitempty"`
	PreviousDeploymentID events.ID         `json:"previous_deployment_id,omitempty"`
	Progress             progress          `json:"progress"`
	Timing               timingObject      `json:"timing"`
	TierSlug             string            `json:"tier_slug"`

	Generation   uint64          `json:"generation"`
	Release      int             `json:"release,omitempty"` // the one it made, or restarted
	Intent       events.Intent   `json:"intent"`
	By           events.Actor    `json:"by"`
	Components   []componentDone `json:"components,omitempty"`
	Failure      *failureObject  `json:"failure,omitempty"`
	SupersededBy events.ID       `json:"superseded_by,omitempty"`
	CancelReason string          `json:"cancel_reason,omitempty"`
}

type componentCommit struct {
	Name             string        `json:"name"`
	SourceCommitHash events.Commit `json:"source_commit_hash,omitempty"`
}

// componentDone is what one component runs through the deployment.
type componentDone struct {
	Name         string         `json:"name"`
	Revision     string         `json:"revision,omitempty"`
	Commit       events.Commit  `json:"commit,omitempty"`
	Digest       events.Digest  `json:"digest,omitempty"`
	Image        string         `json:"image,omitempty"`
	BuildSkipped bool           `json:"build_skipped,omitempty"` // the image was there
	Attempt      int            `json:"attempt,omitempty"`       // of the build
	Builder      string         `json:"builder,omitempty"`       // while it builds
	Phases       []events.Phase `json:"phases,omitempty"`        // measured, in milliseconds
}

// failureObject says what went wrong, where, and the last that the component wrote.
type failureObject struct {
	Component string `json:"component,omitempty"`
	Step      string `json:"step"`
	Reason    string `json:"reason"`
	Log       string `json:"log,omitempty"`
}

// timingObject holds durations like "12.3s".
type timingObject struct {
	Pending       string            `json:"pending,omitempty"`
	BuildTotal    string            `json:"build_total,omitempty"`
	BuildBillable string            `json:"build_billable,omitempty"`
	Components    []timingComponent `json:"components,omitempty"`
	Deploying     string            `json:"deploying,omitempty"`
	Phases        []events.Phase    `json:"phases,omitempty"` // of the rollout, measured, in milliseconds
}

type timingComponent struct {
	Name          string `json:"name"`
	BuildBillable string `json:"build_billable"`
}

// deploymentView maps a deployment of an app. It is pure.
func deploymentView(a deploy.App, d *deploy.Deployment) deploymentObject {
	spec := a.Specs[d.SpecHash]
	o := deploymentObject{
		ID: d.ID, Spec: deployedSpec(spec, d), Phase: d.Phase, PhaseLastUpdatedAt: d.Updated, CreatedAt: d.Requested,
		UpdatedAt: d.Updated, Cause: d.Cause, CauseDetails: causeOf(spec, d), ClonedFrom: d.ClonedFrom,
		PreviousDeploymentID: d.Previous, Progress: progressOf(componentsOf(a, d), d), Timing: timingOf(d), TierSlug: "basic",
		Generation: d.Generation, Release: d.Release, Intent: d.Intent, By: d.Actor, SupersededBy: d.By,
	}
	for _, c := range componentsOf(a, d) {
		t := targetOf(a, d, c.name)
		commit := componentCommit{c.name, t.Revision.Commit}
		if c.service {
			o.Services = append(o.Services, commit)
		} else {
			o.Workers = append(o.Workers, commit)
		}
		done := componentDone{
			Name: c.name, Revision: t.Revision.String(), Commit: t.Revision.Commit, Digest: t.Digest, Image: t.Image,
		}
		if p := d.Parts[c.name]; p != nil {
			done.BuildSkipped, done.Attempt, done.Builder, done.Phases = skipped(d, p), p.Attempt, p.Builder, p.Phases
		}
		o.Components = append(o.Components, done)
	}
	switch d.Phase {
	case deploy.Failed:
		o.Failure = &failureObject{d.Component, d.Step, d.Reason, d.Log}
	case deploy.Canceled:
		o.CancelReason = d.Reason
	}
	return o
}

// part is a component that a deployment is about.
type part struct {
	name    string
	service bool
}

// componentsOf returns the components of a deployment in the spec's order. A restart has none of its own until it rolls
// out: they are those it names, or everything that serves.
func componentsOf(a deploy.App, d *deploy.Deployment) []part {
	has := func(name string) bool {
		if len(d.Parts) == 0 && d.Intent == events.IntentRestart {
			_, serves := a.Serving[name]
			return len(d.Only) == 0 && serves || slices.Contains(d.Only, name)
		}
		return d.Parts[name] != nil
	}
	spec := a.Specs[d.SpecHash]
	var parts []part
	for _, c := range spec.Components() {
		if has(c.Name) {
			parts = append(parts, part{c.Name, spec.IsService(c.Name)})
		}
	}
	return parts
}

func targetOf(a deploy.App, d *deploy.Deployment, component string) events.Target {
	if p := d.Parts[component]; p != nil {
		return p.Target
	}
	return a.Serving[component].Target
}

// skipped reports whether a component that is built from source needed no build.
func skipped(d *deploy.Deployment, p *deploy.Part) bool {
	return d.Intent != events.IntentRestart && !p.Build && p.Ready && !p.Target.Revision.IsZero()
}

// deployedSpec is the spec as it was deployed: source images by digest and, once it is a release, the mark by which an
// update with this spec is a rollback to it.
func deployedSpec(spec events.Spec, d *deploy.Deployment) events.Spec {
	fill := func(list []events.Component) []events.Component {
		list = slices.Clone(list)
		for i, c := range list {
			if p := d.Parts[c.Name]; p != nil && c.Image != nil && p.Target.Digest != "" {
				image := *c.Image
				image.Tag, image.Digest = "", p.Target.Digest
				list[i].Image = &image
			}
		}
		return list
	}
	spec.Services, spec.Workers = fill(spec.Services), fill(spec.Workers)
	if d.Release > 0 && d.Intent != events.IntentRestart {
		spec.Features = append(slices.Clone(spec.Features), fmt.Sprintf("%s%d", releaseFeature, d.Release))
	}
	return spec
}

func timingOf(d *deploy.Deployment) timingObject {
	t := timingObject{Phases: d.Phases}
	var first, last time.Time
	var billable time.Duration
	for _, name := range sortedParts(d) {
		p := d.Parts[name]
		if p.Started.IsZero() {
			continue
		}
		if first.IsZero() || p.Started.Before(first) {
			first = p.Started
		}
		if p.Ended.After(p.Started) {
			billable += p.Ended.Sub(p.Started)
			t.Components = append(t.Components, timingComponent{name, seconds(p.Ended.Sub(p.Started))})
			last = later(last, p.Ended)
		}
	}
	if start := earliest(first, d.Rolling, d.Ended); !start.IsZero() {
		t.Pending = seconds(start.Sub(d.Requested))
	}
	if last.After(first) {
		t.BuildTotal, t.BuildBillable = seconds(last.Sub(first)), seconds(billable)
	}
	if !d.Rolling.IsZero() && d.Ended.After(d.Rolling) {
		t.Deploying = seconds(d.Ended.Sub(d.Rolling))
	}
	return t
}

func sortedParts(d *deploy.Deployment) []string {
	names := make([]string, 0, len(d.Parts))
	for name := range d.Parts {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// earliest returns the first of the moments that are set.
func earliest(moments ...time.Time) (first time.Time) {
	for _, m := range moments {
		if !m.IsZero() && (first.IsZero() || m.Before(first)) {
			first = m
		}
	}
	return first
}

// seconds writes a duration as protobuf's JSON form does: "0.25s", "12s".
func seconds(d time.Duration) string {
	s := fmt.Sprintf("%.3f", max(0, d).Seconds())
	return strings.TrimRight(strings.TrimRight(s, "0"), ".") + "s"
}
