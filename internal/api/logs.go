package api

import (
	"bufio"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"shiplog/events"
	"shiplog/internal/deploy"
	"shiplog/internal/logs"
)

// runKind is the log of running instances, beside logs.Build and logs.Deploy.
const runKind logs.Kind = "RUN"

// logRequest says which lines are meant.
type logRequest struct {
	app        events.ID
	kind       logs.Kind
	deployment events.ID // empty for RUN
	component  string    // empty: all
	tail       int       // 0: everything that is kept
}

// logURLs answers where a log can be read: a plain text for what there is, or a web socket for what comes.
func (s *server) logURLs(w http.ResponseWriter, r *http.Request) error {
	a, err := s.appOf(r, "")
	if err != nil {
		return err
	}
	q := r.URL.Query()
	req := logRequest{app: a.ID, kind: logs.Kind(strings.ToUpper(q.Get("type"))), component: q.Get("component_name")}
	if c := r.PathValue("component"); c != "" {
		req.component = c
	}
	follow, _ := strconv.ParseBool(q.Get("follow"))
	if n, err := strconv.Atoi(q.Get("tail_lines")); err == nil && n > 0 {
		req.tail = n
	}
	if req.kind == "" {
		req.kind = runKind
	}
	if req, err = s.placed(r, a, req, follow); err != nil {
		return err
	}
	answer := struct {
		LiveURL      string   `json:"live_url"`
		HistoricURLs []string `json:"historic_urls"`
	}{HistoricURLs: []string{}}
	if follow {
		answer.LiveURL = s.logURL("live", req)
	} else {
		answer.HistoricURLs = []string{s.logURL("text", req)}
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

// placed settles which deployment's log is meant, and refuses the log of a stage that was never reached.
func (s *server) placed(r *http.Request, a deploy.App, req logRequest, follow bool) (logRequest, error) {
	var d *deploy.Deployment
	var err error
	if r.PathValue("dep") != "" {
		if d, err = s.deploymentOf(r, a); err != nil {
			return req, err
		}
	}
	switch req.kind {
	case runKind:
		if err := knownComponent(a, req.component); err != nil {
			return req, err
		}
		if a.Active == "" || d != nil && d.Rolling.IsZero() {
			return req, badRequest("app %s has not run yet: there is nothing to read", a.Name)
		}
		return req, nil
	case logs.Build, logs.Deploy:
	default:
		return req, badRequest("type is one of BUILD, DEPLOY and RUN, not %q", req.kind)
	}
	if d == nil {
		if d = newestOf(a, req.kind); d == nil {
			return req, badRequest("app %s has no deployment with a %s log yet", a.Name, strings.ToLower(string(req.kind)))
		}
	}
	if req.component != "" && !slices.ContainsFunc(componentsOf(a, d), func(p part) bool { return p.name == req.component }) {
		return req, notFound("deployment %s has no component %s", d.ID, req.component)
	}
	if waits := follow && !d.Phase.Final(); !waits && !reached(d, req.kind) {
		return req, badRequest("deployment %s did not get as far as that: it is %s", d.ID, d.Phase)
	}
	req.deployment = d.ID
	return req, nil
}

// newestOf returns the newest deployment that has, or will have, a log of the kind.
func newestOf(a deploy.App, kind logs.Kind) (newest *deploy.Deployment) {
	for _, d := range a.Deployments {
		if kind == logs.Build && d.Intent == events.IntentRestart {
			continue
		}
		if newest == nil || d.Generation > newest.Generation {
			newest = d
		}
	}
	return newest
}

func reached(d *deploy.Deployment, kind logs.Kind) bool {
	if kind == logs.Deploy {
		return !d.Rolling.IsZero() || imagesKnown(d)
	}
	for _, p := range d.Parts {
		if p.Ready || !p.Started.IsZero() {
			return true
		}
	}
	return false
}

// imagesKnown reports whether a rollout may have begun to fetch images, which it does before anything is started.
func imagesKnown(d *deploy.Deployment) bool {
	for _, p := range d.Parts {
		if !p.Ready {
			return false
		}
	}
	return len(d.Parts) > 0
}

func (s *server) logURL(mode string, req logRequest) string {
	q := url.Values{}
	set := func(key, value string) {
		if value != "" {
			q.Set(key, value)
		}
	}
	set("deployment", string(req.deployment))
	set("component", req.component)
	if req.tail > 0 {
		set("tail", strconv.Itoa(req.tail))
	}
	path := "/v2/logs/" + mode + "/" + string(req.app) + "/" + string(req.kind)
	return signLogURL(s.SignKey, s.PublicURL, path, q, s.Now().Add(logURLTime))
}

// signedLog reads back what logURL wrote.
func (s *server) signedLog(r *http.Request) (logRequest, error) {
	q, err := checkLogURL(s.SignKey, r.URL, s.Now())
	if err != nil {
		return logRequest{}, err
	}
	tail, _ := strconv.Atoi(q.Get("tail")) // we wrote it
	return logRequest{
		app: events.ID(r.PathValue("app")), kind: logs.Kind(r.PathValue("kind")),
		deployment: events.ID(q.Get("deployment")), component: q.Get("component"), tail: tail,
	}, nil
}

// logText writes what there is as plain text: all components one after the other.
func (s *server) logText(w http.ResponseWriter, r *http.Request) error {
	req, err := s.signedLog(r)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	out := bufio.NewWriter(w)
	defer out.Flush()
	for line, err := range s.kept(r.Context(), req) {
		if err != nil {
			s.Log.Warn("log ends early", "request_id", requestID(r), "app", req.app, "err", err)
			_, _ = out.WriteString("(the log cannot be read further)\n")
			return nil
		}
		if _, err := out.WriteString(line); err != nil {
			return nil // the reader is gone
		}
	}
	return nil
}
