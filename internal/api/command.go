package api

import (
	"context"
	"net/http"
	"time"

	"shiplog/events"
	"shiplog/internal/deploy"
)

const (
	// commandTime bounds a command, and resolveTime what it may ask of git servers and registries before it is given.
	commandTime = 15 * time.Second
	resolveTime = 20 * time.Second
	// waitTime is how long a reply waits for the history, so that callers read their own writes.
	waitTime = time.Second
	// maxKey bounds an Idempotency-Key.
	maxKey = 255
)

// prepare makes the command of a request, given the app as it is. It is not called for an order that was carried out.
type prepare func(ctx context.Context, a deploy.App) (deploy.Command, error)

// give gives the app of the request the command that p prepares, and returns what came of it.
func (s *server) give(r *http.Request, p prepare) (deploy.Result, error) {
	o, err := s.order(r)
	if err != nil {
		return deploy.Result{}, err
	}
	a, err := s.appOf(r, o.ID)
	if err != nil {
		return deploy.Result{}, err
	}
	if a.Did(o.ID) {
		return again(a, o), nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), resolveTime)
	defer cancel()
	if o.Command, err = p(ctx, a); err != nil {
		return deploy.Result{}, err
	}
	return s.carryOut(r.Context(), func(ctx context.Context) (deploy.Result, error) { return s.Desk.Do(ctx, a.ID, o) })
}

// carryOut runs do to its end even when the client goes away, and lets the history catch up.
func (s *server) carryOut(ctx context.Context, do func(context.Context) (deploy.Result, error)) (deploy.Result, error) {
	ctx = context.WithoutCancel(ctx)
	run, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	res, err := do(run)
	if err != nil {
		return res, err
	}
	// Events are in the log: from here on nothing may fail the request, however far behind the history is.
	wait, cancel := context.WithTimeout(ctx, waitTime)
	defer cancel()
	if err := s.History.Wait(wait, res.App.Head.Position); err != nil {
		s.Log.Debug("history is behind", "app", res.App.ID, "err", err)
	}
	return res, nil
}

// again is the result of an order that was carried out before.
func again(a deploy.App, o deploy.Order) deploy.Result {
	res := deploy.Result{App: a}
	if id := deploy.DeploymentID(a.ID, o.ID); a.Deployments[id] != nil {
		res.Deployment = id
	}
	return res
}

// order is the request's order, without a command. Its id follows from the Idempotency-Key where there is one, together
// with the caller and what is called, so that callers cannot meet each other's keys.
func (s *server) order(r *http.Request) (deploy.Order, error) {
	o := deploy.Order{Actor: actorOf(r), At: s.Now()}
	key := r.Header.Get("Idempotency-Key")
	switch {
	case len(key) > maxKey:
		return o, badRequest("the Idempotency-Key is longer than %d bytes", maxKey)
	case key != "":
		o.ID = "key:" + string(events.NamedID("idempotency-key", string(o.Actor), r.Method, r.URL.Path, key))
	default:
		o.ID = "request:" + string(events.NewID())
	}
	return o, nil
}
