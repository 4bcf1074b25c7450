package api

import (
	"net/http"
	"time"

	"shiplog/events"
	"shiplog/internal/deploy"
)

// thenObject is what an app ran at a moment.
type thenObject struct {
	Time       time.Time               `json:"time"` // that was asked for
	Release    *releaseObject          `json:"release,omitempty"`
	Deployment events.ID               `json:"deployment_id"`
	Since      time.Time               `json:"since"` // when that went live
	Actor      events.Actor            `json:"actor"` // who asked for it
	Components map[string]targetObject `json:"components"`
	Spec       events.Spec             `json:"spec"` // under which it ran
	Pins       []pinObject             `json:"pins,omitempty"`
	Stopped    bool                    `json:"stopped,omitempty"` // nothing ran; the rest is what would have
}

func (s *server) at(w http.ResponseWriter, r *http.Request) error {
	a, err := s.appOf(r, "")
	if err != nil {
		return err
	}
	t := s.Now()
	if arg := r.URL.Query().Get("time"); arg != "" {
		if t, err = time.Parse(time.RFC3339, arg); err != nil {
			return badRequest("time is not of the form 2006-01-02T15:04:05Z: %q", arg)
		}
	}
	if s.At == nil {
		return notFound("this service keeps no index of the past")
	}
	then, found, err := s.At(r.Context(), a.ID, t)
	if err != nil {
		return behind(err)
	}
	if !found {
		return notFound("app %s ran nothing at %s; it was created %s", a.Name, t.UTC().Format(time.RFC3339), a.Created.UTC().Format(time.RFC3339))
	}
	return ok(w, "at", thenView(a, t, then))
}

func thenView(a deploy.App, t time.Time, then Then) thenObject {
	o := thenObject{
		Time: t, Deployment: then.Deployment, Since: then.Since, Actor: then.Actor, Components: targetViews(then.Have),
		Spec: then.Spec, Pins: pinViews(deploy.App{Pins: then.Pins}), Stopped: then.Stopped,
	}
	if n := then.Release; n >= 1 && n <= len(a.Releases) {
		view := releaseView(a, a.Releases[n-1])
		o.Release = &view
	}
	return o
}
