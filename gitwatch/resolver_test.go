package gitwatch

import (
	"strings"
	"testing"

	"shiplog/events"
	"shiplog/internal/deploy"
)

// component returns the only component of an app.
func (s *shop) component(app events.ID) (deploy.App, events.Component) {
	a := s.state(app)
	return a, a.Spec.Components()[0]
}

func TestNewestOfTheBuiltInRemote(t *testing.T) {
	s := open(t)
	app := s.app("hello", events.GitSource{Branch: "main", RepoCloneURL: s.url("hello")})
	a, c := s.component(app)
	got, err := s.Newest(t.Context(), a, a.Spec, c)
	if err != nil || !got.IsZero() {
		t.Fatalf("before a push: %v, %v", got, err)
	}
	first := s.commit("a")
	s.push("hello", "main", "main:refs/heads/release")
	s.judgeAll(app)
	if got, err = s.Newest(t.Context(), a, a.Spec, c); err != nil || got.Revision.String() != "main@sha1:"+string(first) {
		t.Errorf("after a push: %v, %v", got, err)
	}
	s.git("tag", "-a", "-m", "v", "v1")
	s.commit("b")
	s.push("hello", "main", "v1")
	for branch, want := range map[string]string{
		"v1": "refs/tags/v1@sha1:" + string(first), "release": "release@sha1:" + string(first), string(first): "release@sha1:" + string(first),
	} {
		field := c
		field.Git = &events.GitSource{RepoCloneURL: s.url("hello"), Branch: branch}
		if got, err := s.Newest(t.Context(), s.state(app), a.Spec, field); err != nil || got.Revision.String() != want && branch != string(first) || got.Revision.Commit != first {
			t.Errorf("%s: %v, %v; want %s", branch, got, err, want)
		}
	}
	pinned := s.state(app)
	pinned.Pins = map[string]deploy.Pin{"": {Kind: events.RefBranch, Resolved: map[string]events.Target{"web0": {Revision: events.Revision{Ref: "refs/heads/release", Commit: first}}}}}
	if got, err := s.Newest(t.Context(), pinned, a.Spec, c); err != nil || got.Revision.Ref != "refs/heads/release" {
		t.Errorf("pinned to a branch: %v, %v", got, err)
	}
}

func TestNewestOfAServer(t *testing.T) {
	s := open(t)
	url := s.forge() + "/git/there.git"
	if err := s.Remote.Ensure("there"); err != nil {
		t.Fatal(err)
	}
	first := s.commit("a")
	s.push("there", "main")
	app := s.app("hello", events.GitSource{Branch: "main", RepoCloneURL: url})
	a, c := s.component(app)
	if got, err := s.Newest(t.Context(), a, a.Spec, c); err != nil || got.Revision.Commit != first {
		t.Errorf("main: %v, %v", got, err)
	}
	for branch, want := range map[string]string{
		"mian":                  "has no branch or tag called mian (it has the branch main)",
		strings.Repeat("1", 40): "has no commit " + strings.Repeat("1", 40),
	} {
		field := c
		field.Git = &events.GitSource{RepoCloneURL: url, Branch: branch}
		if _, err := s.Newest(t.Context(), a, a.Spec, field); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", branch, err)
		}
	}
	field := c
	field.Git = &events.GitSource{RepoCloneURL: url, Branch: string(first)}
	if got, err := s.Newest(t.Context(), a, a.Spec, field); err != nil || got.Revision.Commit != first {
		t.Errorf("a commit: %v, %v", got, err)
	}
}

func TestRef(t *testing.T) {
	s := open(t)
	app := s.app("hello", events.GitSource{Branch: "main", RepoCloneURL: s.url("hello")})
	if err := s.Compare(t.Context(), app, events.Self); err != nil {
		t.Fatal(err)
	}
	first := s.commit("a")
	second := s.commit("b")
	s.git("tag", "-a", "-m", "v", "v1", string(first))
	s.git("tag", "both", string(first))
	s.push("hello", "main", "main:refs/heads/feature/x", "main:refs/heads/both", "v1", "both", "main:refs/heads/abcdef12")
	s.judgeAll(app)
	a, c := s.component(app)
	for ref, want := range map[string]string{
		"main":                        "branch main@sha1:" + string(second),
		"feature/x":                   "branch feature/x@sha1:" + string(second),
		"branch:both":                 "branch both@sha1:" + string(second),
		"refs/heads/both":             "branch both@sha1:" + string(second),
		"tag:both":                    "tag refs/tags/both@sha1:" + string(first),
		"refs/tags/both":              "tag refs/tags/both@sha1:" + string(first),
		"v1":                          "tag refs/tags/v1@sha1:" + string(first),
		"abcdef12":                    "branch abcdef12@sha1:" + string(second),
		"both":                        "! write branch:both or tag:both",
		string(first):                 "commit " + string(first),
		string(first[:9]):             "commit " + string(first),
		"commit:" + string(first[:7]): "commit " + string(first),
		"commit:" + string(second):    "commit " + string(second),
		"commit:main":                 "! is not a commit",
		"commit:abcdef12":             "! begins with abcdef12",
		strings.Repeat("1", 40):       "! has no commit",
		"1111111":                     "! begins with 1111111",
		"mian":                        "! has nothing called mian (it has the branches",
		"-x":                          "! cannot be the name",
		"--upload-pack=x":             "! cannot be the name",
		"a..b":                        "! cannot be the name",
		"":                            "! cannot be the name",
		"refs/notes/x":                "! cannot be the name",
		"branch:refs/../x":            "! cannot be the name",
		"$(id)":                       "! has nothing called $(id)",
	} {
		got, err := s.Ref(t.Context(), a, c, ref)
		if expect, fails := strings.CutPrefix(want, "! "); fails {
			if err == nil || !strings.Contains(err.Error(), expect) {
				t.Errorf("%q: %+v, %v; want an error with %q", ref, got, err, expect)
			}
			continue
		}
		text := string(got.Kind) + " " + got.Target.Revision.String()
		if got.Kind == events.RefCommit {
			text = "commit " + string(got.Target.Revision.Commit)
		}
		if err != nil || text != want || got.Note != "" {
			t.Errorf("%q: %s (%s), %v; want %s", ref, text, got.Note, err, want)
		}
	}
	// A pin to an old commit keeps it, whatever is pushed later.
	if out := s.git("--git-dir", s.Remote.Path("hello"), "for-each-ref", "refs/shiplog/keep/"+string(first)); out == "" {
		t.Error("the commit is not kept")
	}
}

func TestRefWhileTheServerIsDown(t *testing.T) {
	s := open(t)
	const url = "http://127.0.0.1:1/owner/name.git"
	app := s.app("hello", events.GitSource{Branch: "main", RepoCloneURL: url})
	c1 := events.Commit(strings.Repeat("1", 40))
	p := events.PushReceived{Provider: "github", Delivery: "d", Repository: url, Ref: "refs/heads/main", After: c1}
	for _, cmd := range []deploy.Command{deploy.ReceivePush{Push: p}, deploy.JudgePush{Push: p.PushID(), Resolved: events.Revision{Ref: p.Ref, Commit: c1}}} {
		s.n++
		if _, err := s.handler.Do(t.Context(), app, deploy.Order{ID: strings.Repeat("o", s.n), Actor: "push:github", At: s.now(), Command: cmd}); err != nil {
			t.Fatal(err)
		}
	}
	a, c := s.component(app)
	got, err := s.Ref(t.Context(), a, c, "main")
	if err != nil || got.Target.Revision.Commit != c1 || !strings.Contains(got.Note, "cannot be reached") {
		t.Errorf("a ref that was seen: %+v, %v", got, err)
	}
	if got, err := s.Ref(t.Context(), a, c, "commit:1111111"); err != nil || got.Target.Revision.Commit != c1 {
		t.Errorf("a commit that is known: %+v, %v", got, err)
	}
	if _, err := s.Ref(t.Context(), a, c, "next"); err == nil || !strings.Contains(err.Error(), "cannot be reached") {
		t.Errorf("a ref that was not: %v", err)
	}
	if _, err := s.Newest(t.Context(), a, a.Spec, c); err == nil {
		t.Error("the newest revision was made up")
	}
}

func TestImages(t *testing.T) {
	s := open(t)
	d := events.Digest("sha256:" + strings.Repeat("a", 64))
	s.digest["ghcr.io/owner/app:latest"] = d
	s.digest["docker.io/library/nginx:1.27"] = d
	ghcr := events.Component{Name: "w", Image: &events.ImageSource{RegistryType: "GHCR", Registry: "owner", Repository: "app"}}
	hub := events.Component{Name: "w", Image: &events.ImageSource{RegistryType: "DOCKER_HUB", Registry: "library", Repository: "nginx", Tag: "1.27"}}
	for want, c := range map[string]events.Component{"ghcr.io/owner/app": ghcr, "docker.io/library/nginx": hub} {
		got, err := s.Newest(t.Context(), deploy.App{}, events.Spec{}, c)
		if err != nil || got.Digest != d || got.Image != want {
			t.Errorf("%s: %+v, %v", want, got, err)
		}
	}
	for ref, want := range map[string]events.RefKind{"1.27": events.RefTag, "tag:1.27": events.RefTag, "refs/tags/1.27": events.RefTag, string(d): events.RefDigest} {
		got, err := s.Ref(t.Context(), deploy.App{}, hub, ref)
		if err != nil || got.Kind != want || got.Target.Digest != d {
			t.Errorf("%s: %+v, %v", ref, got, err)
		}
	}
	for _, ref := range []string{"branch:main", "commit:1234567", "sha256:12", "2"} {
		if got, err := s.Ref(t.Context(), deploy.App{}, hub, ref); err == nil {
			t.Errorf("%s: %+v", ref, got)
		}
	}
}
