package api

import (
	"context"
	"errors"
	"net/http"

	"shiplog/events"
	"shiplog/internal/deploy"
)

// rollbackRequest is App Platform's: back to what a deployment made, pinned to it unless SkipPin.
type rollbackRequest struct {
	DeploymentID string `json:"deployment_id"`
	SkipPin      bool   `json:"skip_pin"`
}

func (s *server) rollback(w http.ResponseWriter, r *http.Request) error {
	var body rollbackRequest
	if err := decode(r, &body, false); err != nil {
		return err
	}
	return s.deploying(w, r, func(_ context.Context, a deploy.App) (deploy.Command, error) {
		cmd, err := s.backTo(a, body)
		if err != nil {
			return nil, err
		}
		return cmd, nil
	})
}

// backTo is the command that goes back to what a deployment made.
func (s *server) backTo(a deploy.App, body rollbackRequest) (deploy.PinTo, error) {
	id, err := events.ParseID(body.DeploymentID)
	if err != nil {
		return deploy.PinTo{}, invalid("deployment_id is not the id of a deployment: list them with GET /v2/apps/%s/deployments", a.ID)
	}
	number := 0
	for _, rel := range a.Releases {
		if rel.Deployment == id {
			number = rel.Number
		}
	}
	if number == 0 {
		d, err := s.deployment(a, id)
		if err != nil {
			return deploy.PinTo{}, err
		}
		if d.Phase != deploy.Active || d.Release == 0 {
			return deploy.PinTo{}, &phaseError{d.Phase, id}
		}
		number = d.Release // of a restart: what it restarted
	}
	cmd, _, err := pinToRelease(a, number, "")
	cmd.IfUnpinned, cmd.Commit = true, body.SkipPin
	return cmd, err
}

// phaseError refuses to go back to a deployment that never went live.
type phaseError struct {
	phase deploy.Phase
	id    events.ID
}

func (e *phaseError) Error() string {
	return "deployment " + string(e.id) + " never went live (" + string(e.phase) + "): there is nothing to go back to"
}

func (e *phaseError) As(target any) bool {
	f, ok := target.(**failure)
	if ok {
		*f = &failure{http.StatusUnprocessableEntity, "unprocessable_entity", e.Error()}
	}
	return ok
}

// finding is App Platform's form of a validation's result.
type finding struct {
	Code       string   `json:"code"`
	Message    string   `json:"message"`
	Components []string `json:"components,omitempty"`
}

// validateRollback is the dry run: the same decision on the app as it is, of which nothing is kept.
func (s *server) validateRollback(w http.ResponseWriter, r *http.Request) error {
	var body rollbackRequest
	if err := decode(r, &body, false); err != nil {
		return err
	}
	a, err := s.appOf(r, "")
	if err != nil {
		return err
	}
	cmd, err := s.backTo(a, body)
	if err == nil {
		_, err = deploy.Decide(a, deploy.Order{App: a.ID, ID: "validate:" + string(events.NewID()), Actor: actorOf(r), At: s.Now(), Command: cmd})
	}
	answer := struct {
		Valid    bool      `json:"valid"`
		Error    *finding  `json:"error,omitempty"`
		Warnings []finding `json:"warnings"`
	}{Valid: err == nil, Warnings: []finding{}}
	if err != nil {
		f := classify(err)
		if f.status >= 500 || f.status == http.StatusNotFound {
			return err
		}
		answer.Error = &finding{Code: validationCode(err, f), Message: f.message}
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

// validationCode chooses among App Platform's codes.
func validationCode(err error, f *failure) string {
	var phase *phaseError
	switch {
	case errors.As(err, &phase):
		return "incompatible_phase"
	case f.id == string(deploy.CodePinned):
		return "app_pinned"
	case errors.Is(err, errImageGone):
		return "exceeded_revision_limit"
	}
	return "incompatible_result"
}

func (s *server) commitRollback(w http.ResponseWriter, r *http.Request) error {
	if _, err := s.give(r, func(context.Context, deploy.App) (deploy.Command, error) {
		return deploy.Unpin{Why: events.UnpinCommit}, nil
	}); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

func (s *server) revertRollback(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Component string `json:"component"`
	}
	if err := decode(r, &body, false); err != nil {
		return err
	}
	return s.deploying(w, r, func(_ context.Context, a deploy.App) (deploy.Command, error) {
		return deploy.Unpin{Component: body.Component, Why: events.UnpinRevert}, knownComponent(a, body.Component)
	})
}
