package api

import (
	"net/http"

	"shiplog/events"
)

// route is one line of the contract.
type route struct {
	pattern string
	serve   func(w http.ResponseWriter, r *http.Request) error
	open    bool // needs no bearer token: its URL is signed
}

// routes lists the contract. Every route is here and nowhere else.
func (s *server) routes() []route {
	const app, dep = "/v2/apps/{id}", "/v2/apps/{id}/deployments/{dep}"
	return []route{
		{pattern: "GET /v2/account", serve: s.account},
		{pattern: "GET /v2/apps/regions", serve: s.regions},
		{pattern: "GET /v2/apps/tiers/instance_sizes", serve: s.instanceSizes},
		{pattern: "GET /v2/apps/tiers/instance_sizes/{slug}", serve: s.instanceSize},
		{pattern: "POST /v2/apps/propose", serve: s.propose},

		{pattern: "POST /v2/apps", serve: s.createApp},
		{pattern: "GET /v2/apps", serve: s.listApps},
		{pattern: "GET " + app, serve: s.getApp},
		{pattern: "PUT " + app, serve: s.updateApp},
		{pattern: "DELETE " + app, serve: s.deleteApp},
		{pattern: "POST " + app + "/restart", serve: s.restart},
		{pattern: "POST " + app + "/stop", serve: s.stop},
		{pattern: "POST " + app + "/start", serve: s.start},

		{pattern: "GET " + app + "/deployments", serve: s.listDeployments},
		{pattern: "POST " + app + "/deployments", serve: s.createDeployment},
		{pattern: "GET " + dep, serve: s.getDeployment},
		{pattern: "POST " + dep + "/cancel", serve: s.cancel},

		{pattern: "POST " + app + "/rollback", serve: s.rollback},
		{pattern: "POST " + app + "/rollback/validate", serve: s.validateRollback},
		{pattern: "POST " + app + "/rollback/commit", serve: s.commitRollback},
		{pattern: "POST " + app + "/rollback/revert", serve: s.revertRollback},
		{pattern: "POST " + app + "/pin", serve: s.pin},
		{pattern: "DELETE " + app + "/pin", serve: s.unpin},
		{pattern: "POST " + app + "/quarantine", serve: s.quarantine},
		{pattern: "DELETE " + app + "/quarantine", serve: s.unquarantine},

		{pattern: "GET " + app + "/releases", serve: s.listReleases},
		{pattern: "GET " + app + "/releases/{n}", serve: s.getRelease},
		{pattern: "GET " + app + "/releases/{a}/diff/{b}", serve: s.diffReleases},
		{pattern: "GET " + app + "/timeline", serve: s.timeline},
		{pattern: "GET " + app + "/at", serve: s.at},
		{pattern: "GET /v2/queue", serve: s.queue},

		{pattern: "GET " + app + "/webhook", serve: s.webhook},
		{pattern: "POST " + app + "/webhook/rotate", serve: s.rotateWebhook},

		{pattern: "GET " + app + "/logs", serve: s.logURLs},
		{pattern: "GET " + app + "/components/{component}/logs", serve: s.logURLs},
		{pattern: "GET " + dep + "/logs", serve: s.logURLs},
		{pattern: "GET " + dep + "/components/{component}/logs", serve: s.logURLs},
		{pattern: "GET /v2/logs/text/{app}/{kind}", serve: s.logText, open: true},
		{pattern: "GET /v2/logs/live/{app}/{kind}", serve: s.logLive, open: true},
	}
}

// guard asks for a token, caps the body, and writes the error that a route returns.
func (s *server) guard(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !rt.open {
			actor, ok := s.authenticate(r)
			if !ok {
				w.Header().Set("WWW-Authenticate", `Bearer realm="shiplog"`)
				s.fail(w, r, errUnauthorized)
				return
			}
			r = r.WithContext(withActor(r.Context(), actor))
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		if err := rt.serve(w, r); err != nil {
			s.fail(w, r, err)
		}
	})
}

func (s *server) authenticate(r *http.Request) (events.Actor, bool) {
	token, ok := bearer(r.Header.Get("Authorization"))
	if !ok {
		return "", false
	}
	return s.Authenticate(token)
}
