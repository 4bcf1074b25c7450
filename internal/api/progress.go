package api

import (
	"fmt"
	"time"

	"shiplog/events"
	"shiplog/internal/deploy"
)

// progress is how far a deployment is. Clients that wait read only the counts, which are of the tree's leaves: all of
// them are a success together with ACTIVE and never before; a deployment that ended in any other way has an error.
type progress struct {
	PendingSteps int     `json:"pending_steps"`
	RunningSteps int     `json:"running_steps"`
	SuccessSteps int     `json:"success_steps"`
	ErrorSteps   int     `json:"error_steps"`
	TotalSteps   int     `json:"total_steps"`
	Steps        []*step `json:"steps"`
	SummarySteps []*step `json:"summary_steps"`
}

// step is a node of the tree. A node with steps of its own has its status from them.
type step struct {
	Name          string      `json:"name"`
	Status        string      `json:"status"`
	Steps         []*step     `json:"steps,omitempty"`
	StartedAt     time.Time   `json:"started_at,omitzero"`
	EndedAt       time.Time   `json:"ended_at,omitzero"`
	Reason        *stepReason `json:"reason,omitempty"`
	ComponentName string      `json:"component_name,omitempty"`
	MessageBase   string      `json:"message_base,omitempty"`

	group bool // holds steps, even if none
}

type stepReason struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// The statuses of a step.
const (
	pending = "PENDING"
	running = "RUNNING"
	success = "SUCCESS"
	failed  = "ERROR"
)

// progressOf computes the tree: build {initialize, components {c…}}, deploy {initialize, components {c {deploy, wait}…},
// finalize}. A restart builds nothing and has the second half only.
func progressOf(parts []part, d *deploy.Deployment) progress {
	var top []*step
	if d.Intent != events.IntentRestart {
		top = append(top, buildSteps(parts, d))
	}
	top = append(top, deploySteps(parts, d))
	if d.Phase.Final() && d.Phase != deploy.Active {
		fail(top, d)
	}
	p := progress{Steps: top}
	for _, t := range top {
		t.sum()
		p.count(t)
		p.SummarySteps = append(p.SummarySteps, &step{
			Name: t.Name, Status: t.Status, StartedAt: t.StartedAt, EndedAt: t.EndedAt, MessageBase: t.MessageBase,
		})
	}
	return p
}

func buildSteps(parts []part, d *deploy.Deployment) *step {
	init := &step{Name: "initialize", Status: pending, StartedAt: d.Requested, MessageBase: "Preparing to build"}
	components := &step{Name: "components", MessageBase: "Building", group: true}
	begun, ready := false, true
	for _, c := range parts {
		s := &step{Name: c.name, Status: pending, ComponentName: c.name, MessageBase: "Building " + c.kind()}
		p := d.Parts[c.name]
		if p == nil {
			continue
		}
		s.StartedAt, s.EndedAt = p.Started, p.Ended
		begun, ready = begun || !p.Started.IsZero(), ready && p.Ready
		switch {
		case p.Ready:
			s.Status = success
			if !p.Build {
				s.StartedAt, s.EndedAt, s.Reason = d.Requested, d.Requested, skipReason(p)
			}
		case p.Builder != "":
			s.Status, s.EndedAt = running, time.Time{}
		case p.Failed != "":
			s.Reason = &stepReason{"BuildRetries", p.Failed}
		}
		components.Steps = append(components.Steps, s)
	}
	if begun || ready {
		init.Status, init.EndedAt = success, d.Requested
	}
	return &step{Name: "build", Steps: []*step{init, components}, MessageBase: "Building", group: true}
}

func skipReason(p *deploy.Part) *stepReason {
	if p.Target.Revision.IsZero() {
		return &stepReason{"NothingToBuild", "the image is somebody else's: " + p.Target.String()}
	}
	return &stepReason{"BuildSkipped", fmt.Sprintf("build skipped: image %s was built from commit %s before", p.Target.Digest.Short(), p.Target.Revision.Commit.Short())}
}

func deploySteps(parts []part, d *deploy.Deployment) *step {
	init := &step{Name: "initialize", Status: pending, MessageBase: "Preparing to deploy"}
	components := &step{Name: "components", MessageBase: "Deploying", group: true}
	finalize := &step{Name: "finalize", Status: pending, MessageBase: "Switching the traffic"}
	rolling := !d.Rolling.IsZero()
	if rolling {
		init.Status, init.StartedAt, init.EndedAt = success, d.Rolling, d.Rolling
	}
	for _, c := range parts {
		start := &step{Name: "deploy", Status: pending, ComponentName: c.name, MessageBase: "Starting " + c.kind()}
		wait := &step{Name: "wait", Status: pending, ComponentName: c.name, MessageBase: "Waiting for " + c.kind() + " to be healthy"}
		if rolling {
			start.Status, start.StartedAt = running, d.Rolling
			if p := d.Parts[c.name]; p != nil && p.Pulled != "" { // the image is there: what takes time now is its health
				start.Status, wait.Status = success, running
			}
		}
		components.Steps = append(components.Steps, &step{
			Name: c.name, ComponentName: c.name, MessageBase: "Deploying " + c.kind(), Steps: []*step{start, wait}, group: true,
		})
	}
	s := &step{Name: "deploy", Steps: []*step{init, components, finalize}, MessageBase: "Deploying", group: true}
	if d.Phase == deploy.Active {
		s.each(func(leaf *step) {
			leaf.Status, leaf.StartedAt, leaf.EndedAt = success, earliest(d.Rolling, d.Ended), d.Ended
		})
	}
	return s
}

// fail puts the error of a deployment that ended without success where it happened: at the step that failed, else at the
// first that was not done. What was running stops being so.
func fail(top []*step, d *deploy.Deployment) {
	var culprit, first *step
	for _, t := range top {
		t.each(func(leaf *step) {
			if leaf.Status == running {
				leaf.Status = pending
			}
			if first == nil && leaf.Status != success {
				first = leaf
			}
			if culprit == nil && d.Phase == deploy.Failed && happened(t, leaf, d) {
				culprit = leaf
			}
		})
	}
	if culprit == nil {
		culprit = first // never nil: finalize is a success only when the deployment is
	}
	culprit.Status, culprit.EndedAt, culprit.Reason = failed, d.Ended, endReason(d)
}

// happened reports whether a leaf is the step that the failure names.
func happened(top, leaf *step, d *deploy.Deployment) bool {
	here := leaf.ComponentName != "" && (leaf.ComponentName == d.Component || d.Component == "")
	switch d.Step {
	case "build":
		return top.Name == "build" && here
	case "pull", "start":
		return leaf.Name == "deploy" && here && top.Name == "deploy"
	case "healthy":
		return leaf.Name == "wait" && here && top.Name == "deploy"
	case "switch":
		return leaf.Name == "finalize" && leaf.ComponentName == ""
	}
	return false
}

func endReason(d *deploy.Deployment) *stepReason {
	switch d.Phase {
	case deploy.Superseded:
		return &stepReason{"DeploymentSuperseded", fmt.Sprintf("superseded by deployment %s", d.By)}
	case deploy.Canceled:
		if d.Reason == "" {
			return &stepReason{"DeploymentCanceled", "canceled"}
		}
		return &stepReason{"DeploymentCanceled", "canceled: " + d.Reason}
	}
	return &stepReason{"DeploymentFailed", d.Reason}
}

// each calls f with every leaf, in order.
func (s *step) each(f func(leaf *step)) {
	for _, child := range s.Steps {
		child.each(f)
	}
	if !s.group {
		f(s)
	}
}

// sum gives every inner node the status and times that its leaves make.
func (s *step) sum() {
	if !s.group {
		return
	}
	counts := map[string]int{}
	for _, child := range s.Steps {
		child.sum()
		counts[child.Status]++
		s.StartedAt, s.EndedAt = earliest(s.StartedAt, child.StartedAt), later(s.EndedAt, child.EndedAt)
	}
	switch {
	case counts[failed] > 0:
		s.Status = failed
	case counts[success] == len(s.Steps): // also when there are none
		s.Status = success
	case counts[running] > 0 || counts[success] > 0:
		s.Status = running
	default:
		s.Status = pending
	}
	if s.Status == pending || s.Status == running {
		s.EndedAt = time.Time{}
	}
}

func (p *progress) count(s *step) {
	s.each(func(leaf *step) {
		p.TotalSteps++
		switch leaf.Status {
		case pending:
			p.PendingSteps++
		case running:
			p.RunningSteps++
		case success:
			p.SuccessSteps++
		case failed:
			p.ErrorSteps++
		}
	})
}

func (p part) kind() string {
	if p.service {
		return "service"
	}
	return "worker"
}
