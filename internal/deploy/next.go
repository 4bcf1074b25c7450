package deploy

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"shiplog/events"
)

// ActionKind names what has to be done in the world.
type ActionKind string

// The actions.
const (
	ActJudge   ActionKind = "judge"   // resolve Push at the git server and send JudgePush
	ActBuild   ActionKind = "build"   // claim, build and report Component of Deployment
	ActRollout ActionKind = "rollout" // make the images available, start, wait, switch, report
	ActUnpin   ActionKind = "unpin"   // send Unpin{expired} for Component
	ActHold    ActionKind = "hold"    // keep running what serves (nothing, when stopped or deleted) and remove the rest
)

// Action is one thing to be under way now. Two actions with equal identity are the same thing: starting one that is
// under way already is a no-op, and one that Next no longer returns must end.
type Action struct {
	Kind       ActionKind
	Deployment events.ID
	Component  string
	Push       string
	Stopped    bool      // of a hold: nothing should run
	At         time.Time // not before; zero: now. Not part of the identity
}

// Identity returns the action without its time: what makes it the same thing as another.
func (a Action) Identity() Action {
	a.At = time.Time{}
	return a
}

// Next returns everything that should be under way for the app. It is level-triggered: it depends on the state alone,
// so asking again after a crash gives the same answer, in the same order.
//
// Deployments build and roll out in the order of their generations, so that the generation in the world only rises: the
// oldest that lacks an image builds, and the oldest of all rolls out once it has them.
func Next(a App) []Action {
	if a.ID == "" {
		return nil
	}
	hold := Action{Kind: ActHold, Deployment: a.Active, Stopped: a.Stopped || a.Deleted}
	if a.Deleted || a.ReadOnly != "" {
		return []Action{hold}
	}
	var todo []Action
	for id := range a.Pending {
		todo = append(todo, Action{Kind: ActJudge, Push: id})
	}
	slices.SortFunc(todo, func(x, y Action) int {
		return cmp.Or(a.Pending[x.Push].At.Compare(a.Pending[y.Push].At), cmp.Compare(x.Push, y.Push))
	})
	for _, component := range slices.Sorted(maps.Keys(a.Pins)) {
		if pin := a.Pins[component]; !pin.Expires.IsZero() {
			todo = append(todo, Action{Kind: ActUnpin, Component: component, At: pin.Expires})
		}
	}
	live := a.Live()
	if i := slices.IndexFunc(live, func(d *Deployment) bool { return !d.ready() }); i >= 0 {
		for _, name := range slices.Sorted(maps.Keys(live[i].Parts)) {
			if p := live[i].Parts[name]; !p.Ready {
				todo = append(todo, Action{Kind: ActBuild, Deployment: live[i].ID, Component: name, At: p.Retry})
			}
		}
	}
	if len(live) > 0 && live[0].ready() && !a.Stopped {
		return append(todo, Action{Kind: ActRollout, Deployment: live[0].ID})
	}
	return append(todo, hold)
}
