package api

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"

	"shiplog/events"
	"shiplog/internal/deploy"
)

// reserved are words of the contract that stand where an app's name could.
var reserved = []string{"propose", "regions", "tiers", "detect"}

func (s *server) createApp(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Spec json.RawMessage `json:"spec"`
	}
	if err := decode(r, &body, false); err != nil {
		return err
	}
	o, err := s.order(r)
	if err != nil {
		return err
	}
	app := deploy.AppID(o.ID)
	known, err := s.Desk.State(r.Context(), app)
	if err != nil {
		return err
	}
	if known.Did(o.ID) {
		return ok(w, "app", s.confirmed(again(known, o)))
	}
	sp, err := parseSpec(body.Spec)
	if err != nil {
		return err
	}
	if slices.Contains(reserved, sp.Name) {
		return invalid("an app cannot be called %s: the API uses that word", sp.Name)
	}
	if id, taken := s.History.AppByName(sp.Name); taken && id != app {
		return conflict("an app named %s exists already: choose another name, or change that one with shiplog apps update %s", sp.Name, sp.Name)
	}
	if sp, err = s.seal(app, sp); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), resolveTime)
	defer cancel()
	targets, err := s.newest(ctx, deploy.App{ID: app, Name: sp.Name}, sp, func(events.Component) bool { return true })
	if err != nil {
		return err
	}
	o.Command = deploy.CreateApp{Spec: sp, Targets: targets}
	res, err := s.carryOut(r.Context(), func(ctx context.Context) (deploy.Result, error) { return s.Desk.Create(ctx, sp.Name, o) })
	if err != nil {
		return err
	}
	return ok(w, "app", s.confirmed(res))
}

func (s *server) listApps(w http.ResponseWriter, r *http.Request) error {
	p := pageOf(r)
	apps, total, err := s.History.Apps(p.offset(), p.per)
	if err != nil {
		return behind(err)
	}
	list := make([]appObject, 0, len(apps))
	for _, a := range apps {
		list = append(list, s.app(a))
	}
	return s.list(w, p, "apps", list, total)
}

func (s *server) getApp(w http.ResponseWriter, r *http.Request) error {
	a, err := s.appOf(r, "")
	if err != nil {
		return err
	}
	return ok(w, "app", s.app(a))
}

func (s *server) updateApp(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Spec      json.RawMessage `json:"spec"`
		UpdateAll bool            `json:"update_all_source_versions"`
	}
	if err := decode(r, &body, false); err != nil {
		return err
	}
	res, err := s.give(r, func(ctx context.Context, a deploy.App) (deploy.Command, error) {
		if _, release, err := takeRelease(body.Spec); err != nil {
			return nil, err
		} else if release > 0 {
			cmd, _, err := pinToRelease(a, release, "")
			return cmd, err
		}
		sp, err := parseSpec(body.Spec)
		if err != nil {
			return nil, err
		}
		if sp, err = s.seal(a.ID, sp); err != nil {
			return nil, err
		}
		targets, err := s.newest(ctx, a, sp, func(c events.Component) bool {
			before, existed := a.Spec.Component(c.Name)
			return body.UpdateAll || !existed || !before.SameSource(c)
		})
		if err != nil {
			return nil, err
		}
		for _, c := range sp.Components() { // what never had anything may have by now; if not, it goes on waiting
			if _, asked := targets[c.Name]; asked || !a.Want[c.Name].IsZero() {
				continue
			}
			if t, err := s.Resolver.Newest(ctx, a, sp, c); err == nil {
				targets[c.Name] = t
			}
		}
		return deploy.ChangeSpec{Spec: sp, Targets: targets, UpdateAll: body.UpdateAll}, nil
	})
	if err != nil {
		return err
	}
	return ok(w, "app", s.confirmed(res))
}

func (s *server) deleteApp(w http.ResponseWriter, r *http.Request) error {
	res, err := s.give(r, func(context.Context, deploy.App) (deploy.Command, error) { return deploy.DeleteApp{}, nil })
	if err != nil {
		return err
	}
	return ok(w, "id", res.App.ID)
}

func (s *server) stop(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Reason string `json:"reason"`
	}
	if err := decode(r, &body, true); err != nil {
		return err
	}
	res, err := s.give(r, func(context.Context, deploy.App) (deploy.Command, error) {
		return deploy.StopApp{Reason: body.Reason}, nil
	})
	if err != nil {
		return err
	}
	return ok(w, "app", s.app(res.App))
}

func (s *server) start(w http.ResponseWriter, r *http.Request) error {
	if err := decode(r, &struct{}{}, true); err != nil {
		return err
	}
	res, err := s.give(r, func(context.Context, deploy.App) (deploy.Command, error) { return deploy.StartApp{}, nil })
	if err != nil {
		return err
	}
	return ok(w, "app", s.app(res.App))
}
