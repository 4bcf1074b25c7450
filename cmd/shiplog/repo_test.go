package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// repo is a person's clone.
type repo struct {
	t   *testing.T
	dir string
	env []string
}

// clone makes a repository whose remote "shiplog" is the app's.
func (s *site) clone(app string) *repo {
	s.t.Helper()
	r := &repo{t: s.t, dir: s.t.TempDir(), env: append(os.Environ(),
		"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=Ann", "GIT_AUTHOR_EMAIL=ann@example.com", "GIT_COMMITTER_NAME=Ann", "GIT_COMMITTER_EMAIL=ann@example.com",
	)}
	r.git("init", "-q", "-b", "main")
	r.git("remote", "add", "shiplog", strings.Replace(s.url, "://", "://ann:"+s.token+"@", 1)+"/git/"+app+".git")
	return r
}

func (r *repo) git(args ...string) string {
	r.t.Helper()
	out, err := r.tryGit(args...)
	if err != nil {
		r.t.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(out)
}

func (r *repo) tryGit(args ...string) (string, error) {
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Env = r.dir, r.env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (r *repo) write(name, content string) {
	r.t.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// hello makes the commit of a sample app that answers with a text, and returns its id.
func (r *repo) hello(answer string) string {
	r.t.Helper()
	server, err := os.ReadFile(built.hello)
	if err != nil {
		r.t.Fatal(err)
	}
	path := filepath.Join(r.dir, "hello")
	if err := os.WriteFile(path, server, 0o755); err != nil {
		r.t.Fatal(err)
	}
	r.write("Dockerfile", "FROM scratch\nCOPY hello answer /\nENTRYPOINT [\"/hello\"]\n")
	r.write("answer", answer+"\n")
	return r.commit(answer)
}

func (r *repo) commit(message string) string {
	r.t.Helper()
	r.git("add", "-A")
	r.git("commit", "-q", "--allow-empty", "-m", message)
	return r.git("rev-parse", "HEAD")
}

// push sends the present commit to main.
func (r *repo) push() { r.t.Helper(); r.git("push", "-q", "-f", "shiplog", "HEAD:refs/heads/main") }
