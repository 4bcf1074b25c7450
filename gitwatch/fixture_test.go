package gitwatch

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"shiplog/events"
	"shiplog/internal/deliveries"
	"shiplog/internal/deploy"
	"shiplog/internal/git"
	"shiplog/internal/memlog"
)

const (
	secret = "hook-secret"
	token  = "git-token"
)

// shop is a service in small: the real mind over a log in memory, the built-in remote with its server, and a client.
type shop struct {
	*Watch
	t       *testing.T
	log     *memlog.Log
	handler *deploy.Handler
	server  *httptest.Server
	work    string
	apps    []events.ID
	secrets []string
	n       int

	mu     sync.Mutex
	record []deliveries.Delivery
	clock  time.Time
	digest map[string]events.Digest
}

func (s *shop) Record(_ context.Context, d deliveries.Delivery) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.record = append(s.record, d)
	return nil
}

func (s *shop) Resolve(_ context.Context, repository, tag string) (events.Digest, error) {
	if d, ok := s.digest[repository+":"+tag]; ok {
		return d, nil
	}
	return "", fmt.Errorf("no image %s:%s", repository, tag)
}

// now is a clock that moves with each look.
func (s *shop) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clock = s.clock.Add(time.Millisecond)
	return s.clock
}

func open(t *testing.T) *shop {
	t.Helper()
	s := &shop{t: t, log: memlog.New(), work: fast(t), secrets: []string{secret}, clock: time.Now(), digest: map[string]events.Digest{}}
	s.handler = deploy.NewHandler(s.log, nil)
	remote, err := git.OpenRemote(filepath.Join(fast(t), "git"), git.RemoteOptions{
		Authenticate: func(user, got string) (events.Actor, bool) { return events.NewActor("token", user), got == token },
		BeforePush:   func(ctx context.Context, name string) error { return s.CompareAll(ctx, name) },
		AfterPush:    func(ctx context.Context, name string, a events.Actor) (string, error) { return s.Pushed(ctx, name, a) },
		Spool:        t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.server = httptest.NewServer(remote)
	t.Cleanup(func() { s.server.Close(); _ = remote.Close() })
	s.Watch = New(Options{
		Desk: s.handler, Remote: remote, Bases: []string{s.server.URL}, Images: s, Recorder: s, Now: s.now,
		Allow:   []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Secrets: func(context.Context, events.ID) ([]string, error) { return s.secrets, nil },
		Apps:    func(context.Context) ([]events.ID, error) { return s.apps, nil },
	})
	s.git("init", "--quiet", "-b", "main", ".")
	return s
}

// fast is a directory in memory where there is one: git's fsyncs on a busy disk take longer than the tests.
func fast(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "shiplog-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// forge is the address of a server that shows the built-in remote's repositories to everybody, as if they were
// somebody else's; below /private it wants credentials.
func (s *shop) forge() string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if rest, private := strings.CutPrefix(r.URL.Path, "/private"); private {
			r.URL.Path = rest
		} else {
			r.SetBasicAuth("x", token)
		}
		s.Remote.ServeHTTP(w, r)
	}))
	s.t.Cleanup(server.Close)
	return server.URL
}

// url is the clone URL of a built-in repository, as a spec has it.
func (s *shop) url(name string) string { return s.server.URL + "/git/" + name + ".git" }

// app makes an app with one service per source.
func (s *shop) app(name string, sources ...events.GitSource) events.ID {
	s.t.Helper()
	spec := events.Spec{Name: name}
	for i := range sources {
		spec.Services = append(spec.Services, events.Component{Name: fmt.Sprint("web", i), Git: &sources[i]})
	}
	return s.create(spec)
}

func (s *shop) create(spec events.Spec) events.ID {
	s.t.Helper()
	res, err := s.handler.Create(s.t.Context(), spec.Name, deploy.Order{ID: "create-" + spec.Name, Actor: "token:ann", At: s.now(), Command: deploy.CreateApp{Spec: spec}})
	if err != nil {
		s.t.Fatal(err)
	}
	s.apps = append(s.apps, res.App.ID)
	return res.App.ID
}

func (s *shop) state(app events.ID) deploy.App {
	s.t.Helper()
	a, err := s.handler.State(s.t.Context(), app)
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

// judgeAll judges what is pending, oldest first, and returns the verdicts, "main deploys".
func (s *shop) judgeAll(app events.ID) []string {
	s.t.Helper()
	for _, a := range deploy.Next(s.state(app)) {
		if a.Kind == deploy.ActJudge {
			if err := s.Judge(s.t.Context(), app, a.Push); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	var verdicts []string
	for _, e := range s.history(app) {
		if v, ok := e.(events.PushJudged); ok {
			verdicts = append(verdicts, v.Ref.Short()+" "+string(v.Verdict))
		}
	}
	return verdicts
}

func (s *shop) history(app events.ID) []events.Event {
	s.t.Helper()
	var all []events.Event
	for r, err := range s.log.Read(s.t.Context(), events.AppSubject(app), events.Position{}) {
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, r.Event)
	}
	return all
}

func (s *shop) pushes(app events.ID) []events.PushReceived {
	s.t.Helper()
	var all []events.PushReceived
	for _, e := range s.history(app) {
		if p, ok := e.(events.PushReceived); ok {
			all = append(all, p)
		}
	}
	return all
}

// git runs git in the client's work tree.
func (s *shop) git(args ...string) string {
	s.t.Helper()
	out, err := s.try(args...)
	if err != nil {
		s.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(out)
}

func (s *shop) try(args ...string) (string, error) {
	cmd := exec.Command("git", args...)
	cmd.Dir = s.work
	cmd.Env = []string{"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "HOME=/nonexistent", "PATH=" + os.Getenv("PATH"),
		"GIT_AUTHOR_NAME=Ann", "GIT_AUTHOR_EMAIL=ann@example.org", "GIT_COMMITTER_NAME=Bob", "GIT_COMMITTER_EMAIL=b@example.org",
		"GIT_TERMINAL_PROMPT=0"}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// commit makes a commit in the work tree that no other is the same as.
func (s *shop) commit(file string) events.Commit {
	s.t.Helper()
	s.n++
	if err := os.WriteFile(filepath.Join(s.work, file), fmt.Append(nil, s.n), 0o644); err != nil {
		s.t.Fatal(err)
	}
	s.git("add", "-A")
	s.git("commit", "--quiet", "-m", fmt.Sprint("change ", file))
	return events.Commit(s.git("rev-parse", "HEAD"))
}

// push pushes to a built-in repository as ann.
func (s *shop) push(name string, args ...string) string {
	s.t.Helper()
	return s.git(s.pushArgs(name, args...)...)
}

func (s *shop) pushArgs(name string, args ...string) []string {
	url := strings.Replace(s.url(name), "http://", "http://ann:"+token+"@", 1)
	return append([]string{"push", url}, args...)
}
