package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"shiplog/events"
)

// change is one difference. From or To is absent where the thing is not there on that side.
type change struct {
	Path string `json:"path"` // "services.web.http_port"
	From any    `json:"from,omitempty"`
	To   any    `json:"to,omitempty"`
}

func (s *server) diffReleases(w http.ResponseWriter, r *http.Request) error {
	a, err := s.appOf(r, "")
	if err != nil {
		return err
	}
	from, err := releaseOf(a, r.PathValue("a"))
	if err != nil {
		return err
	}
	to, err := releaseOf(a, r.PathValue("b"))
	if err != nil {
		return err
	}
	return ok(w, "diff", map[string]any{
		"from": releaseView(a, from), "to": releaseView(a, to),
		"components": diffTargets(from.Have, to.Have),
		"spec":       diffSpecs(a.Specs[from.SpecHash], a.Specs[to.SpecHash]),
	})
}

func diffTargets(from, to map[string]events.Target) []change {
	flat := func(targets map[string]events.Target) map[string]any {
		out := map[string]any{}
		for name, t := range targets {
			flatten(name, plain(targetObject{t.Revision.String(), t.Revision.Commit, t.Image, t.Digest}), out)
		}
		return out
	}
	return diff(flat(from), flat(to))
}

func diffSpecs(from, to events.Spec) []change {
	flat := func(s events.Spec) map[string]any {
		out := map[string]any{}
		flatten("", plain(s), out)
		return out
	}
	return diff(flat(from), flat(to))
}

// diff lists what differs between two flat documents, sorted by path.
func diff(from, to map[string]any) []change {
	all := maps.Clone(from)
	maps.Copy(all, to)
	changes := []change{}
	for _, path := range slices.Sorted(maps.Keys(all)) {
		if from[path] != to[path] {
			changes = append(changes, change{path, from[path], to[path]})
		}
	}
	return changes
}

// flatten writes the leaves of a JSON value into out by path. Members of a list go by their name or key where they have
// one, so that moving one is no change.
func flatten(path string, v any, out map[string]any) {
	join := func(name string) string {
		if path == "" {
			return name
		}
		return path + "." + name
	}
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			flatten(join(name), member, out)
		}
	case []any:
		for i, member := range v {
			name := fmt.Sprint(i)
			if m, ok := member.(map[string]any); ok {
				for _, key := range []string{"name", "key", "path"} {
					if s, ok := m[key].(string); ok {
						name = s
						break
					}
				}
			}
			flatten(join(name), member, out)
		}
	default:
		out[path] = v
	}
}

// plain is v as encoding/json would read it back.
func plain(v any) (out any) {
	body, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(body, &out)
	}
	if err != nil {
		panic(err) // v is plain data
	}
	return out
}
