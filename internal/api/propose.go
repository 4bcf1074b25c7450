package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"shiplog/events"
)

// propose checks a spec without doing anything. Prices are strings where App Platform's are.
func (s *server) propose(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Spec  json.RawMessage `json:"spec"`
		AppID string          `json:"app_id"`
	}
	if err := decode(r, &body, false); err != nil {
		return err
	}
	sp, err := parseSpec(body.Spec)
	if err != nil {
		return err
	}
	answer := struct {
		Available   bool        `json:"app_name_available"`
		Suggestion  string      `json:"app_name_suggestion,omitempty"`
		Spec        events.Spec `json:"spec"`
		Cost        float32     `json:"app_cost"`
		StaticApps  string      `json:"existing_static_apps"`
		StaticLimit string      `json:"max_free_static_apps"`
	}{Available: s.free(sp.Name, body.AppID), Spec: sp, StaticApps: "0", StaticLimit: "0"}
	if !answer.Available {
		answer.Suggestion = s.freeName(sp.Name)
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

// free reports whether an app may take the name; an app may keep its own.
func (s *server) free(name, app string) bool {
	id, taken := s.History.AppByName(name)
	return !slices.Contains(reserved, name) && (!taken || string(id) == app)
}

// maxName is the longest name a spec may have.
const maxName = 32

func (s *server) freeName(name string) string {
	for n := 2; n < 100; n++ {
		suffix := fmt.Sprintf("-%d", n)
		candidate := name[:min(len(name), maxName-len(suffix))] + suffix
		if s.free(candidate, "") {
			return candidate
		}
	}
	return ""
}
