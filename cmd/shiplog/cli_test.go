package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"shiplog/events"
	"shiplog/internal/api/apitest"
	"shiplog/internal/deploy"
	"shiplog/internal/logs"
)

// TestCLIStory is the README's first five minutes, and what follows.
func TestCLIStory(t *testing.T) {
	s := newShell(t)
	s.Git.Refs["main"] = events.Target{} // nothing was pushed yet
	s.ok("apps list", "shiplog apps create NAME")
	s.ok("apps create hello", s.url+"/git/hello.git", "git remote add shiplog "+s.url+"/git/hello.git", "git push shiplog main", "http://hello.localhost:8000")
	s.ok("apps list", "hello", "waits for a push")
	s.fails(exitFailed, "deploy hello", "push to main of "+s.url+"/git/hello.git first")
	s.fails(exitFailed, "logs hello", "has not run yet", "shiplog logs hello --build")
	app := s.app("hello")
	s.working(app)
	for _, c := range []events.Commit{apitest.CommitA, apitest.CommitB, apitest.CommitC} {
		s.Git.Set("main", events.RefBranch, c)
		s.ok("deploy hello --wait", "live as v", "ACTIVE", "manual")
	}
	s.ok("apps list", "v3", "live", "http://hello.localhost:8000")
	s.ok("releases hello", "v3", "ccccccc", "sha256:7777", "live", "token:admin")
	if strings.Index(s.out, "v3") > strings.Index(s.out, "v1") {
		t.Errorf("releases are not newest first:\n%s", s.out)
	}

	s.fails(exitFailed, "rollback hello v9", "has no release v9 (the newest is v3), and cannot find v9")
	s.ok("rollback hello --reason slow --expires 2h", "hello is pinned to v2 (bbbbbbb) and live, until", "Undo: shiplog unpin hello --revert", "Pushes are held until `shiplog unpin hello`")
	s.ok("rollback hello v1 --yes", "Note: v1 is taken for release 1; a tag of that name is tag:v1", "Undo: shiplog pin hello v2")
	s.ok("rollback hello v1", "which runs already")
	s.ok("apps get hello", "pinned", "v1 by token:admin", "web runs", "main@sha1:aaaaaaa")
	s.fails(exitFailed, "deploy hello", "pinned to v1", "shiplog unpin hello")
	s.ok("restart hello web --wait", "ACTIVE", "manual restart")
	s.ok("unpin hello --revert --wait", "ACTIVE", "rollback reverted")
	s.ok("pin hello main --component web", "hello web is pinned to main", "Undo: shiplog unpin hello --revert --component web")
	if strings.Contains(s.err, "Pushes are held") {
		t.Errorf("a pin to a branch holds nothing:\n%s", s.err)
	}
	s.ok("unpin hello --keep", "keeps what it runs")
	s.ok("stop hello --reason night", "hello is stopped", "shiplog start hello")
	s.ok("apps list", "stopped")
	s.ok("start hello", "hello starts")
	s.ok("history hello -n 0", "AppCreated", "Released", "v1", "manual", "build 900ms", "healthy 120ms", "Pinned", "to v2 (slow)", "AppStopped", "night")
	if lines := strings.Split(strings.TrimSpace(s.out), "\n"); !strings.Contains(lines[1], "AppCreated") || !strings.Contains(lines[len(lines)-1], "AppStarted") {
		t.Errorf("history is not newest last:\n%s", s.out)
	}
	s.ok("at hello 1s ago", "v6, rollback reverted", "stopped")
	s.fails(exitFailed, "at hello 2001-01-01", "ran nothing at")
	s.ok("at hello "+s.Pass(0).Format(time.RFC3339), "web ran", "release")
	s.ok("hook hello", "hook-1", "/hooks/github/"+string(app), "application/json")
	s.ok("hook hello --rotate", "hook-2")
	s.ok("queue", "Nothing is under way")
	s.fails(exitFailed, "cancel hello", "nothing to cancel")
	s.fails(exitUsage, "apps delete hello", "--yes")
	s.ok("apps delete hello --yes", "hello is deleted")
	s.fails(exitFailed, "apps get hello", "there is no app hello")
}

func TestCLICodes(t *testing.T) {
	s := newShell(t)
	s.ok("apps create hello")
	for _, c := range []string{
		"fly", "apps fly", "deploy", "deploy hello --fast", "rollback", "pin hello", "at hello", "apps create", "apps create a b", "logs hello --build --run",
		"unpin hello --keep --revert", "at hello someday", "rollback hello --expires never", "apps list -o yaml", "apps update hello", "queue now",
	} {
		s.fails(exitUsage, c)
		if !strings.HasPrefix(s.err, "shiplog: ") || strings.Count(s.err, "\n") > 2 {
			t.Errorf("%s says\n%s", c, s.err)
		}
	}
	s.fails(exitFailed, "apps get helo", "did you mean hello?")
	s.fails(exitFailed, "apps create hello", "exists already")
	s.env["SHIPLOG_TOKEN"] = "wrong"
	s.fails(exitFailed, "apps list", "does not accept this token")

	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free.Close()
	s.env["SHIPLOG_URL"] = "http://" + free.Addr().String()
	s.fails(exitUnreachable, "apps list", "cannot reach "+s.env["SHIPLOG_URL"]+": is `shiplog serve` running?")
	s.fails(exitUnreachable, "deploy hello --wait", "cannot reach")
	s.fails(exitUnreachable, "apps list --url http://127.0.0.1:1", "cannot reach http://127.0.0.1:1")

	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "<html>") }))
	defer other.Close()
	s.env["SHIPLOG_URL"] = other.URL
	s.fails(exitFailed, "apps list", "does not answer like a Shiplog service")
	s.fails(exitFailed, "deploy hello", "does not answer like a Shiplog service")
}

func TestCLIFailedDeployment(t *testing.T) {
	s := newShell(t)
	s.ok("apps create hello")
	app := s.app("hello")
	var d *deploy.Deployment
	code := make(chan int)
	go func() { code <- s.run("deploy", "hello", "--force", "--wait") }()
	for d = s.State(app).Live()[0]; d.Mode != events.BuildForce; d = s.State(app).Live()[0] {
		time.Sleep(time.Millisecond)
	}
	s.Order(app, deploy.FailDeployment{Deployment: d.ID, Component: "web", Step: "build", Reason: "exit status 2", Log: "main.go:3: \x1b]0;owned\a syntax error"})
	if got := <-code; got != exitDeployment {
		t.Errorf("exit %d", got)
	}
	s.says("deploy", "failed at build of web: exit status 2", "shiplog logs hello --build --deployment "+string(d.ID), "syntax error", "ERROR")
	if strings.ContainsAny(s.out+s.err, "\x1b\a") {
		t.Error("control characters of a build reach the terminal")
	}
	go func() { code <- s.run("deploy", "hello", "--wait") }()
	for len(s.State(app).Live()) == 0 {
		time.Sleep(time.Millisecond)
	}
	s2 := *s
	s2.ok("queue", "hello", "waits for a builder", "manual")
	s2.ok("cancel hello --reason no", "CANCELED")
	if got := <-code; got != exitDeployment || !strings.Contains(s.err, "was canceled: no") {
		t.Errorf("exit %d: %s", got, s.err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { code <- s.runContext(ctx, "deploy", "hello", "--wait") }()
	for len(s.State(app).Live()) == 0 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if got := <-code; got != exitInterrupted {
		t.Errorf("interrupted: exit %d", got)
	}
}

// TestCLIData: with -o json stdout is data and nothing else, for every command that prints.
func TestCLIData(t *testing.T) {
	s := newShell(t)
	var create struct{ Spec events.Spec }
	s.ok("apps create hello -o json")
	if err := json.Unmarshal([]byte(s.out), &create); err != nil || create.Spec.Name != "hello" {
		t.Errorf("%v: %s", err, s.out)
	}
	s.working(s.app("hello"))
	for _, c := range []string{
		"deploy hello --wait", "apps list", "apps get hello", "releases hello", "history hello", "pin hello v1", "unpin hello", "rollback hello v1", "unpin hello --keep",
		"restart hello --wait", "queue", "hook hello", "stop hello", "start hello", "at hello 2030-01-01", "apps delete hello --yes",
	} {
		s.ok(c + " -o json")
		var v any
		if err := json.Unmarshal([]byte(s.out), &v); err != nil || v == nil {
			t.Errorf("%s: %v\n%s", c, err, s.out)
		}
	}
}

func TestCLISpecFile(t *testing.T) {
	s := newShell(t)
	file := filepath.Join(t.TempDir(), "shop.yaml")
	text := "name: shop\nservices:\n  - name: web\n    git: {repo_clone_url: https://example.org/shop.git, branch: main}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.fails(exitUsage, "apps create other --spec "+file, "named shop")
	s.ok("apps create --spec "+file, "shop", "shiplog logs shop --build -f")
	s.working(s.app("shop"))
	if err := os.WriteFile(file, []byte(text+"    http_port: 9000\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.ok("apps update shop --wait --spec "+file, "live as v2", "shop is changed")
	if err := os.WriteFile(file, []byte(text+"    colour: red\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.fails(exitFailed, "apps update shop --spec "+file, "colour")
	s.fails(exitFailed, "apps create --spec "+file+".nope", "no such file")
}

func TestCLILogs(t *testing.T) {
	s := newShell(t)
	s.ok("apps create hello")
	app := s.app("hello")
	d := s.State(app).Live()[0]
	stream := logs.Stream{App: app, Deployment: d.ID, Component: "web", Kind: logs.Build}
	w := s.Logs.Writer(stream)
	io.WriteString(w, "step 1\n\x1b[2Jstep 2\n")
	_ = w.Close()
	s.fails(exitFailed, "logs hello --build", "did not get as far")
	code := make(chan int)
	go func() { code <- s.run("logs", "hello", "web", "--build", "-f") }()
	s.Work(app)
	if got := <-code; got != exitOK || strings.Count(s.out, "\n") != 2 || strings.Contains(s.out, "\x1b") {
		t.Errorf("followed: exit %d\n%s%s", got, s.out, s.err)
	}
	s.ok("logs hello --build -n 1", "step 2")
	if strings.Contains(s.out, "step 1") {
		t.Errorf("the last line: %s", s.out)
	}
	s.ok("logs hello --build --deployment "+string(d.ID), "web 1970-01-01T00:00:01", "step 1")
	s.fails(exitFailed, "logs hello db --build", "no component db")
}

// TestCLIToken: beside a service its own token is used.
func TestCLIToken(t *testing.T) {
	s := newShell(t)
	delete(s.env, "SHIPLOG_TOKEN")
	s.env["SHIPLOG_DATA"] = t.TempDir()
	s.fails(exitFailed, "apps list", "needs a token: set SHIPLOG_TOKEN", s.env["SHIPLOG_DATA"])
	if err := os.WriteFile(filepath.Join(s.env["SHIPLOG_DATA"], "admin.token"), []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.ok("apps list")
}

// TestCLIRetries: a command whose answer was lost, or that came while the log was down, is sent again as the same one.
func TestCLIRetries(t *testing.T) {
	s := newShell(t)
	var calls atomic.Int32
	keys := map[string]bool{}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := calls.Add(1)
		if r.Method == "POST" {
			keys[r.Header.Get("Idempotency-Key")] = true
		}
		if n == 1 {
			w.WriteHeader(503)
			io.WriteString(w, `{"id":"service_unavailable","message":"later"}`)
			return
		}
		req, _ := http.NewRequest(r.Method, s.url+r.URL.RequestURI(), r.Body)
		req.Header = r.Header
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		if n == 2 {
			panic(http.ErrAbortHandler) // it was carried out, and nobody heard of it
		}
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
	}))
	proxy.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	defer proxy.Close()
	s.env["SHIPLOG_URL"] = proxy.URL
	s.ok("apps create hello", "hello")
	if calls.Load() != 3 || len(keys) != 1 || len(s.State(s.app("hello")).Live()) != 1 {
		t.Errorf("%d calls under %d keys", calls.Load(), len(keys))
	}
}

func TestMoment(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	c := &cli{now: func() time.Time { return now }}
	for in, want := range map[string]string{
		"2h": "2026-11-21T14:00:00Z", "90m": "2026-11-21T13:30:00Z", "15:04": "2026-11-21T15:04:00Z", "2026-12-01": "2026-12-01T00:00:00Z",
		"2026-12-01 10:00": "2026-12-01T10:00:00Z", "2026-12-01T10:00:00+02:00": "2026-12-01T08:00:00Z",
		"-2h": "", "": "", "tomorrow": "", "25:00": "",
	} {
		got, err := c.moment(in, +1)
		if want == "" && err == nil || want != "" && got.UTC().Format(time.RFC3339) != want {
			t.Errorf("%q: %v, %v; want %s", in, got, err, want)
		}
	}
	if got, _ := c.moment("2h", -1); got.Hour() != 10 {
		t.Errorf("2h ago: %v", got)
	}
}

func TestQuoted(t *testing.T) {
	for in, want := range map[string]string{"v1": "v1", "feature/x": "feature/x", "$(id)": "'$(id)'", "it's": `'it'\''s'`, "": "''"} {
		if got := quoted(in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}
