package git

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
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
	seen  []http.Header
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

func TestTheRemoteRefuses(t *testing.T) {
	r := openRemote(t)
	r.commit("a", "1")
	r.client("push", "--quiet", "origin", "main")
	post := func(path, password, kind, body string) int {
		req, _ := http.NewRequest("POST", r.url+path, strings.NewReader(body))
		req.SetBasicAuth("x", password)
		req.Header.Set("Content-Type", kind)
		return do(t, req)
	}
	get := func(path, password string) int {
		req, _ := http.NewRequest("GET", r.url+path, nil)
		if password != "" {
			req.SetBasicAuth("x", password)
		}
		return do(t, req)
	}
	for _, c := range []struct {
		name string
		got  int
		want int
	}{
		{"no credentials", get("/git/hello.git/info/refs?service=git-upload-pack", ""), 401},
		{"wrong token", get("/git/hello.git/info/refs?service=git-upload-pack", "x"), 401},
		{"pushing without", post("/git/hello.git/git-receive-pack", "", "application/x-git-receive-pack-request", "0000"), 401},
		{"right token", get("/git/hello.git/info/refs?service=git-upload-pack", token), 200},
		{"the dumb protocol", get("/git/hello.git/info/refs", token), 404},
		{"another service", get("/git/hello.git/info/refs?service=git-upload-archive", token), 404},
		{"more in the query", get("/git/hello.git/info/refs?service=git-upload-pack&x=y", token), 404},
		{"a file", get("/git/hello.git/config", token), 404},
		{"an object", get("/git/hello.git/HEAD", token), 404},
		{"traversal", get("/git/../git/hello.git/config", token), 404},
		{"escaped traversal", get("/git/%2e%2e%2fhello.git/info/refs?service=git-upload-pack", token), 404},
		{"a capital", get("/git/Hello.git/info/refs?service=git-upload-pack", token), 404},
		{"no repository", get("/git/other.git/info/refs?service=git-upload-pack", token), 404},
		{"a form", post("/git/hello.git/git-receive-pack", token, "text/plain", "0000"), 500},
	} {
		if c.got != c.want {
			t.Errorf("%s: %d, want %d", c.name, c.got, c.want)
		}
	}
	res, err := http.Get(r.url + "/git/hello.git/info/refs?service=git-upload-pack")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if !strings.HasPrefix(res.Header.Get("WWW-Authenticate"), "Basic ") {
		t.Error("git is not told how to log in")
	}
}

func do(t *testing.T, req *http.Request) int {
	t.Helper()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode
}

// TestAGzipBombIsCut: the cap on the body cannot see what is in it, git's own cap can.
func TestAGzipBombIsCut(t *testing.T) {
	r := openRemote(t)
	var body bytes.Buffer
	z := gzip.NewWriter(&body)
	line := strings.Repeat("0", 40) + " " + strings.Repeat("1", 40) + " refs/heads/main\x00report-status\n"
	fmt.Fprintf(z, "%04x%s0000PACK\x00\x00\x00\x02\x00\x00\x00\x01", len(line)+4, line)
	zeros := make([]byte, 1<<20)
	for range 80 {
		_, _ = z.Write(zeros)
	}
	_ = z.Close()
	req, _ := http.NewRequest("POST", r.url+"/git/hello.git/git-receive-pack", &body)
	req.SetBasicAuth("x", token)
	req.Header.Set("Content-Type", "application/x-git-receive-pack-request")
	req.Header.Set("Content-Encoding", "gzip")
	do(t, req)
	refs, err := r.Refs(t.Context(), "hello")
	if err != nil || len(refs) != 0 {
		t.Errorf("refs: %v, %v", refs, err)
	}
}

// TestTheChildSeesNoCredentials puts a program in git's place that shows its environment.
func TestTheChildSeesNoCredentials(t *testing.T) {
	r := openRemote(t)
	t.Setenv("SHIPLOG_TOKEN", "of-the-service")
	fake := filepath.Join(t.TempDir(), "git")
	script := "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\nenv\n"
	if err := os.WriteFile(fake, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	r.git = fake
	req, _ := http.NewRequest("GET", r.url+"/git/hello.git/info/refs?service=git-upload-pack", nil)
	req.SetBasicAuth("x", token)
	req.Header.Set("Cookie", "c=cookie-value")
	req.Header.Set("Git-Protocol", "version=2")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var env bytes.Buffer
	_, _ = env.ReadFrom(res.Body)
	for _, secret := range []string{token, "HTTP_AUTHORIZATION", "cookie-value", "of-the-service"} {
		if strings.Contains(env.String(), secret) {
			t.Errorf("git sees %q", secret)
		}
	}
	for _, want := range []string{"GIT_PROTOCOL=version=2", "REMOTE_USER=token:x", "GIT_PROJECT_ROOT=" + r.dir} {
		if !strings.Contains(env.String(), want) {
			t.Errorf("git does not see %s:\n%s", want, env.String())
		}
	}
}

func TestTidyLosesNothing(t *testing.T) {
	r := openRemote(t)
	path := r.Path("hello")
	var all []events.Commit
	for i := range maxPacks + 2 { // unreachable commits, each in a pack of its own
		blob := runGit(t, path, fmt.Append(nil, i), "hash-object", "-w", "--stdin")
		tree := runGit(t, path, []byte("100644 blob "+blob+"\tf\n"), "mktree")
		c := runGit(t, path, nil, "commit-tree", "-m", "m", tree)
		runGit(t, path, []byte(c+"\n"+tree+"\n"+blob+"\n"), "pack-objects", "-q", "objects/pack/pack")
		runGit(t, path, nil, "prune-packed")
		all = append(all, events.Commit(c))
	}
	if err := r.Tidy(t.Context(), "hello"); err != nil {
		t.Fatal(err)
	}
	packs, _ := filepath.Glob(filepath.Join(path, "objects", "pack", "*.pack"))
	if len(packs) > maxPacks/2 {
		t.Errorf("%d packs are left", len(packs))
	}
	for _, c := range all {
		if has, err := HasCommit(t.Context(), r.Source("hello"), c); !has || err != nil {
			t.Fatalf("%s is gone (%v)", c, err)
		}
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

func TestMatch(t *testing.T) {
	bases := []string{"http://127.0.0.1:8080", "https://ship.example.org/base/"}
	for url, want := range map[string]string{
		"http://127.0.0.1:8080/git/hello.git":              "hello",
		"http://x:y@127.0.0.1:8080/git/hello.git":          "hello",
		"http://127.0.0.1:8080/git/hello":                  "hello",
		"https://SHIP.example.org:443/base/git/my-app.git": "my-app",
		"http://127.0.0.1:8081/git/hello.git":              "",
		"https://127.0.0.1:8080/git/hello.git":             "",
		"https://ship.example.org/git/hello.git":           "",
		"http://127.0.0.1:8080/git/../x.git":               "",
		"http://127.0.0.1:8080/git/a/b.git":                "",
		"http://127.0.0.1:8080.evil.example/git/hello.git": "",
		"http://127.0.0.1:8080@evil.example/git/hello.git": "",
		"http://127.0.0.1:8080/git/hello.git?x=y":          "",
		"git@127.0.0.1:git/hello.git":                      "",
		"":                                                 "",
	} {
		if got, ok := Match(url, bases); got != want || ok != (want != "") {
			t.Errorf("Match(%q) = %q, %v; want %q", url, got, ok, want)
		}
	}
}

// Before a large push git asks with an empty request whether it may. The empty answer to that is in order, and no warning.
func TestReportOfAnEmptyQuestion(t *testing.T) {
	if out, err := report(nil, "words", nil); err != nil || len(out) != 0 {
		t.Errorf("%q, %v", out, err)
	}
	if _, err := report(nil, "words", errors.New("no")); err == nil {
		t.Error("a failure was passed over: there are no refs in the answer to refuse")
	}
}

func FuzzReport(f *testing.F) {
	f.Add([]byte("0030\x01000eunpack ok\n0019ok refs/heads/main\n00000000"), true)
	f.Add([]byte("000eunpack ok\n0019ok refs/heads/main\n0000"), true)
	f.Add([]byte("0000"), false)
	f.Fuzz(func(t *testing.T, body []byte, fails bool) {
		var failed error
		if fails {
			failed = errors.New("no")
		}
		out, err := report(body, "words", failed)
		if err != nil {
			return
		}
		if _, err := splitPackets(out); err != nil {
			t.Errorf("%q became %q, which is not packets: %v", body, out, err)
		}
		if fails && bytes.Contains(out, []byte("\nok refs/")) && !bytes.Contains(body, []byte("\nok refs/")) {
			t.Errorf("%q became %q", body, out)
		}
	})
}
