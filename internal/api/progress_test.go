package api

import (
	"strings"
	"testing"
	"time"

	"shiplog/events"
	"shiplog/internal/deploy"
)

// TestProgress walks one service through every way a deployment can go, and checks what waiting clients read.
func TestProgress(t *testing.T) {
	at := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	target := events.Target{Revision: events.Revision{Ref: "refs/heads/main", Commit: commitA}}
	built := target
	built.Digest = digestOf("web", commitA)
	waiting := deploy.Part{Target: target, Build: true}
	building := deploy.Part{Target: target, Build: true, Builder: "b1", Attempt: 1, Started: at}
	ready := deploy.Part{Target: built, Build: true, Ready: true, Started: at, Ended: at.Add(time.Second)}
	skip := deploy.Part{Target: built, Ready: true}
	pulled := ready
	pulled.Pulled = "engine"
	lost := building
	lost.Builder, lost.Failed = "", "no space"

	tests := []struct {
		name                                string
		d                                   deploy.Deployment
		pending, running, success, fail, of int
		culprit                             string // path of the step with the error
		code                                string // of a reason somewhere
	}{
		{"just asked for", deploy.Deployment{Phase: deploy.PendingBuild, Parts: parts(waiting)}, 6, 0, 0, 0, 6, "", ""},
		{"building", deploy.Deployment{Phase: deploy.Building, Parts: parts(building)}, 4, 1, 1, 0, 6, "", ""},
		{"between two attempts", deploy.Deployment{Phase: deploy.Building, Parts: parts(lost)}, 5, 0, 1, 0, 6, "", "BuildRetries"},
		{"built", deploy.Deployment{Phase: deploy.PendingDeploy, Parts: parts(ready)}, 4, 0, 2, 0, 6, "", ""},
		{"build skipped", deploy.Deployment{Phase: deploy.PendingDeploy, Parts: parts(skip)}, 4, 0, 2, 0, 6, "", "BuildSkipped"},
		{"starting", deploy.Deployment{Phase: deploy.Deploying, Rolling: at, Parts: parts(ready)}, 2, 1, 3, 0, 6, "", ""},
		{"waiting for health", deploy.Deployment{Phase: deploy.Deploying, Rolling: at, Parts: parts(pulled)}, 1, 1, 4, 0, 6, "", ""},
		{"active", deploy.Deployment{Phase: deploy.Active, Rolling: at, Ended: at, Parts: parts(ready)}, 0, 0, 6, 0, 6, "", ""},
		{"build failed", deploy.Deployment{Phase: deploy.Failed, Step: "build", Component: "web", Reason: "exit 1", Parts: parts(lost)}, 4, 0, 1, 1, 6, "build/components/web", "DeploymentFailed"},
		{"what was built is in quarantine", deploy.Deployment{Phase: deploy.Failed, Step: "build", Component: "web", Parts: parts(ready)}, 4, 0, 1, 1, 6, "build/components/web", "DeploymentFailed"},
		{"image gone", deploy.Deployment{Phase: deploy.Failed, Step: "pull", Component: "web", Rolling: at, Parts: parts(ready)}, 2, 0, 3, 1, 6, "deploy/components/web/deploy", "DeploymentFailed"},
		{"never healthy", deploy.Deployment{Phase: deploy.Failed, Step: "healthy", Component: "web", Rolling: at, Parts: parts(pulled)}, 1, 0, 4, 1, 6, "deploy/components/web/wait", "DeploymentFailed"},
		{"switch failed", deploy.Deployment{Phase: deploy.Failed, Step: "switch", Rolling: at, Parts: parts(pulled)}, 1, 0, 4, 1, 6, "deploy/finalize", "DeploymentFailed"},
		{"failed at a step nobody knows", deploy.Deployment{Phase: deploy.Failed, Step: "moon", Parts: parts(waiting)}, 5, 0, 0, 1, 6, "build/initialize", "DeploymentFailed"},
		{"superseded while queued", deploy.Deployment{Phase: deploy.Superseded, By: "x", Parts: parts(waiting)}, 5, 0, 0, 1, 6, "build/initialize", "DeploymentSuperseded"},
		{"superseded while building", deploy.Deployment{Phase: deploy.Superseded, By: "x", Parts: parts(building)}, 4, 0, 1, 1, 6, "build/components/web", "DeploymentSuperseded"},
		{"canceled when built", deploy.Deployment{Phase: deploy.Canceled, Parts: parts(ready)}, 3, 0, 2, 1, 6, "deploy/initialize", "DeploymentCanceled"},
		{"canceled when nearly done", deploy.Deployment{Phase: deploy.Canceled, Rolling: at, Parts: parts(pulled)}, 1, 0, 4, 1, 6, "deploy/components/web/wait", "DeploymentCanceled"},
		{"restart queued", deploy.Deployment{Phase: deploy.PendingDeploy, Intent: events.IntentRestart}, 4, 0, 0, 0, 4, "", ""},
		{"restart canceled", deploy.Deployment{Phase: deploy.Canceled, Intent: events.IntentRestart}, 3, 0, 0, 1, 4, "deploy/initialize", ""},
		{"restarted", deploy.Deployment{Phase: deploy.Active, Intent: events.IntentRestart, Rolling: at, Ended: at, Parts: parts(skip)}, 0, 0, 4, 0, 4, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := progressOf([]part{{"web", true}}, &tt.d)
			got := [5]int{p.PendingSteps, p.RunningSteps, p.SuccessSteps, p.ErrorSteps, p.TotalSteps}
			if want := [5]int{tt.pending, tt.running, tt.success, tt.fail, tt.of}; got != want {
				t.Errorf("pending, running, success, error, total = %v, want %v", got, want)
			}
			if sum := got[0] + got[1] + got[2] + got[3]; sum != got[4] {
				t.Errorf("the counts make %d of %d", sum, got[4])
			}
			if done := got[2] == got[4]; done != (tt.d.Phase == deploy.Active) {
				t.Errorf("all steps are a success: %v, but the phase is %s", done, tt.d.Phase)
			}
			culprits, codes := found(p.Steps, "")
			if strings.Join(culprits, " ") != tt.culprit {
				t.Errorf("error at %v, want %s", culprits, tt.culprit)
			}
			if tt.code != "" && !strings.Contains(codes, tt.code) {
				t.Errorf("reasons %q, want %s among them", codes, tt.code)
			}
			if len(p.SummarySteps) != len(p.Steps) {
				t.Errorf("%d summary steps for %d", len(p.SummarySteps), len(p.Steps))
			}
		})
	}
}

// TestProgressNames: no name that a component may have can be taken for a node of the tree.
func TestProgressNames(t *testing.T) {
	for _, name := range []string{"components", "deploy", "finalize", "initialize", "wait", "build"} {
		d := deploy.Deployment{Phase: deploy.Active, Parts: map[string]*deploy.Part{name: {Ready: true, Build: true}}}
		if p := progressOf([]part{{name, false}}, &d); p.TotalSteps != 6 || p.SuccessSteps != 6 {
			t.Errorf("%s: %d of %d steps", name, p.SuccessSteps, p.TotalSteps)
		}
	}
}

func parts(p deploy.Part) map[string]*deploy.Part { return map[string]*deploy.Part{"web": &p} }

func found(steps []*step, under string) (culprits []string, codes string) {
	for _, s := range steps {
		if len(s.Steps) == 0 && s.Status == failed {
			culprits = append(culprits, under+s.Name)
		}
		if s.Reason != nil {
			codes += s.Reason.Code + " "
		}
		c, more := found(s.Steps, under+s.Name+"/")
		culprits, codes = append(culprits, c...), codes+more
	}
	return culprits, codes
}
