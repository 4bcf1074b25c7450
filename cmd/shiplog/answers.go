package main

import (
	"encoding/json"
	"time"

	"shiplog/events"
)

// What the client reads of the API's objects.

type appAnswer struct {
	ID          string             `json:"id"`
	Spec        events.Spec        `json:"spec"`
	LiveURL     string             `json:"live_url"`
	URL         string             `json:"default_ingress"`
	UpdatedAt   time.Time          `json:"updated_at"`
	CreatedAt   time.Time          `json:"created_at"`
	Active      *deploymentAnswer  `json:"active_deployment"`
	InProgress  *deploymentAnswer  `json:"in_progress_deployment"`
	Pending     *deploymentAnswer  `json:"pending_deployment"`
	Stopped     bool               `json:"stopped"`
	ReadOnly    string             `json:"read_only"`
	Release     int                `json:"release"`
	Pins        []pinAnswer        `json:"pins"`
	Held        []heldAnswer       `json:"held"`
	Quarantined []quarantineAnswer `json:"quarantined"`
}

type deploymentAnswer struct {
	ID         string            `json:"id"`
	Phase      string            `json:"phase"`
	Cause      string            `json:"cause"`
	Release    int               `json:"release"`
	Components []componentAnswer `json:"components"`
	Failure    *struct {
		Component, Step, Reason, Log string
	} `json:"failure"`
	SupersededBy string    `json:"superseded_by"`
	CancelReason string    `json:"cancel_reason"`
	CreatedAt    time.Time `json:"created_at"`
	UpdatedAt    time.Time `json:"updated_at"`

	raw json.RawMessage // as the service sent it
}

type componentAnswer struct {
	Name         string         `json:"name"`
	Revision     string         `json:"revision"`
	Commit       events.Commit  `json:"commit"`
	Digest       events.Digest  `json:"digest"`
	BuildSkipped bool           `json:"build_skipped"`
	Builder      string         `json:"builder"`
	Phases       []events.Phase `json:"phases"`
}

type targetAnswer struct {
	Revision string        `json:"revision"`
	Commit   events.Commit `json:"commit"`
	Image    string        `json:"image"`
	Digest   events.Digest `json:"digest"`
}

type pinAnswer struct {
	Component string                  `json:"component"`
	Kind      events.RefKind          `json:"kind"`
	Ref       string                  `json:"ref"`
	Resolved  map[string]targetAnswer `json:"resolved"`
	Reason    string                  `json:"reason"`
	By        string                  `json:"by"`
	At        time.Time               `json:"at"`
	ExpiresAt time.Time               `json:"expires_at"`
	Holds     bool                    `json:"holds"`
}

type heldAnswer struct {
	Component string        `json:"component"`
	Commit    events.Commit `json:"commit"`
	At        time.Time     `json:"at"`
	Count     int           `json:"count"`
}

type quarantineAnswer struct {
	Commit events.Commit `json:"commit"`
	Digest events.Digest `json:"digest"`
	Reason string        `json:"reason"`
}

type releaseAnswer struct {
	Number       int                     `json:"number"`
	Name         string                  `json:"name"`
	Change       string                  `json:"change"`
	By           string                  `json:"by"`
	When         time.Time               `json:"when"`
	Components   map[string]targetAnswer `json:"components"`
	RolledBackTo int                     `json:"rolled_back_to"`
	Active       bool                    `json:"active"`
	Missing      []string                `json:"missing"`
}

// pinned is the reply to a pin.
type pinned struct {
	App        appAnswer       `json:"app"`
	Pin        pinAnswer       `json:"pin"`
	Deployment json.RawMessage `json:"deployment"` // absent when it runs already
	Note       string          `json:"note"`
	Undo       *struct{ Action, Ref, Component string }
}

// deploymentOf reads a deployment; nil when there is none.
func deploymentOf(raw json.RawMessage) (*deploymentAnswer, error) {
	if len(raw) == 0 || string(raw) == "null" || string(raw) == "{}" {
		return nil, nil
	}
	d := &deploymentAnswer{raw: raw}
	return d, json.Unmarshal(raw, d)
}
