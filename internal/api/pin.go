package api

import (
	"cmp"
	"context"
	"net/http"
	"strings"
	"time"

	"shiplog/events"
	"shiplog/internal/deploy"
)

// pinRequest asks to pin. With Rollback the reply says when something has to be built, and
// an empty ref is the release before the one that serves.
type pinRequest struct {
	Ref       string    `json:"ref"`
	Component string    `json:"component"`
	Reason    string    `json:"reason"`
	ExpiresAt time.Time `json:"expires_at"`
	Rollback  bool      `json:"rollback"`
}

// parsePin reads a pin request's body. Unknown fields are refused: "expires" instead of "expires_at" would pin for ever.
func parsePin(body []byte) (p pinRequest, err error) {
	if err := decodeBytes(body, &p, true); err != nil {
		return pinRequest{}, err
	}
	p.Ref = strings.TrimSpace(p.Ref)
	switch {
	case p.Ref == "" && !p.Rollback:
		return pinRequest{}, invalid("ref is empty: give a branch, a tag, a commit, an image digest (sha256:…) or a release (v3)")
	case len(p.Ref) > 255:
		return pinRequest{}, invalid("ref is longer than 255 bytes")
	case strings.ContainsFunc(p.Ref, func(c rune) bool { return c <= ' ' || c == 0x7f }):
		return pinRequest{}, invalid("ref holds a space or a control character")
	}
	return p, nil
}

func (s *server) pin(w http.ResponseWriter, r *http.Request) error {
	body, err := readBody(r)
	if err != nil {
		return err
	}
	req, err := parsePin(body)
	if err != nil {
		return err
	}
	var note string
	var before deploy.App
	res, err := s.give(r, func(ctx context.Context, a deploy.App) (deploy.Command, error) {
		before = a
		cmd, n, err := s.choose(ctx, a, req)
		cmd.Reason, cmd.Expires = req.Reason, req.ExpiresAt
		note = n
		return cmd, err
	})
	if err != nil {
		return err
	}
	answer := map[string]any{"app": s.app(res.App)}
	if component, p, found := pinMade(res.App, req.Component); found {
		answer["pin"] = pinView(component, p)
	}
	if d := res.App.Deployments[res.Deployment]; d != nil {
		answer["deployment"] = deploymentView(res.App, d)
	}
	if note != "" {
		answer["note"] = note
	}
	if undo := undoOf(before, res.App, req.Component); undo != nil {
		answer["undo"] = undo
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

// pinMade returns the pin that was just made: the newest.
func pinMade(a deploy.App, component string) (name string, newest deploy.Pin, found bool) {
	if p, ok := a.Pins[component]; ok {
		return component, p, true
	}
	for c, p := range a.Pins {
		if !found || p.At.After(newest.At) {
			name, newest, found = c, p, true
		}
	}
	return name, newest, found
}

// undoObject says how a pin is taken back: to the pin before it, or to the state before it.
type undoObject struct {
	Action    string `json:"action"`        // "pin" or "revert"
	Ref       string `json:"ref,omitempty"` // of the pin before
	Component string `json:"component,omitempty"`
}

func undoOf(before, after deploy.App, component string) *undoObject {
	name, p, found := pinMade(after, component)
	if !found {
		return nil
	}
	if old, was := before.Pins[name]; was {
		return &undoObject{"pin", explicit(old), name}
	}
	if p.Before != nil {
		return &undoObject{"revert", "", name}
	}
	return nil
}

// explicit returns a pin's ref in a form that can mean nothing else.
func explicit(p deploy.Pin) string {
	switch p.Kind {
	case events.RefTag, events.RefBranch:
		if !strings.HasPrefix(p.Ref, "tag:") && !strings.HasPrefix(p.Ref, "branch:") {
			return string(p.Kind) + ":" + p.Ref
		}
	}
	return p.Ref
}

func (s *server) unpin(w http.ResponseWriter, r *http.Request) error {
	component := r.URL.Query().Get("component")
	res, err := s.give(r, func(_ context.Context, a deploy.App) (deploy.Command, error) {
		if err := knownComponent(a, component); err != nil {
			return nil, err
		}
		return deploy.Unpin{Component: component, Why: events.UnpinByHand}, nil
	})
	if err != nil {
		return err
	}
	answer := map[string]any{"app": s.app(res.App)}
	if d := res.App.Deployments[res.Deployment]; d != nil {
		answer["deployment"] = deploymentView(res.App, d)
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

// knownComponent refuses a component that the app does not have; "" is the whole app.
func knownComponent(a deploy.App, name string) error {
	if name == "" {
		return nil
	}
	if _, ok := a.Spec.Component(name); ok {
		return nil
	}
	var names []string
	for _, c := range a.Spec.Components() {
		names = append(names, c.Name)
	}
	return notFound("app %s has no component %s; it has %s", a.Name, name, cmp.Or(strings.Join(names, ", "), "none"))
}
