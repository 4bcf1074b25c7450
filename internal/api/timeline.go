package api

import (
	"encoding/json"
	"net/http"

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
		return behind(err)
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
