package deploy

import (
	"context"

	"shiplog/events"
)

// States is where folded states are kept between runs, so that a long history costs nothing per command.
type States interface {
	// State returns the newest stored fold of an app; ok is false when there is none. It may be behind the log.
	State(app events.ID) (a App, ok bool)
}

// Handler runs commands against a log: load, decide, append, and again on conflict. It is safe for concurrent use.
type Handler struct {
	log    events.Log
	states States
}

// NewHandler returns a handler. states may be nil.
func NewHandler(log events.Log, states States) *Handler { return &Handler{log: log, states: states} }

// Result is what an order led to.
type Result struct {
	App        App               // after the events; the caller's own copy
	Recorded   []events.Recorded // appended now; empty when it was so already
	Deployment events.ID         // the deployment the order made, or made when it was first given
}

// Do carries out an order on an app. Errors: *[Refusal] (nothing was appended), or those of [events.Log.Append].
func (h *Handler) Do(ctx context.Context, app events.ID, o Order) (Result, error) {
	panic("being written")
}

// State returns the app as of the log's last event for it; the caller's own copy. An app that never was has a zero ID.
func (h *Handler) State(ctx context.Context, app events.ID) (App, error) { panic("being written") }
