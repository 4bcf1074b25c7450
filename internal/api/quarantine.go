package api

import (
	"context"
	"net/http"
	"strings"

	"shiplog/events"
	"shiplog/internal/deploy"
)

// quarantineRequest names a commit or an image. Revision may be "main@sha1:…", a commit, or the first digits of one that
// the app knows; so may Digest be shortened.
type quarantineRequest struct {
	Revision string `json:"revision"`
	Digest   string `json:"digest"`
	Reason   string `json:"reason"`
}

func (s *server) quarantine(w http.ResponseWriter, r *http.Request) error {
	var body quarantineRequest
	if err := decode(r, &body, true); err != nil {
		return err
	}
	return s.setQuarantine(w, r, body, false)
}

// unquarantine takes what it lifts from the query or, for clients that send one, from a body.
func (s *server) unquarantine(w http.ResponseWriter, r *http.Request) error {
	body := quarantineRequest{Revision: r.URL.Query().Get("revision"), Digest: r.URL.Query().Get("digest")}
	if err := decode(r, &body, true); err != nil {
		return err
	}
	return s.setQuarantine(w, r, body, true)
}

func (s *server) setQuarantine(w http.ResponseWriter, r *http.Request, body quarantineRequest, lift bool) error {
	res, err := s.give(r, func(_ context.Context, a deploy.App) (deploy.Command, error) {
		cmd, err := quarantineOf(a, body)
		cmd.Lift = lift
		return cmd, err
	})
	if err != nil {
		return err
	}
	list := quarantineView(res.App)
	if list == nil {
		list = []barred{}
	}
	return ok(w, "quarantined", list)
}

// quarantineOf finds the commit or image that is meant.
func quarantineOf(a deploy.App, q quarantineRequest) (cmd deploy.Quarantine, err error) {
	cmd.Reason = q.Reason
	if (q.Revision == "") == (q.Digest == "") {
		return cmd, invalid("give either a revision or a digest")
	}
	if q.Digest != "" {
		if cmd.Digest, err = events.ParseDigest(q.Digest); err == nil {
			return cmd, nil
		}
		found, err := one(q.Digest, minDigest+len("sha256:"), digestsOf(a))
		cmd.Digest = events.Digest(found)
		return cmd, err
	}
	_, id, _ := cutLast(q.Revision, "@")
	id = strings.TrimPrefix(strings.TrimPrefix(id, "sha1:"), "sha256:")
	if cmd.Commit, err = events.ParseCommit(id); err == nil {
		return cmd, nil
	}
	found, err := one(id, minCommit, commitsOf(a))
	cmd.Commit = events.Commit(found)
	return cmd, err
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return "", s, false
}

// one returns the only id that begins with prefix.
func one(prefix string, atLeast int, ids map[string]bool) (string, error) {
	if len(prefix) < atLeast {
		return "", invalid("%q is too short to name one thing: give at least %d characters", prefix, atLeast)
	}
	var found []string
	for id := range ids {
		if strings.HasPrefix(id, prefix) {
			found = append(found, id)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return "", invalid("nothing that the app knows begins with %s: give it in full", prefix)
	}
	return "", invalid("%s begins %d ids: give more of it", prefix, len(found))
}

func digestsOf(a deploy.App) map[string]bool {
	ids := map[string]bool{}
	for _, targets := range history(a) {
		for _, t := range targets {
			if t.Digest != "" {
				ids[string(t.Digest)] = true
			}
		}
	}
	for id := range a.Quarantined {
		ids[id] = true
	}
	return ids
}

func commitsOf(a deploy.App) map[string]bool {
	ids := map[string]bool{}
	for _, targets := range history(a) {
		for _, t := range targets {
			if t.Revision.Commit != "" {
				ids[string(t.Revision.Commit)] = true
			}
		}
	}
	for _, seen := range a.Seen {
		if seen.Commit != "" {
			ids[string(seen.Commit)] = true
		}
	}
	for id := range a.Quarantined {
		ids[id] = true
	}
	return ids
}
