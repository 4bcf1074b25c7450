package deploy

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"shiplog/events"
)

// App is the folded state of one app's history. It is plain data: it encodes to JSON and back without loss.
// Its zero value is an app that does not exist.
type App struct {
	ID       events.ID   `json:"id"`
	Name     string      `json:"name"`
	Head     events.Head `json:"head"` // the last event folded in
	Created  time.Time   `json:"created"`
	Updated  time.Time   `json:"updated"`
	Deleted  bool        `json:"deleted,omitempty"`
	Stopped  bool        `json:"stopped,omitempty"`
	ReadOnly string      `json:"read_only,omitempty"` // why no command is accepted: an event was not understood

	Spec  events.Spec                     `json:"spec"`
	Specs map[events.SpecHash]events.Spec `json:"specs"` // every spec that was ever in force

	Want        map[string]events.Target `json:"want"`        // by component: what should run
	Pins        map[string]Pin           `json:"pins"`        // by component; "" pins all
	Held        map[string]Held          `json:"held"`        // by component: the newest push that a pin holds back
	Seen        map[string]Seen          `json:"seen"`        // by SeenKey: where each ref was last seen
	Received    map[string]events.Commit `json:"received"`    // by SeenKey: where the newest push from our own remote put each ref; absent: deleted, or never pushed
	Pending     map[string]PendingPush   `json:"pending"`     // by PushID: received, not judged yet
	Deliveries  map[string]time.Time     `json:"deliveries"`  // by PushID: kept for DeliveryMemory
	Quarantined map[string]string        `json:"quarantined"` // commit or digest -> reason

	Generation  uint64                    `json:"generation"`           // of the newest deployment
	Deployments map[events.ID]*Deployment `json:"deployments"`          // live ones, and the newest KeepFinished finished ones
	Active      events.ID                 `json:"active,omitempty"`     // the deployment that serves
	Releases    []Release                 `json:"releases"`             // all, oldest first: release n is Releases[n-1]
	Images      map[string][]Image        `json:"images"`               // by component: every image built and not removed
	Serving     map[string]Serving        `json:"serving"`              // by component: what serves
	Recent      []events.ID               `json:"recent"`               // ids of the newest events, so that an order given twice is known
	Superseded  int                       `json:"superseded,omitempty"` // builds superseded since one was last let finish
}

// DeliveryMemory is how long a delivery id is remembered after the push: 8 days, which is more than the 7 promised.
const DeliveryMemory = 8 * 24 * time.Hour

// KeepFinished is how many finished deployments an App holds; the projection keeps all of them.
const KeepFinished = 50

// Pin is a choice in force.
type Pin struct {
	Kind       events.RefKind           `json:"kind"`
	Ref        string                   `json:"ref"`
	Resolved   map[string]events.Target `json:"resolved"`
	Reason     string                   `json:"reason,omitempty"`
	By         events.Actor             `json:"by"`
	At         time.Time                `json:"at"`
	Expires    time.Time                `json:"expires,omitzero"`
	Deployment events.ID                `json:"deployment,omitempty"`
	SpecHash   events.SpecHash          `json:"spec_hash,omitempty"` // the spec that came back with it
	Before     *events.Before           `json:"before,omitempty"`    // of the first pin of the row
}

// Held is a push that waits for a pin to end.
type Held struct {
	Revision events.Revision `json:"revision"`
	Push     string          `json:"push"` // PushID
	At       time.Time       `json:"at"`
	Count    int             `json:"count"` // pushes held for this component, this one included
}

// Seen is the last known place of a ref.
type Seen struct {
	Commit events.Commit `json:"commit,omitempty"` // empty: deleted
	At     time.Time     `json:"at"`
}

// PendingPush is a push that was received and not judged.
type PendingPush struct {
	events.PushReceived
	At    time.Time    `json:"at"`
	Actor events.Actor `json:"actor"`
	Event events.ID    `json:"event"`
}

// SeenKey is the key of App.Seen: a ref of a repository.
func SeenKey(repository string, ref events.RefName) string { return repository + " " + string(ref) }

// Serving is what a component runs now.
type Serving struct {
	Deployment events.ID       `json:"deployment"`
	Generation uint64          `json:"generation"`
	SpecHash   events.SpecHash `json:"spec_hash"`
	Target     events.Target   `json:"target"`
}

// Phase is where a deployment is. The names are App Platform's.
type Phase string

// The phases. The last four are final.
const (
	PendingBuild  Phase = "PENDING_BUILD"
	Building      Phase = "BUILDING"
	PendingDeploy Phase = "PENDING_DEPLOY"
	Deploying     Phase = "DEPLOYING"
	Active        Phase = "ACTIVE"
	Superseded    Phase = "SUPERSEDED"
	Failed        Phase = "ERROR"
	Canceled      Phase = "CANCELED"
)

// Final reports whether the deployment is over. An active one is: its work is done, though another may replace it
// (which leaves its phase ACTIVE in history; App.Active says which one serves).
func (p Phase) Final() bool {
	return p == Active || p == Superseded || p == Failed || p == Canceled
}

// Deployment is one attempt to make the app run something.
type Deployment struct {
	ID         events.ID                `json:"id"`
	Generation uint64                   `json:"generation"`
	Intent     events.Intent            `json:"intent"`
	Cause      string                   `json:"cause"`
	Actor      events.Actor             `json:"actor"`
	PushID     string                   `json:"push,omitempty"`   // the push that caused it
	Source     *events.Change           `json:"source,omitempty"` // what that push said of its newest commit
	Mode       events.BuildMode         `json:"mode"`
	SpecHash   events.SpecHash          `json:"spec_hash"`
	Want       map[string]events.Target `json:"want,omitempty"`
	Only       []string                 `json:"only,omitempty"` // a restart of some components
	ClonedFrom events.ID                `json:"cloned_from,omitempty"`
	Previous   events.ID                `json:"previous,omitempty"` // active when this one was asked for
	Phase      Phase                    `json:"phase"`
	Release    int                      `json:"release,omitempty"` // its number, or for a restart the number it restarted
	Rollouts   int                      `json:"rollouts,omitempty"`
	By         events.ID                `json:"by,omitempty"`        // what superseded it
	Component  string                   `json:"component,omitempty"` // that failed
	Step       string                   `json:"step,omitempty"`      // that failed
	Reason     string                   `json:"reason,omitempty"`    // of a failure or a cancel
	Log        string                   `json:"log,omitempty"`       // last lines, on a failure
	Parts      map[string]*Part         `json:"parts"`               // by component of its spec
	Phases     []events.Phase           `json:"phases,omitempty"`    // of the rollout
	Requested  time.Time                `json:"requested"`
	Rolling    time.Time                `json:"rolling,omitzero"` // its rollout began
	Ended      time.Time                `json:"ended,omitzero"`
	Updated    time.Time                `json:"updated"` // its phase last changed
}

// Work returns the identity its events carry.
func (d *Deployment) Work() events.Work {
	return events.Work{Deployment: d.ID, Generation: d.Generation}
}

// Part is one component's share of a deployment.
type Part struct {
	Target  events.Target  `json:"target"`            // complete once Target.Digest is set and Ready
	Build   bool           `json:"build,omitempty"`   // an image has to be built; false: its digest is known
	Key     string         `json:"key,omitempty"`     // Spec.BuildKey of the build
	Ready   bool           `json:"ready,omitempty"`   // built; or its digest was known from the start
	Pulled  string         `json:"pulled,omitempty"`  // where the image came from: "engine" or a registry
	Attempt int            `json:"attempt,omitempty"` // of the build, from 1
	Builder string         `json:"builder,omitempty"` // who builds, while building
	Until   time.Time      `json:"until,omitzero"`    // end of its lease
	Failed  string         `json:"failed,omitempty"`  // why the last attempt failed
	Faults  int            `json:"faults,omitempty"`  // attempts that failed and were worth another
	Retry   time.Time      `json:"retry,omitzero"`    // the next attempt starts no sooner
	Started time.Time      `json:"started,omitzero"`
	Ended   time.Time      `json:"ended,omitzero"`
	Phases  []events.Phase `json:"phases,omitempty"`
}

// Release is a result that went live.
type Release struct {
	Number     int                      `json:"number"`
	Deployment events.ID                `json:"deployment"`
	Intent     events.Intent            `json:"intent"`
	Cause      string                   `json:"cause"`
	Actor      events.Actor             `json:"actor"`
	At         time.Time                `json:"at"`
	SpecHash   events.SpecHash          `json:"spec_hash"`
	Have       map[string]events.Target `json:"have"`
	RolledFrom int                      `json:"rolled_from,omitempty"` // the release whose images a rollback brought back
}

// Image is an image that was built and is kept.
type Image struct {
	Revision   events.Revision `json:"revision"`
	Digest     events.Digest   `json:"digest"`
	Key        string          `json:"key"`
	Deployment events.ID       `json:"deployment"`
	At         time.Time       `json:"at"`
}

// Exists reports whether the app is there and not deleted.
func (a App) Exists() bool { return a.ID != "" && !a.Deleted }

// PinOf returns the pin that is in force for a component: its own, or the app's.
func (a App) PinOf(component string) (Pin, bool) {
	if p, ok := a.Pins[component]; ok {
		return p, true
	}
	p, ok := a.Pins[""]
	return p, ok
}

// Live returns the deployments that are not over, oldest first.
func (a App) Live() []*Deployment {
	var live []*Deployment
	for _, d := range a.Deployments {
		if !d.Phase.Final() {
			live = append(live, d)
		}
	}
	slices.SortFunc(live, byGeneration)
	return live
}

// Running returns the release that serves, if any.
func (a App) Running() (Release, bool) {
	if a.Active == "" || len(a.Releases) == 0 {
		return Release{}, false
	}
	return a.Releases[len(a.Releases)-1], true
}

// Clone returns a copy that shares nothing that Evolve changes.
func (a App) Clone() App {
	a.Specs = maps.Clone(a.Specs)
	a.Want = maps.Clone(a.Want)
	a.Pins = maps.Clone(a.Pins)
	a.Held = maps.Clone(a.Held)
	a.Seen = maps.Clone(a.Seen)
	a.Received = maps.Clone(a.Received)
	a.Pending = maps.Clone(a.Pending)
	a.Deliveries = maps.Clone(a.Deliveries)
	a.Quarantined = maps.Clone(a.Quarantined)
	a.Serving = maps.Clone(a.Serving)
	a.Recent = slices.Clone(a.Recent)
	a.Releases = slices.Clone(a.Releases)
	a.Images = maps.Clone(a.Images)
	for c, images := range a.Images {
		a.Images[c] = slices.Clone(images)
	}
	a.Deployments = maps.Clone(a.Deployments)
	for id, d := range a.Deployments {
		a.Deployments[id] = d.Clone()
	}
	return a
}

// Clone returns a copy that shares nothing that Evolve changes.
func (d *Deployment) Clone() *Deployment {
	c := *d
	c.Parts = maps.Clone(d.Parts)
	for name, p := range c.Parts {
		part := *p
		c.Parts[name] = &part
	}
	return &c
}

func byGeneration(x, y *Deployment) int { return cmp.Compare(x.Generation, y.Generation) }
