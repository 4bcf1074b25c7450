package api

import (
	"context"
	"net/http"
	"slices"

	"shiplog/events"
	"shiplog/internal/deploy"
)

// deploying gives a command that leads to a deployment, and answers with it. When what was asked for is so already, it
// answers with the deployment that does it: clients need one.
func (s *server) deploying(w http.ResponseWriter, r *http.Request, p prepare) error {
	res, err := s.give(r, p)
	if err != nil {
		return err
	}
	d := resulting(res)
	if d == nil {
		return ok(w, "deployment", map[string]any{})
	}
	return ok(w, "deployment", deploymentView(res.App, d))
}

func (s *server) listDeployments(w http.ResponseWriter, r *http.Request) error {
	a, err := s.appOf(r, "")
	if err != nil {
		return err
	}
	p := pageOf(r)
	deployments, total, err := s.History.Deployments(a.ID, p.offset(), p.per)
	if err != nil {
		return behind(err)
	}
	list := make([]deploymentObject, 0, len(deployments))
	for _, d := range deployments {
		list = append(list, deploymentView(a, s.newer(a, &d)))
	}
	return s.list(w, p, "deployments", list, total)
}

// newer prefers the app's own state of a deployment to the history's, which may be behind.
func (s *server) newer(a deploy.App, d *deploy.Deployment) *deploy.Deployment {
	if own := a.Deployments[d.ID]; own != nil {
		return own
	}
	return d
}

func (s *server) getDeployment(w http.ResponseWriter, r *http.Request) error {
	a, err := s.appOf(r, "")
	if err != nil {
		return err
	}
	d, err := s.deploymentOf(r, a)
	if err != nil {
		return err
	}
	return ok(w, "deployment", deploymentView(a, d))
}

func (s *server) createDeployment(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		ForceBuild   bool `json:"force_build"`
		ForceRebuild bool `json:"force_rebuild"`
		ClearCache   bool `json:"clear_build_cache"`
	}
	if err := decode(r, &body, false); err != nil {
		return err
	}
	mode := events.BuildReuse
	switch {
	case body.ClearCache:
		mode = events.BuildClean
	case body.ForceBuild || body.ForceRebuild:
		mode = events.BuildForce
	}
	return s.deploying(w, r, func(ctx context.Context, a deploy.App) (deploy.Command, error) {
		targets, err := s.newest(ctx, a, a.Spec, func(c events.Component) bool {
			pin, ok := a.PinOf(c.Name) // a fixed pin needs no asking, and must not fail because a server is down
			return !ok || pin.Kind == events.RefBranch
		})
		return deploy.Deploy{Targets: targets, Mode: mode}, err
	})
}

func (s *server) cancel(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Reason string `json:"reason"`
	}
	if err := decode(r, &body, false); err != nil {
		return err
	}
	var d *deploy.Deployment
	res, err := s.give(r, func(_ context.Context, a deploy.App) (deploy.Command, error) {
		var err error
		if d, err = s.deploymentOf(r, a); err != nil {
			return nil, err
		}
		if d.Phase.Final() {
			return nil, conflict("deployment %s is over: %s", d.ID, d.Phase)
		}
		return deploy.Cancel{Deployment: d.ID, Reason: body.Reason}, nil
	})
	if err != nil {
		return err
	}
	if now, err := s.deploymentOf(r, res.App); err == nil {
		d = now
	} else if d == nil { // given before, and forgotten since
		return err
	}
	return ok(w, "deployment", deploymentView(res.App, d))
}

func (s *server) restart(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Components []string `json:"components"`
	}
	if err := decode(r, &body, false); err != nil {
		return err
	}
	return s.deploying(w, r, func(_ context.Context, a deploy.App) (deploy.Command, error) {
		for _, name := range body.Components {
			if err := knownComponent(a, name); err != nil {
				return nil, err
			}
		}
		slices.Sort(body.Components)
		return deploy.Restart{Components: slices.Compact(body.Components)}, nil
	})
}
