package api

import (
	"maps"
	"net/http"
	"slices"

	"shiplog/events"
	"shiplog/internal/spec"
)

// targetChange is a component that runs something else. From or To is absent where the component is not there.
type targetChange struct {
	Component string        `json:"component"`
	From      *targetObject `json:"from,omitempty"`
	To        *targetObject `json:"to,omitempty"`
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

// diffSpecs never returns nil: an answer has a list, if an empty one.
func diffSpecs(from, to events.Spec) []spec.Change {
	return append([]spec.Change{}, spec.Diff(from, to)...)
}

// diffTargets lists the components that differ, by name.
func diffTargets(from, to map[string]events.Target) []targetChange {
	was, is := targetViews(from), targetViews(to)
	all := maps.Clone(was)
	maps.Copy(all, is)
	changes := []targetChange{}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		c := targetChange{Component: name}
		if t, ok := was[name]; ok {
			c.From = &t
		}
		if t, ok := is[name]; ok {
			c.To = &t
		}
		if from[name] != to[name] {
			changes = append(changes, c)
		}
	}
	return changes
}
