package api

import (
	"context"
	"net/http"

	"shiplog/events"
)

// providers are the contract's.
var providers = []string{"github", "gitlab", "gitea", "forgejo", "bitbucket", "generic"}

func (s *server) webhook(w http.ResponseWriter, r *http.Request) error {
	return s.hook(w, r, func(ctx context.Context, app events.ID) (string, error) { return s.Hooks.Secret(ctx, app) })
}

func (s *server) rotateWebhook(w http.ResponseWriter, r *http.Request) error {
	return s.hook(w, r, func(ctx context.Context, app events.ID) (string, error) { return s.Hooks.Rotate(ctx, app) })
}

func (s *server) hook(w http.ResponseWriter, r *http.Request, get func(context.Context, events.ID) (string, error)) error {
	a, err := s.appOf(r, "")
	if err != nil {
		return err
	}
	if s.Hooks == nil {
		return notFound("this service takes no webhooks")
	}
	secret, err := get(r.Context(), a.ID)
	if err != nil {
		return err
	}
	urls := map[string]string{}
	for _, p := range s.Providers {
		urls[p] = s.HooksURL + "/hooks/" + p + "/" + string(a.ID)
	}
	return ok(w, "webhook", map[string]any{"secret": secret, "urls": urls})
}
