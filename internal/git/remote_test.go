package git

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"shiplog/events"
)

const token = "s3cret-token"

// remote is a built-in remote with a server, and a client's work tree.
type remote struct {
	*Remote
	t     *testing.T
	url   string
	work  string
	mu    sync.Mutex
	calls []string
	say   string
	fail  error // of AfterPush
	down  error // of BeforePush
}

func openRemote(t *testing.T) *remote {
	t.Helper()
	r := &remote{t: t, work: fast(t)}
	var err error
	r.Remote, err = OpenRemote(filepath.Join(fast(t), "git"), RemoteOptions{
		Authenticate: func(user, got string) (events.Actor, bool) { return events.NewActor("token", user), got == token },
		BeforePush:   func(context.Context, string) error { return r.down },
		AfterPush: func(_ context.Context, name string, actor events.Actor) (string, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			refs, err := r.Refs(context.Background(), name)
			if err != nil {
				t.Error(err)
			}
			r.calls = append(r.calls, fmt.Sprint(name, " ", actor, " ", refs["refs/heads/main"]))
			return r.say, r.fail
		},
		MaxPush: 64 << 20, Spool: fast(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(r)
	t.Cleanup(func() { server.Close(); _ = r.Close() })
	r.url = server.URL
	if err := r.Ensure("hello"); err != nil {
		t.Fatal(err)
	}
	r.client("init", "--quiet", "-b", "main", ".")
	r.client("remote", "add", "origin", r.clone("ann", token))
	return r
}

func (r *remote) clone(user, password string) string {
	return strings.Replace(r.url, "http://", "http://"+user+":"+password+"@", 1) + "/git/hello.git"
}

func (r *remote) client(args ...string) string { return runGit(r.t, r.work, nil, args...) }

// try runs git in the work tree and returns all it prints.
func (r *remote) try(args ...string) (string, error) {
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Env = r.work, testEnv()
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (r *remote) commit(file, content string) events.Commit {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.work, file), []byte(content), 0o644); err != nil {
		r.t.Fatal(err)
	}
	r.client("add", "-A")
	r.client("commit", "--quiet", "-m", "change "+file)
	return events.Commit(r.client("rev-parse", "HEAD"))
}

func TestPush(t *testing.T) {
	r := openRemote(t)
	r.say = "hello: main is recorded\nsee shiplog logs hello"
	c := r.commit("a", "1")
	out, err := r.try("push", "origin", "main")
	if err != nil || !strings.Contains(out, "remote: hello: main is recorded") || !strings.Contains(out, "remote: see shiplog logs hello") {
		t.Fatalf("%v: %s", err, out)
	}
	if want := "hello token:ann " + string(c); !slices.Equal(r.calls, []string{want}) {
		t.Errorf("AfterPush was called for %q, want %q", r.calls, want)
	}
	dir := t.TempDir()
	if _, err := Checkout(t.Context(), r.Source("hello"), events.Revision{Commit: c}, dir); err != nil || read(t, dir, "a") != "1" {
		t.Error(err)
	}
	clone := filepath.Join(t.TempDir(), "clone")
	runGit(t, r.work, nil, "clone", "--quiet", r.clone("x", token), clone)
	if read(t, clone, "a") != "1" {
		t.Error("the clone is not what was pushed")
	}
}

func TestPushOf50MiB(t *testing.T) {
	r := openRemote(t)
	r.client("config", "core.compression", "0")
	r.client("config", "core.bigFileThreshold", "1m")
	big := make([]byte, 50<<20)
	_, _ = rand.Read(big)
	c := r.commit("big", string(big))
	out, err := r.try("push", "origin", "main")
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if has, err := HasCommit(t.Context(), r.Source("hello"), c); !has || err != nil {
		t.Errorf("stored: %v, %v", has, err)
	}
	left, _ := os.ReadDir(r.Spool)
	if len(left) != 0 {
		t.Errorf("%d files are left of the push", len(left))
	}
	r.MaxPush = 1 << 20
	_, _ = rand.Read(big[:2<<20])
	r.commit("bigger", string(big[:2<<20]))
	if out, err := r.try("push", "origin", "main"); err == nil || !strings.Contains(out, "413") {
		t.Errorf("over the cap: %v: %s", err, out)
	}
}

// Before a push of more than 1 MiB git asks with an empty one whether it may. That is no push: nothing is recorded of it, and
// git's empty answer to it is nothing to wonder about.
func TestPushWithAProbe(t *testing.T) {
	r := openRemote(t)
	var said bytes.Buffer
	r.Slog = slog.New(slog.NewTextHandler(&said, nil))
	big := make([]byte, 2<<20)
	_, _ = rand.Read(big)
	r.commit("big", string(big))
	if out, err := r.try("push", "-q", "origin", "main"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if len(r.calls) != 1 || said.Len() > 0 {
		t.Errorf("AfterPush was called %d times, and the log says %q", len(r.calls), said.String())
	}
}

// A client that asked for no report gets none; when its push is not recorded it hears so all the same.
func TestReportThatNobodyAskedFor(t *testing.T) {
	if out, err := report(nil, "recorded", nil); err != nil || len(out) != 0 {
		t.Errorf("%q, %v", out, err)
	}
	if out, err := report(nil, "", errors.New("the log is down")); err == nil {
		t.Errorf("a failure is lost: %q", out)
	}
}

func TestPushThatCannotBeRecorded(t *testing.T) {
	r := openRemote(t)
	r.fail = errors.New("the log is not available")
	r.commit("a", "1")
	out, err := r.try("push", "origin", "main", "main:other")
	if err == nil || strings.Count(out, "stored, but not recorded (the log is not available)") != 2 {
		t.Fatalf("git said it was done (%v): %s", err, out)
	}
	r.fail, r.down = nil, errors.New("the log is down")
	out, err = r.try("push", "origin", "main")
	if err == nil || !strings.Contains(out, "shiplog: nothing can be pushed now: the log is down") {
		t.Fatalf("with the log down (%v): %s", err, out)
	}
	r.down = nil
	if out, err = r.try("push", "origin", "main"); err != nil {
		t.Errorf("again: %v: %s", err, out)
	}
}

func TestForcePushLosesNoKeptCommit(t *testing.T) {
	r := openRemote(t)
	first := r.commit("a", "1")
	r.client("push", "--quiet", "origin", "main")
	if err := r.Keep(t.Context(), "hello", first); err != nil {
		t.Fatal(err)
	}
	r.client("checkout", "--quiet", "--orphan", "new")
	second := r.commit("b", "2")
	r.client("push", "--quiet", "--force", "origin", "new:main")
	if follows, err := r.Follows(t.Context(), "hello", second, first); follows || err != nil {
		t.Errorf("the second follows the first: %v, %v", follows, err)
	}
	runGit(t, r.Path("hello"), nil, "-c", "gc.auto=1", "gc", "--prune=now", "--quiet")
	dir := t.TempDir()
	if _, err := Checkout(t.Context(), r.Source("hello"), events.Revision{Commit: first}, dir); err != nil || read(t, dir, "a") != "1" {
		t.Errorf("the kept commit: %v", err)
	}
	if out := r.client("ls-remote", "origin"); strings.Contains(out, "shiplog") {
		t.Errorf("clients see what is kept: %s", out)
	}
	if out, err := r.try("push", "origin", "new:refs/shiplog/keep/x"); err == nil {
		t.Errorf("a client wrote there: %s", out)
	}
	if out, err := r.try("push", "origin", ":main"); err == nil {
		t.Errorf("the current branch was deleted: %s", out)
	}
	if err := r.Keep(t.Context(), "hello", events.Commit(strings.Repeat("ab", 20))); !errors.Is(err, ErrNoRef) {
		t.Errorf("keeping what is not there: %v", err)
	}
}

func TestEnsureArchiveRemove(t *testing.T) {
	r := openRemote(t)
	r.commit("a", "1")
	r.client("push", "--quiet", "origin", "main")
	if err := os.WriteFile(filepath.Join(r.Path("hello"), "config"), []byte("[core]\n\tbare = true\n\thooksPath = /tmp\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := r.Ensure("hello"); err != nil {
		t.Fatal(err)
	}
	if got := runGit(t, r.Path("hello"), nil, "config", "core.hooksPath"); got != "/dev/null" {
		t.Errorf("hooks at %q", got)
	}
	for _, bad := range []string{"", "../x", "a", "-a", "Hello", "a/b", ".archive", strings.Repeat("a", 33)} {
		if r.Path(bad) != "" || r.Ensure(bad) == nil {
			t.Errorf("%q is taken for an app's name", bad)
		}
	}
	if err := r.Archive("hello"); err != nil {
		t.Fatal(err)
	}
	if refs, err := r.Refs(t.Context(), "hello"); len(refs) != 0 || err != nil {
		t.Errorf("after archiving: %v, %v", refs, err)
	}
	kept, _ := filepath.Glob(filepath.Join(r.dir, ".archive", "hello.*.git"))
	if len(kept) != 1 {
		t.Errorf("archived: %v", kept)
	}
	if err := r.Ensure("hello"); err != nil {
		t.Fatal(err)
	}
	if names, _ := r.Names(); !slices.Equal(names, []string{"hello"}) {
		t.Errorf("names: %v", names)
	}
	if err := r.Remove("hello"); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(r.dir, "*hello*")); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	if err := errors.Join(r.Remove("hello"), r.Archive("hello")); err != nil {
		t.Error(err)
	}
}
