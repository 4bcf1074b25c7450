package api

import (
	"maps"
	"slices"
	"time"

	"shiplog/events"
	"shiplog/internal/deploy"
)

// pinObject is a pin in force.
type pinObject struct {
	Component  string                  `json:"component,omitempty"` // empty: the whole app
	Kind       events.RefKind          `json:"kind"`
	Ref        string                  `json:"ref"`
	Resolved   map[string]targetObject `json:"resolved"`
	Reason     string                  `json:"reason,omitempty"`
	By         events.Actor            `json:"by"`
	At         time.Time               `json:"at"`
	ExpiresAt  time.Time               `json:"expires_at,omitzero"`
	Deployment events.ID               `json:"deployment_id,omitempty"`
	Holds      bool                    `json:"holds"` // pushes wait until it ends
	Revert     bool                    `json:"revertible"`
}

// targetObject is what one component runs.
type targetObject struct {
	Revision string        `json:"revision,omitempty"`
	Commit   events.Commit `json:"commit,omitempty"`
	Image    string        `json:"image,omitempty"`
	Digest   events.Digest `json:"digest,omitempty"`
}

func targetViews(targets map[string]events.Target) map[string]targetObject {
	out := make(map[string]targetObject, len(targets))
	for name, t := range targets {
		out[name] = targetObject{t.Revision.String(), t.Revision.Commit, t.Image, t.Digest}
	}
	return out
}

func pinView(component string, p deploy.Pin) pinObject {
	return pinObject{
		Component: component, Kind: p.Kind, Ref: p.Ref, Resolved: targetViews(p.Resolved), Reason: p.Reason, By: p.By, At: p.At,
		ExpiresAt: p.Expires, Deployment: p.Deployment, Holds: p.Kind != events.RefBranch, Revert: p.Before != nil,
	}
}

func pinViews(a deploy.App) []pinObject {
	var list []pinObject
	for _, c := range slices.Sorted(maps.Keys(a.Pins)) {
		list = append(list, pinView(c, a.Pins[c]))
	}
	return list
}
