package api

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"shiplog/events"
	"shiplog/internal/deploy"
)

// appOf returns the app that {id} names: by its id, or for people by its name. An app that is deleted is not found,
// except by the order that deleted it.
func (s *server) appOf(r *http.Request, orderID string) (deploy.App, error) {
	arg := r.PathValue("id")
	id, err := events.ParseID(arg)
	if err != nil {
		var known bool
		if id, known = s.History.AppByName(arg); !known {
			return deploy.App{}, notFound("there is no app %s%s", arg, s.suggest(arg))
		}
	}
	a, err := s.Desk.State(r.Context(), id)
	if err != nil {
		return deploy.App{}, err
	}
	if !a.Exists() && !(a.Deleted && orderID != "" && a.Did(orderID)) {
		return deploy.App{}, notFound("there is no app %s", arg)
	}
	return a, nil
}

// deploymentOf returns the deployment that {dep} names: a live or recent one from the app's state, else from history.
func (s *server) deploymentOf(r *http.Request, a deploy.App) (*deploy.Deployment, error) {
	arg := r.PathValue("dep")
	id, err := events.ParseID(arg)
	if err != nil {
		return nil, notFound("%s is not the id of a deployment of %s: shiplog queue lists those under way, GET /v2/apps/%s/deployments all", arg, a.Name, a.ID)
	}
	return s.deployment(a, id)
}

func (s *server) deployment(a deploy.App, id events.ID) (*deploy.Deployment, error) {
	if d := a.Deployments[id]; d != nil {
		return d, nil
	}
	d, ok, err := s.History.Deployment(a.ID, id)
	if err != nil {
		return nil, behind(err)
	}
	if !ok {
		return nil, notFound("app %s has no deployment %s: shiplog queue lists those under way, GET /v2/apps/%s/deployments all", a.Name, id, a.ID)
	}
	return &d, nil
}

// suggest names apps that the person may have meant, as the end of a message.
func (s *server) suggest(name string) string {
	apps, _, err := s.History.Apps(0, maxPerPage)
	if err != nil || len(apps) == 0 {
		return ""
	}
	var names []string
	for _, a := range apps {
		names = append(names, a.Name)
	}
	near := closest(name, names)
	if len(near) == 0 {
		return "; list them with `shiplog apps list`"
	}
	return "; did you mean " + strings.Join(near, " or ") + "?"
}

// closest returns up to three names that differ from name by a few letters, the nearest first.
func closest(name string, names []string) []string {
	type near struct {
		name     string
		distance int
	}
	var found []near
	for _, n := range names {
		d := distance(name, n)
		if d <= max(1, len(name)/3) || len(name) >= 3 && strings.HasPrefix(n, name) {
			found = append(found, near{n, d})
		}
	}
	slices.SortFunc(found, func(a, b near) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(a.name, b.name))
	})
	var out []string
	for _, f := range found[:min(3, len(found))] {
		out = append(out, f.name)
	}
	return out
}

// distance is the number of letters to add, drop or change to make one word of the other.
func distance(a, b string) int {
	a, b = a[:min(len(a), 64)], b[:min(len(b), 64)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
