package api

import (
	"cmp"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"shiplog/events"
	"shiplog/internal/deploy"
)

// appObject is App Platform's app, and after region what Shiplog adds.
type appObject struct {
	ID                      events.ID         `json:"id"`
	OwnerUUID               events.ID         `json:"owner_uuid"`
	Spec                    events.Spec       `json:"spec"`
	DefaultIngress          string            `json:"default_ingress,omitempty"`
	LiveURL                 string            `json:"live_url,omitempty"`
	LiveURLBase             string            `json:"live_url_base,omitempty"`
	LiveDomain              string            `json:"live_domain,omitempty"`
	CreatedAt               time.Time         `json:"created_at"`
	UpdatedAt               time.Time         `json:"updated_at"`
	ActiveDeployment        *deploymentObject `json:"active_deployment,omitempty"`
	InProgressDeployment    *deploymentObject `json:"in_progress_deployment,omitempty"`
	PendingDeployment       *deploymentObject `json:"pending_deployment,omitempty"`
	PinnedDeployment        *deploymentObject `json:"pinned_deployment,omitempty"`
	LastDeploymentCreatedAt time.Time         `json:"last_deployment_created_at,omitzero"`
	LastDeploymentActiveAt  time.Time         `json:"last_deployment_active_at,omitzero"`
	TierSlug                string            `json:"tier_slug"`
	Region                  regionObject      `json:"region"`

	Stopped     bool         `json:"stopped,omitempty"`
	ReadOnly    string       `json:"read_only,omitempty"` // why no command is accepted
	Release     int          `json:"release,omitempty"`   // that serves
	Pins        []pinObject  `json:"pins,omitempty"`
	Held        []heldObject `json:"held,omitempty"` // pushes that wait for a pin to end
	Quarantined []barred     `json:"quarantined,omitempty"`
}

// heldObject is the newest push that a pin holds back from a component.
type heldObject struct {
	Component string        `json:"component"`
	Revision  string        `json:"revision"`
	Commit    events.Commit `json:"commit"`
	At        time.Time     `json:"at"`
	Count     int           `json:"count"` // pushes held, this one included
}

// barred is a commit or an image in quarantine.
type barred struct {
	Commit events.Commit `json:"commit,omitempty"`
	Digest events.Digest `json:"digest,omitempty"`
	Reason string        `json:"reason,omitempty"`
}

// app returns the app as clients see it.
func (s *server) app(a deploy.App) appObject { return appView(a, s.liveURL(a)) }

// confirmed is the app in the reply to a command: pending_deployment is the deployment that the command made, whatever
// its phase, because clients wait for its id. When it made none, it is the one that does what was asked.
func (s *server) confirmed(res deploy.Result) appObject {
	o := s.app(res.App)
	if d := resulting(res); d != nil {
		view := deploymentView(res.App, d)
		o.PendingDeployment = &view
	}
	return o
}

// resulting is the deployment that a command made or, when what it asks for is so already, the newest that is under way
// or serves. It is nil for an app that never had one.
func resulting(res deploy.Result) *deploy.Deployment {
	if d := res.App.Deployments[res.Deployment]; d != nil {
		return d
	}
	if live := res.App.Live(); len(live) > 0 {
		return live[len(live)-1]
	}
	return res.App.Deployments[res.App.Active]
}

// liveURL is where the app's services answer, or would once deployed.
func (s *server) liveURL(a deploy.App) string {
	if len(a.Spec.Services) == 0 {
		return ""
	}
	host := a.Name + "." + s.Domain
	if _, port, err := net.SplitHostPort(s.Ingress); err == nil && port != "80" {
		host = net.JoinHostPort(host, port)
	}
	return "http://" + host
}

// appView maps an app. url is where its services answer, "" when it has none.
func appView(a deploy.App, url string) appObject {
	o := appObject{
		ID: a.ID, OwnerUUID: owner, Spec: a.Spec, CreatedAt: a.Created, UpdatedAt: a.Updated, TierSlug: "basic", Region: local,
		Stopped: a.Stopped, ReadOnly: a.ReadOnly, DefaultIngress: url,
	}
	view := func(d *deploy.Deployment) *deploymentObject {
		if d == nil {
			return nil
		}
		v := deploymentView(a, d)
		return &v
	}
	if d := a.Deployments[a.Active]; d != nil {
		o.ActiveDeployment, o.LastDeploymentActiveAt = view(d), d.Ended
		o.LiveURL, o.LiveURLBase, o.LiveDomain = url, url, hostOf(url)
	}
	if r, ok := a.Running(); ok {
		o.Release = r.Number
	}
	for _, d := range a.Deployments {
		if d.Requested.After(o.LastDeploymentCreatedAt) {
			o.LastDeploymentCreatedAt = d.Requested
		}
	}
	for _, d := range a.Live() {
		switch {
		case d.Phase == deploy.PendingBuild:
			o.PendingDeployment = view(d) // the newest of those that wait
		case o.InProgressDeployment == nil:
			o.InProgressDeployment = view(d)
		}
	}
	o.Pins = pinViews(a)
	o.PinnedDeployment = view(pinned(a))
	for _, c := range slices.Sorted(maps.Keys(a.Held)) {
		h := a.Held[c]
		o.Held = append(o.Held, heldObject{c, h.Revision.String(), h.Revision.Commit, h.At, h.Count})
	}
	o.Quarantined = quarantineView(a)
	return o
}

// pinned returns the deployment that the app's pin is about: the one it made, or that which ran already. A pin of one
// component of several pins no deployment of the app.
func pinned(a deploy.App) *deploy.Deployment {
	p, ok := a.Pins[""]
	if !ok && len(a.Spec.Components()) == 1 {
		for _, p = range a.Pins {
			ok = true
		}
	}
	if !ok {
		return nil
	}
	return a.Deployments[cmp.Or(p.Deployment, a.Active)]
}

func quarantineView(a deploy.App) []barred {
	var list []barred
	for _, id := range slices.Sorted(maps.Keys(a.Quarantined)) {
		b := barred{Commit: events.Commit(id), Reason: a.Quarantined[id]}
		if d, err := events.ParseDigest(id); err == nil {
			b.Commit, b.Digest = "", d
		}
		list = append(list, b)
	}
	return list
}

func hostOf(url string) string {
	_, host, _ := strings.Cut(url, "://")
	if h, _, err := net.SplitHostPort(host); err == nil {
		return h
	}
	return host
}
