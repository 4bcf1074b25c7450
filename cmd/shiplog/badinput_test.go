package main

import (
	"strings"
	"testing"
)

// What is wrong names the thing, and the next step.
func TestBadInput(t *testing.T) {
	s := start(t)
	s.shiplog("apps", "create", "hello")
	r := s.clone("hello")
	r.hello("one")
	r.push()
	s.answers("hello", "one")
	s.settled("hello")
	good := specOf("shop", s.remote("shop"), "")
	digest := "sha256:" + strings.Repeat("ab", 32)
	for _, c := range []struct {
		command, spec string
		want          []string
	}{
		{"apps get helo", "", []string{"there is no app helo", "did you mean hello?"}},
		{"deploy other", "", []string{"there is no app other", "shiplog apps list"}},
		{"logs helo", "", []string{"helo", "did you mean hello?"}},
		{"hook helo", "", []string{"helo", "did you mean hello?"}},
		{"rollback hello nosuch", "", []string{"nothing called nosuch", "it has the branch main"}},
		{"pin hello nosuch", "", []string{"nothing called nosuch", "it has the branch main"}},
		{"rollback hello v7", "", []string{"no release v7", "newest is v1"}},
		{"rollback hello " + digest, "", []string{digest, "shiplog releases hello"}},
		{"rollback hello sha256:xyz", "", []string{"sha256:xyz", "64 lower-case hex digits"}},
		{"rollback hello abababababab", "", []string{"abababababab"}},
		{"pin hello " + strings.Repeat("ab", 20), "", []string{"no commit " + strings.Repeat("ab", 20), "push it"}},
		{"pin hello -- --upload-pack=x", "", []string{"--upload-pack=x"}},
		{"rollback hello", "", []string{"no release before v1", "shiplog releases hello"}},
		{"pin hello main --component db", "", []string{"no component db", "web"}},
		{"restart hello db", "", []string{"no component db", "web"}},
		{"cancel hello", "", []string{"nothing to cancel"}},
		{"cancel hello 123", "", []string{"123", "not the id of a deployment", "shiplog queue"}},
		{"logs hello --build --deployment 6f1e6c1e-0000-4000-8000-000000000000", "", []string{"no deployment 6f1e6c1e"}},
		{"unpin hello", "", []string{"not pinned"}},
		{"apps create Hello", "", []string{"Hello", "lower-case"}},
		{"apps create hello", "", []string{"hello exists already", "shiplog apps update hello"}},
		{"apps create --spec SPEC", "name: shop\nservices: []\n", []string{"at least one service or worker"}},
		{"apps create --spec SPEC", strings.Replace(good, "name: web", "name: web\n  colour: red", 1), []string{"colour"}},
		{"apps create --spec SPEC", strings.Replace(good, "branch: main", "branch: -x", 1), []string{"branch", "-x"}},
		{"apps create --spec SPEC", good + "  http_port: http\n", []string{"http_port"}},
		{"apps create --spec SPEC", good + "  dockerfile_path: ../Dockerfile\n", []string{"dockerfile_path"}},
		{"apps create --spec SPEC", "name: shop\nservices: [\n", []string{"line"}},
		{"apps create --spec SPEC", specOf("shop", "/etc/passwd", ""), []string{"services[0].git.repo_clone_url", "https://"}},
		{"apps create --spec SPEC", specOf("shop", "http://127.0.0.1:1/a/b.git", ""), []string{"127.0.0.1", "--source-allow"}},
		{"apps create --spec SPEC", specOf("shop", "git@example.org:a/b.git", ""), []string{"https"}},
		{"apps update hello --spec SPEC", good, []string{"name"}},
		{"apps create --spec nowhere.yaml", "", []string{"nowhere.yaml", "no such file"}},
	} {
		args := strings.Fields(c.command)
		if c.spec != "" {
			f := &repo{t: t, dir: t.TempDir()}
			f.write("spec.yaml", c.spec)
			for i, a := range args {
				if a == "SPEC" {
					args[i] = f.dir + "/spec.yaml"
				}
			}
		}
		out, err := s.both(args...)
		if err == nil {
			t.Errorf("shiplog %s succeeds: %s", c.command, out)
			continue
		}
		t.Logf("shiplog %s\n  %s", c.command, out)
		for _, text := range c.want {
			if !strings.Contains(out, text) {
				t.Errorf("shiplog %s does not say %q: %s", c.command, text, out)
			}
		}
		if strings.Contains(out, "unexpected error") || strings.Count(out, "\n") > 12 {
			t.Errorf("shiplog %s says: %s", c.command, out)
		}
	}
	if got, err := s.get("hello"); err != nil || got != "one" {
		t.Errorf("after all that it answers %q, %v", got, err)
	}
}
