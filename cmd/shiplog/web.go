package main

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"os"
	"time"

	"shiplog/events"
	"shiplog/gitwatch"
	"shiplog/internal/api"
	"shiplog/internal/deploy"
	"shiplog/internal/engine"
	"shiplog/internal/git"
	"shiplog/projections"
)

// openGit opens the git remote and the eye that watches it and other people's git servers.
func (s *service) openGit(context.Context) error {
	var err error
	known := adminToken(s.token)
	s.hookSecrets = &hookSecrets{store: s.secrets, path: s.path("hooks.json"), now: time.Now}
	s.remote, err = git.OpenRemote(s.path("git"), git.RemoteOptions{
		Authenticate: func(_, token string) (events.Actor, bool) { return known(token) },
		Missing:      func(ctx context.Context, name string) error { return s.watch.CompareAll(ctx, name) },
		BeforePush: func(ctx context.Context, name string) error {
			if err := s.watch.CompareAll(ctx, name); err != nil {
				return err
			}
			return s.events.Room(ctx) // what is stored first and then not recorded takes the room that is missing
		},
		AfterPush: func(ctx context.Context, name string, actor events.Actor) (string, error) {
			return s.watch.Pushed(ctx, name, actor)
		},
		Spool: s.path("work"), Slog: s.log,
	})
	if err != nil {
		return err
	}
	s.onClose(func() { _ = s.remote.Close() })
	s.watch = gitwatch.New(gitwatch.Options{
		Desk: s.handler, Remote: s.remote, Bases: s.config.bases(), Allow: s.config.networks, Images: s.images,
		Secrets: s.hookSecrets.active, Recorder: s.ignored, Apps: s.existing, Slog: s.log,
	})
	return nil
}

// source says where a clone URL is fetched from.
func (s *service) source(url string) git.Source {
	src, _ := s.watch.Source(url)
	return src
}

// existing lists the apps that are not deleted.
func (s *service) existing(context.Context) ([]events.ID, error) {
	var ids []events.ID
	for page := 0; ; page += 100 {
		apps, total, err := s.store.Apps(page, 100)
		if err != nil {
			return nil, err
		}
		for _, a := range apps {
			ids = append(ids, a.ID)
		}
		if page+100 >= total {
			return ids, nil
		}
	}
}

// desk is the handler as the API uses it: a deleted app's repository is put aside before the answer, so that a later app
// of the name begins with an empty one.
type desk struct {
	*deploy.Handler
	deleted func(name string)
}

func (d desk) Do(ctx context.Context, app events.ID, o deploy.Order) (deploy.Result, error) {
	res, err := d.Handler.Do(ctx, app, o)
	if _, is := o.Command.(deploy.DeleteApp); is && err == nil {
		d.deleted(res.App.Name)
	}
	return res, err
}

// archive puts the repository of a deleted app aside, unless another app builds from it. What fails is done at the next
// start.
func (s *service) archive(name string) {
	if _, err := os.Stat(s.remote.Path(name)); err != nil {
		return
	}
	used, err := s.watch.Uses(context.Background(), name)
	if err != nil {
		s.log.Warn("cannot tell whether a git repository is still used", "name", name, "error", err)
	}
	if used || err != nil {
		return
	}
	if err := s.remote.Archive(name); err != nil {
		s.log.Warn("cannot put the repository of a deleted app aside", "app", name, "error", err)
	}
}

// archiveOrphans puts the repositories aside that no app has: those of apps deleted just before a crash.
func (s *service) archiveOrphans() {
	names, err := s.remote.Names()
	if err != nil {
		s.log.Warn("cannot list the git repositories", "error", err)
	}
	for _, name := range names {
		s.archive(name)
	}
}

func (s *service) hooks() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /hooks/github/{app}", s.watch.GitHub())
	mux.HandleFunc("/hooks/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		_ = json.NewEncoder(w).Encode(map[string]string{"verdict": "not found", "message": "webhooks are at POST /hooks/github/<app id>; shiplog hook APP prints the address"})
	})
	return mux
}

func (s *service) api() http.Handler {
	o := api.Options{
		PublicURL: s.config.PublicURL, Providers: []string{"github"}, Domain: s.config.Domain, Ingress: s.config.Ingress,
		Desk: desk{s.handler, s.archive}, History: s.store, Resolver: s.watch, Logs: s.lines, RunLogs: runLogs{s.engine},
		Secrets: s.secrets, Hooks: s.hookSecrets, Authenticate: adminToken(s.token), Log: s.log,
		At: func(_ context.Context, app events.ID, t time.Time) (api.Then, bool, error) {
			at, ok, err := s.store.At(app, t)
			return then(at), ok, err
		},
	}
	if s.config.HooksListen != "" {
		o.HooksURL = "http://" + s.config.HooksListen
	}
	return api.New(o)
}

func then(at projections.At) api.Then { return api.Then(at) }

// runLogs reads what instances write from the engine.
type runLogs struct{ engine *engine.Docker }

func (l runLogs) Logs(ctx context.Context, app events.ID, component string, follow bool, tail int) iter.Seq2[api.RunLine, error] {
	return func(yield func(api.RunLine, error) bool) {
		for line, err := range l.engine.Logs(ctx, app, engine.LogOptions{Component: component, Follow: follow, Tail: max(0, tail)}) {
			if err != nil {
				err = fmt.Errorf("read what the instances wrote: %w", err)
			}
			if !yield(api.RunLine{Component: line.Component, Instance: line.Instance, At: line.At, Text: line.Text}, err) {
				return
			}
		}
	}
}
