package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"shiplog/events"
	"shiplog/internal/api"
	"shiplog/internal/api/apitest"
)

// shell is a person at a command line, with a service in the same process.
type shell struct {
	*testing.T
	*apitest.World
	url string
	env map[string]string
	out string // of the last command
	err string
}

func newShell(t *testing.T) *shell {
	w := apitest.New(t)
	server := httptest.NewUnstartedServer(nil)
	url := "http://" + server.Listener.Addr().String()
	server.Config.Handler = api.New(api.Options{
		PublicURL: url, Desk: w.Handler, History: w.History, Resolver: w.Git, Logs: w.Logs, Secrets: apitest.Secrets{}, Hooks: apitest.Hooks{},
		Authenticate: func(s string) (events.Actor, bool) { return "token:admin", s == "s3cret" },
		Now:          w.Now, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		At: func(_ context.Context, app events.ID, when time.Time) (api.Then, bool, error) {
			a := w.At(app, when)
			rel, ok := a.Running()
			return api.Then{Release: rel.Number, Have: rel.Have, Spec: a.Specs[rel.SpecHash], Pins: a.Pins, Actor: rel.Actor, Since: rel.At, Stopped: a.Stopped}, ok, nil
		},
	})
	server.Start()
	t.Cleanup(server.Close)
	return &shell{T: t, World: w, url: url, env: map[string]string{"SHIPLOG_URL": url, "SHIPLOG_TOKEN": "s3cret", "NO_COLOR": "1"}}
}

// run runs a command and returns its exit code.
func (s *shell) run(args ...string) int {
	s.Helper()
	return s.runContext(s.Context(), args...)
}

func (s *shell) runContext(ctx context.Context, args ...string) int {
	s.Helper()
	var out, err bytes.Buffer
	c := &cli{http: &http.Client{Timeout: 10 * time.Second}, now: func() time.Time { return s.World.Pass(0) }, getenv: func(k string) string { return s.env[k] }}
	root := newClientRoot(c)
	root.SetIn(strings.NewReader(""))
	root.SetOut(&out)
	root.SetErr(&err)
	code := execute(ctx, root, args)
	s.out, s.err = out.String(), err.String()
	return code
}

// ok runs a command that must succeed, and wants all of these in what it says.
func (s *shell) ok(command string, want ...string) {
	s.Helper()
	if code := s.run(strings.Fields(command)...); code != exitOK {
		s.Fatalf("%s: exit %d\n%s%s", command, code, s.out, s.err)
	}
	s.says(command, want...)
}

// fails runs a command that must end with a code.
func (s *shell) fails(code int, command string, want ...string) {
	s.Helper()
	if got := s.run(strings.Fields(command)...); got != code {
		s.Fatalf("%s: exit %d, want %d\n%s%s", command, got, code, s.out, s.err)
	}
	if s.err == "" {
		s.Errorf("%s: exit %d and not a word on stderr", command, code)
	}
	s.says(command, want...)
}

func (s *shell) says(command string, want ...string) {
	s.Helper()
	for _, text := range want {
		if !strings.Contains(s.out+s.err, text) {
			s.Errorf("%s does not say %q but\n%s--\n%s", command, text, s.out, s.err)
		}
	}
}

func (s *shell) app(name string) events.ID {
	s.Helper()
	id, ok := s.History.AppByName(name)
	if !ok {
		s.Fatalf("no app %s", name)
	}
	return id
}

// working does the service's work until the test ends.
func (s *shell) working(app events.ID) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	s.Cleanup(func() { cancel(); <-done })
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			s.Work(app)
			time.Sleep(2 * time.Millisecond)
		}
	}()
}
