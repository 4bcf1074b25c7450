package deploy

import (
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
	ActUnpin   ActionKind = "unpin"   // send Unpin{expired} for Component at At
	ActHold    ActionKind = "hold"    // keep running what runs (or nothing, when stopped or deleted); remove the rest
)

// Action is one thing to be under way now. Two equal actions are the same thing: starting one that already runs is a no-op.
type Action struct {
	Kind       ActionKind
	Deployment events.ID
	Component  string
	Attempt    int // of the build or rollout it would be
	Push       string
	At         time.Time // not before; zero: now
}

// Next returns everything that should be under way for the app, given its state. It is level-triggered: it depends on
// the state alone, so asking again after a crash gives the same answer.
func Next(a App) []Action { panic("being written") }
