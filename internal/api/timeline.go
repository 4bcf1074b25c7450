package api

import (
	"encoding/json"
	"net/http"
	"time"

	"shiplog/events"
)

func (s *server) timeline(w http.ResponseWriter, r *http.Request) error {
	a, err := s.appOf(r, "")
	if err != nil {
		return err
	}
	p := pageOf(r)
	recorded, total, err := s.History.Timeline(a.ID, p.offset(), p.per)
	if err != nil {
		return err
	}
	list := make([]map[string]any, 0, len(recorded))
	for _, e := range recorded {
		list = append(list, eventView(e))
	}
	return s.list(w, p, "timeline", list, total)
}

// eventView is an event: its envelope, and its own fields beside it. An own field that has the name of an envelope's and
// says something else is kept as <name>_text (the cause of a deployment in words, beside the id of what caused it).
func eventView(e events.Recorded) map[string]any {
	o := map[string]any{
		"seq": e.Position.Sequence, "epoch": e.Position.Epoch, "id": e.ID, "type": e.Type, "at": e.At, "actor": e.Actor,
		"cause": e.Cause, "hash": e.Hash,
	}
	if e.Deployment != "" {
		o["deployment"] = e.Deployment
	}
	own := map[string]json.RawMessage{}
	if json.Unmarshal(e.Body, &own) != nil {
		own = nil // an event of the future may be anything
	}
	for name, value := range own {
		was, taken := o[name]
		if !taken {
			o[name] = value
			continue
		}
		if same, err := json.Marshal(was); err != nil || string(same) != string(value) {
			o[name+"_text"] = value
		}
	}
	if u, ok := e.Event.(events.Unknown); ok {
		o["not_understood"] = u.Why
	}
	return o
}

// thenObject is what an app was at a moment.
type thenObject struct {
	Time       time.Time               `json:"time"` // that was asked for
	Stopped    bool                    `json:"stopped,omitempty"`
	Release    *releaseObject          `json:"release,omitempty"` // that served; absent before the first
	Deployment events.ID               `json:"deployment_id,omitempty"`
	Components map[string]targetObject `json:"components"` // what served
	Spec       events.Spec             `json:"spec"`       // under which it served; before the first release the one in force
	Pins       []pinObject             `json:"pins,omitempty"`
	Event      events.ID               `json:"event"` // the last one before the moment
	Actor      events.Actor            `json:"actor"`
	At         time.Time               `json:"at"` // when that event was
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
		return err
	}
	if !found {
		return notFound("app %s did not exist at %s; it was created %s", a.Name, t.UTC().Format(time.RFC3339), a.Created.UTC().Format(time.RFC3339))
	}
	return ok(w, "at", thenView(t, then))
}

func thenView(t time.Time, then Then) thenObject {
	a := then.App
	o := thenObject{
		Time: t, Stopped: a.Stopped, Deployment: a.Active, Components: map[string]targetObject{}, Spec: a.Spec, Pins: pinViews(a),
		Event: then.Event, Actor: then.Actor, At: then.At,
	}
	if rel, ok := a.Running(); ok {
		view := releaseView(a, rel)
		o.Release, o.Spec = &view, a.Specs[rel.SpecHash]
	}
	served := map[string]events.Target{}
	for name, serving := range a.Serving {
		served[name] = serving.Target
	}
	o.Components = targetViews(served)
	return o
}
