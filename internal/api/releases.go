package api

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"shiplog/events"
	"shiplog/internal/deploy"
)

// releaseObject is a numbered result: what changed, who did it, when, and exactly what runs.
type releaseObject struct {
	Number       int                     `json:"number"`
	Name         string                  `json:"name"` // "v3"
	Deployment   events.ID               `json:"deployment_id"`
	Intent       events.Intent           `json:"intent"`
	Change       string                  `json:"change"`
	By           events.Actor            `json:"by"`
	When         time.Time               `json:"when"`
	Components   map[string]targetObject `json:"components"`
	SpecHash     events.SpecHash         `json:"spec_hash"`
	RolledBackTo int                     `json:"rolled_back_to,omitempty"` // the release whose images it brought back
	Active       bool                    `json:"active,omitempty"`         // it serves now
	Missing      []string                `json:"missing,omitempty"`        // components whose image was removed
}

func releaseView(a deploy.App, r deploy.Release) releaseObject {
	o := releaseObject{
		Number: r.Number, Name: "v" + strconv.Itoa(r.Number), Deployment: r.Deployment, Intent: r.Intent, Change: r.Cause,
		By: r.Actor, When: r.At, Components: targetViews(r.Have), SpecHash: r.SpecHash, RolledBackTo: r.RolledFrom,
	}
	now, serves := a.Running()
	o.Active = serves && now.Number == r.Number
	for name, t := range r.Have {
		if gone(a, name, t) {
			o.Missing = append(o.Missing, name)
		}
	}
	return o
}

func (s *server) listReleases(w http.ResponseWriter, r *http.Request) error {
	a, err := s.appOf(r, "")
	if err != nil {
		return err
	}
	p := pageOf(r)
	releases, total, err := s.History.Releases(a.ID, p.offset(), p.per)
	if err != nil {
		return behind(err)
	}
	list := make([]releaseObject, 0, len(releases))
	for _, rel := range releases {
		list = append(list, releaseView(a, rel))
	}
	return s.list(w, p, "releases", list, total)
}

func (s *server) getRelease(w http.ResponseWriter, r *http.Request) error {
	a, err := s.appOf(r, "")
	if err != nil {
		return err
	}
	rel, err := releaseOf(a, r.PathValue("n"))
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, map[string]any{"release": releaseView(a, rel), "spec": a.Specs[rel.SpecHash]})
	return nil
}

// releaseOf reads "3" or "v3".
func releaseOf(a deploy.App, arg string) (deploy.Release, error) {
	n, err := strconv.Atoi(strings.TrimPrefix(arg, "v"))
	if err != nil || n < 1 || n > len(a.Releases) {
		return deploy.Release{}, notFound("app %s has no release %s; the newest is v%d", a.Name, arg, len(a.Releases))
	}
	return a.Releases[n-1], nil
}
