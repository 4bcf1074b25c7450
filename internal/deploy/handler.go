package deploy

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"shiplog/events"
)

// maxTries bounds how often a decision is taken again because the history moved. One process is the only writer of an
// app's history, so a second try is rare and a tenth is a fault.
const maxTries = 10

// States is where folded states are kept between runs, so that a long history costs nothing per command.
type States interface {
	// State returns the newest stored fold of an app; ok is false when there is none. It may be behind the log.
	State(app events.ID) (a App, ok bool)
}

// Handler runs commands against a log: load, decide, append, and again on conflict. It is safe for concurrent use; the
// orders of one app run one after the other.
type Handler struct {
	log    events.Log
	states States
	mu     sync.Mutex
	apps   map[events.ID]*memory
}

// memory is an app's folded state. It is loaded on first use and follows what this handler appends.
type memory struct {
	mu     sync.Mutex
	loaded bool
	app    App
}

// NewHandler returns a handler. states may be nil.
func NewHandler(log events.Log, states States) *Handler {
	return &Handler{log: log, states: states, apps: map[events.ID]*memory{}}
}

// Result is what an order led to.
type Result struct {
	App        App               // after the events; the caller's own copy
	Recorded   []events.Recorded // appended now; empty when it was so already
	Deployment events.ID         // the deployment that the order made, now or when it was first given; may be empty
}

// Do carries out an order on an app. Errors: *[Refusal] (nothing was appended), or those of [events.Log.Append].
func (h *Handler) Do(ctx context.Context, app events.ID, o Order) (Result, error) {
	return h.do(ctx, app, o, nil)
}

// Create makes an app under a unique name. The app's id follows from the order's, so the same order given twice makes one
// app. A name that another app holds is a *[Refusal] with [CodeConflict].
func (h *Handler) Create(ctx context.Context, name string, o Order) (Result, error) {
	app := AppID(o.ID)
	return h.do(ctx, app, o, func() (*events.Append, error) {
		subject := events.NameSubject("app", name)
		holder, head, err := h.holder(ctx, subject)
		if err != nil {
			return nil, err
		}
		if holder != "" && holder != app {
			return nil, refuse(CodeConflict, "an app named %s exists already: choose another name, or change that one with shiplog apps update %s", name, name)
		}
		return h.name(o, app, subject, head, events.NameClaimed{App: app}), nil
	})
}

// AppID returns the id of the app that an order to create one makes.
func AppID(orderID string) events.ID { return events.NamedID("app", orderID) }

// State returns the app as of the newest event this handler knows; the caller's own copy. An app that never was has a
// zero ID.
func (h *Handler) State(ctx context.Context, app events.ID) (App, error) {
	m := h.memory(app)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := h.load(ctx, m, app); err != nil {
		return App{}, err
	}
	h.forgetNobody(m, app)
	return m.app.Clone(), nil
}

// forgetNobody drops what is remembered of an id that no app has: everybody may ask for any.
func (h *Handler) forgetNobody(m *memory, app events.ID) {
	if m.app.ID != "" {
		return
	}
	m.loaded = false
	h.mu.Lock()
	if h.apps[app] == m {
		delete(h.apps, app)
	}
	h.mu.Unlock()
}

// do runs one order. beside, when set, gives an append to another subject that belongs in the same batch.
func (h *Handler) do(ctx context.Context, app events.ID, o Order, beside func() (*events.Append, error)) (Result, error) {
	o.App = app
	m := h.memory(app)
	m.mu.Lock()
	defer m.mu.Unlock()
	defer h.forgetNobody(m, app)
	for try := range maxTries {
		if err := wait(ctx, try); err != nil {
			return Result{}, err
		}
		if err := h.load(ctx, m, app); err != nil {
			return Result{}, err
		}
		drafts, err := Decide(m.app, o)
		if len(drafts) == 0 {
			moved, headErr := h.catchUp(ctx, m, app) // a refusal appends nothing, so nothing else would catch a stale state
			if headErr != nil {
				m.loaded = false
				return Result{}, headErr
			}
			if moved {
				continue
			}
			return h.result(m, o, nil), err
		}
		batch, err := h.batch(ctx, m, o, drafts, beside)
		if err != nil {
			return Result{}, err
		}
		recorded, err := h.log.Append(ctx, batch...)
		if errors.Is(err, events.ErrConflict) {
			m.loaded = false // another writer was faster; read what it wrote
			continue
		}
		if err != nil {
			m.loaded = false // whether it was written is not known; the next order reads the history again
			return Result{}, err
		}
		for _, r := range recorded {
			if r.Subject == events.AppSubject(app) {
				m.app = Evolve(m.app, r)
			}
		}
		return h.result(m, o, recorded), nil
	}
	return Result{}, fmt.Errorf("order %s on app %s: %w, %d times over", o.ID, app, events.ErrConflict, maxTries)
}

// batch puts the drafts of an app, and what has to be committed with them, together.
func (h *Handler) batch(ctx context.Context, m *memory, o Order, drafts []events.Draft, beside func() (*events.Append, error)) ([]events.Append, error) {
	batch := []events.Append{{Subject: events.AppSubject(o.App), Expect: m.app.Head, Events: drafts, Urgent: urgent(o.Command)}}
	if _, ok := o.Command.(DeleteApp); ok {
		beside = func() (*events.Append, error) {
			subject := events.NameSubject("app", m.app.Name)
			_, head, err := h.holder(ctx, subject)
			return h.name(o, o.App, subject, head, events.NameFreed{App: o.App}), err
		}
	}
	if beside == nil {
		return batch, nil
	}
	extra, err := beside()
	if err != nil {
		return nil, err
	}
	return append(batch, *extra), nil
}

// holder returns who holds a unique name, and the name's last event.
func (h *Handler) holder(ctx context.Context, subject events.Subject) (holder events.ID, head events.Head, err error) {
	for r, err := range h.log.Read(ctx, subject, events.Position{}) {
		if err != nil {
			return "", events.Head{}, err
		}
		head = r.Head()
		switch e := r.Event.(type) {
		case events.NameClaimed:
			holder = e.App
		case events.NameFreed:
			holder = ""
		default:
			return "", head, refuse(CodeReadOnly, "the history of the name %s holds an event that is not understood", subject)
		}
	}
	return holder, head, nil
}

func (h *Handler) name(o Order, app events.ID, subject events.Subject, head events.Head, e events.Event) *events.Append {
	return &events.Append{Subject: subject, Expect: head, Urgent: urgent(o.Command), Events: []events.Draft{{
		ID: events.NamedID("name", string(subject), string(app), o.ID), At: o.At, Actor: o.Actor,
		Cause: events.HeaderSafe(o.ID), Event: e,
	}}}
}

func (h *Handler) memory(app events.ID) *memory {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := h.apps[app]
	if m == nil {
		m = &memory{}
		h.apps[app] = m
	}
	return m
}

// load makes sure that the state is in memory: the stored fold, and what the log has after it.
func (h *Handler) load(ctx context.Context, m *memory, app events.ID) error {
	if m.loaded {
		return nil
	}
	m.app = App{}
	if h.states != nil {
		if a, ok := h.states.State(app); ok {
			m.app = a
		}
	}
	for {
		stored := m.app.Head != events.Head{}
		head, err := h.read(ctx, m, app)
		switch {
		case err != nil && !errors.Is(err, events.ErrCorrupt):
			return err
		case err == nil && head == m.app.Head:
			m.loaded = true
			return nil
		case !stored:
			return fmt.Errorf("app %s: %w: its last event is %s, but its history ends at %s", app, events.ErrCorrupt, head.Position, m.app.Head.Position)
		}
		m.app = App{} // the stored fold is not of this history: fold it all again
	}
}

// read folds what the log has after the state in memory, and returns the subject's last event as the leader knows it.
// An event that does not follow the one before it is [events.ErrCorrupt].
func (h *Handler) read(ctx context.Context, m *memory, app events.ID) (events.Head, error) {
	subject := events.AppSubject(app)
	for r, err := range h.log.Read(ctx, subject, m.app.Head.Position) {
		if err != nil {
			return events.Head{}, fmt.Errorf("read the history of app %s: %w", app, err)
		}
		if r.Prev != m.app.Head.Hash {
			return events.Head{}, fmt.Errorf("app %s: %w: event %s does not follow the one before it", app, events.ErrCorrupt, r.Position)
		}
		m.app = Evolve(m.app, r)
	}
	return h.log.Head(ctx, subject)
}

// catchUp reads the subject's last event from the log's leader and folds what is missing; moved tells whether there was any.
func (h *Handler) catchUp(ctx context.Context, m *memory, app events.ID) (moved bool, err error) {
	head, err := h.log.Head(ctx, events.AppSubject(app))
	if err != nil || head == m.app.Head {
		return false, err
	}
	_, err = h.read(ctx, m, app)
	return true, err
}

func (h *Handler) result(m *memory, o Order, recorded []events.Recorded) Result {
	r := Result{App: m.app.Clone(), Recorded: recorded}
	if id := DeploymentID(o.App, o.ID); m.app.Deployments[id] != nil {
		r.Deployment = id
	}
	return r
}

// urgent reports whether a command may use the room that a filling log keeps back.
func urgent(c Command) bool {
	switch c.(type) {
	case CreateApp, ChangeSpec, ReceivePush, Deploy:
		return false
	}
	return true
}

// wait backs off before a further try.
func wait(ctx context.Context, try int) error {
	if try == 0 {
		return ctx.Err()
	}
	select {
	case <-time.After(time.Duration(rand.Int64N(int64(try)*5)+1) * time.Millisecond):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
