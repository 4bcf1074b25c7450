package git

import (
	"bytes"
	"context"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"shiplog/events"
)

// loopback lets tests reach their servers.
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// forge is a git server: git's own http-backend over a folder of bare repositories.
type forge struct {
	t    *testing.T
	dir  string
	http *httptest.Server
	wrap func(http.Handler) http.Handler
}

func newForge(t *testing.T) *forge {
	t.Helper()
	f := &forge{t: t, dir: fast(t)}
	f.http = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var h http.Handler = &cgi.Handler{
			Path: filepath.Join(f.git("", "--exec-path"), "git-http-backend"), Dir: f.dir,
			Env: append(testEnv(), "GIT_PROJECT_ROOT="+f.dir, "GIT_HTTP_EXPORT_ALL=1"),
		}
		if f.wrap != nil {
			h = f.wrap(h)
		}
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(f.http.Close)
	return f
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

// repo makes an empty bare repository with settings, "key=value".
func (f *forge) repo(name string, settings ...string) *repo {
	f.t.Helper()
	dir := filepath.Join(f.dir, name)
	f.git("", "init", "--quiet", "--bare", "-b", "main", dir)
	for _, s := range settings {
		key, value, _ := strings.Cut(s, "=")
		f.git(dir, "config", key, value)
	}
	return &repo{forge: f, dir: dir, url: f.http.URL + "/" + name}
}

func (f *forge) git(dir string, args ...string) string {
	f.t.Helper()
	return runGit(f.t, dir, nil, args...)
}

func testEnv() []string {
	return []string{"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "HOME=/nonexistent", "PATH=" + os.Getenv("PATH"),
		"GIT_AUTHOR_NAME=Ann", "GIT_AUTHOR_EMAIL=ann@example.org", "GIT_COMMITTER_NAME=Bob", "GIT_COMMITTER_EMAIL=bob@example.org",
		"GIT_AUTHOR_DATE=1700000000 +0000", "GIT_COMMITTER_DATE=1700000000 +0000", "GIT_TERMINAL_PROMPT=0"}
}

// runGit runs git, which must be installed, and returns what it prints without the last newline.
func runGit(t *testing.T, dir string, stdin []byte, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Env, cmd.Stdin = dir, testEnv(), bytes.NewReader(stdin)
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, problems.String())
	}
	return strings.TrimSuffix(out.String(), "\n")
}

// repo is a bare repository that tests write to with git's plumbing, so that it can hold what git would not make.
type repo struct {
	*forge
	dir string
	url string
}

func (r *repo) source() Source { return Source{URL: r.url, Allow: loopback} }

// blob stores content and returns its id.
func (r *repo) blob(content string) string {
	r.t.Helper()
	return runGit(r.t, r.dir, []byte(content), "hash-object", "-w", "--stdin")
}

// entry is a line of a tree: mode, name, object id.
type entry struct{ mode, name, id string }

// tree stores a tree as it is given, unsorted, unchecked.
func (r *repo) tree(entries ...entry) string {
	r.t.Helper()
	var raw bytes.Buffer
	for _, e := range entries {
		raw.WriteString(e.mode + " " + e.name + "\x00")
		raw.Write(unhex(r.t, e.id))
	}
	return runGit(r.t, r.dir, raw.Bytes(), "hash-object", "-t", "tree", "-w", "--literally", "--stdin")
}

// files stores a tree of files, which may be nested one deep.
func (r *repo) files(files map[string]string) string {
	r.t.Helper()
	index := filepath.Join(r.t.TempDir(), "index")
	for name, content := range files {
		cmd := exec.Command("git", "update-index", "--add", "--cacheinfo", "100644,"+r.blob(content)+","+name)
		cmd.Dir, cmd.Env = r.dir, append(testEnv(), "GIT_INDEX_FILE="+index)
		if out, err := cmd.CombinedOutput(); err != nil {
			r.t.Fatalf("%v: %s", err, out)
		}
	}
	cmd := exec.Command("git", "write-tree")
	cmd.Dir, cmd.Env = r.dir, append(testEnv(), "GIT_INDEX_FILE="+index)
	out, err := cmd.Output()
	if err != nil {
		r.t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// commit stores a commit of a tree and moves ref to it.
func (r *repo) commit(ref, tree, message string, parents ...events.Commit) events.Commit {
	r.t.Helper()
	args := []string{"commit-tree", "-m", message}
	for _, p := range parents {
		args = append(args, "-p", string(p))
	}
	id := r.git(r.dir, append(args, tree)...)
	if ref != "" {
		r.git(r.dir, "update-ref", ref, id)
	}
	return events.Commit(id)
}

func (r *repo) checkout(rev events.Revision) (string, Tree, error) {
	r.t.Helper()
	dir := r.t.TempDir()
	tree, err := Checkout(context.Background(), r.source(), rev, dir)
	return dir, tree, err
}
