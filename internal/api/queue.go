package api

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"time"

	"shiplog/events"
	"shiplog/internal/deploy"
)

// queued is a deployment that is not over, or a push whose ref was not resolved yet.
type queued struct {
	Position   int             `json:"position"` // from 1
	AppID      events.ID       `json:"app_id"`
	App        string          `json:"app"`
	Deployment events.ID       `json:"deployment_id,omitempty"` // empty for a push
	Push       string          `json:"push_id,omitempty"`       // empty for a deployment
	Phase      deploy.Phase    `json:"phase,omitempty"`
	Cause      string          `json:"cause"`
	By         events.Actor    `json:"by"`
	Since      time.Time       `json:"since"`     // its phase began
	Requested  time.Time       `json:"requested"` //
	WaitsFor   string          `json:"waits_for"` // "" while it is worked on
	Components []componentDone `json:"components,omitempty"`
}

// queue lists all work: what runs first, then what waits, each in the order it was asked for.
func (s *server) queue(w http.ResponseWriter, r *http.Request) error {
	list := []queued{}
	for offset := 0; ; offset += maxPerPage {
		apps, total, err := s.History.Apps(offset, maxPerPage)
		if err != nil {
			return behind(err)
		}
		for _, a := range apps {
			list = append(list, queueOf(a)...)
		}
		if len(apps) == 0 || offset+len(apps) >= total {
			break
		}
	}
	slices.SortStableFunc(list, func(x, y queued) int {
		if (x.WaitsFor == "") != (y.WaitsFor == "") {
			if x.WaitsFor == "" {
				return -1
			}
			return 1
		}
		return cmp.Or(x.Requested.Compare(y.Requested), cmp.Compare(x.Deployment, y.Deployment), cmp.Compare(x.Push, y.Push))
	})
	for i := range list {
		list[i].Position = i + 1
	}
	return ok(w, "queue", list)
}

func queueOf(a deploy.App) []queued {
	var list []queued
	for i, d := range a.Live() {
		view := deploymentView(a, d)
		q := queued{
			AppID: a.ID, App: a.Name, Deployment: d.ID, Phase: d.Phase, Cause: d.Cause, By: d.Actor, Since: d.Updated,
			Requested: d.Requested, Components: view.Components,
		}
		switch {
		case d.Phase == deploy.PendingBuild:
			q.WaitsFor = "a builder"
		case d.Phase == deploy.PendingDeploy && a.Stopped:
			q.WaitsFor = "the app to be started"
		case d.Phase == deploy.PendingDeploy && i > 0:
			q.WaitsFor = "the deployment before it"
		case d.Phase == deploy.PendingDeploy:
			q.WaitsFor = "its rollout"
		}
		list = append(list, q)
	}
	for id, p := range a.Pending { // for a moment; for as long as its git server does not answer
		list = append(list, queued{
			AppID: a.ID, App: a.Name, Push: id, Cause: fmt.Sprintf("push of %s to %s", cmp.Or(p.After.Short(), "nothing"), p.Ref.Short()),
			By: p.Actor, Since: p.At, Requested: p.At, WaitsFor: "its git server",
		})
	}
	return list
}
