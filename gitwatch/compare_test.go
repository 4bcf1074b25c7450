package gitwatch

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"shiplog/events"
	"shiplog/internal/deploy"
	"shiplog/internal/git"
)

func TestAPushIsInTheLogBeforeGitSaysDone(t *testing.T) {
	s := open(t)
	app := s.app("hello", events.GitSource{Branch: "main", RepoCloneURL: s.url("hello")})
	if err := s.Compare(t.Context(), app, events.Self); err != nil { // makes the repository
		t.Fatal(err)
	}
	first := s.commit("a")
	out := s.push("hello", "main")
	if want := "shiplog: hello: main@" + first.Short() + " is recorded"; !strings.Contains(out, "remote: "+want) {
		t.Errorf("git said: %s", out)
	}
	got := s.pushes(app)
	if len(got) != 1 || got[0].Ref != "refs/heads/main" || got[0].After != first || got[0].Before != "" || got[0].Forced ||
		got[0].Provider != "git" || got[0].Message != "change a\n" || got[0].Author != "Ann <ann@example.org>" || got[0].Pusher != "token:ann" {
		t.Fatalf("recorded: %+v", got)
	}
	if s.state(app).Pending[got[0].PushID()].Actor != "token:ann" {
		t.Error("the push is not the pusher's")
	}
	if v := s.judgeAll(app); !slices.Equal(v, []string{"main deploys"}) {
		t.Errorf("verdicts: %q", v)
	}
	if w := s.state(app).Want["web0"].Revision; w.String() != "main@sha1:"+string(first) {
		t.Errorf("wanted: %s", w)
	}

	second := s.commit("b")
	s.push("hello", "main", "main:side")
	s.judgeAll(app)
	got = s.pushes(app)[1:]
	if len(got) != 2 || got[0].Ref != "refs/heads/main" || got[0].Before != first || got[0].After != second || !slices.Equal(got[0].Paths, []string{"b"}) {
		t.Errorf("the second push: %+v", got)
	}
	for range 3 {
		if err := s.Compare(t.Context(), app, events.Self); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(s.pushes(app)); n != 3 {
		t.Errorf("comparing again recorded %d pushes, want 3", n)
	}
}

// Between git's storing a push and its record, the verdict on an earlier push, or a person's deploy, may see the new
// commit already. The push is recorded all the same: it was accepted, so it is in the history.
func TestAPushThatWasSeenBeforeItIsRecorded(t *testing.T) {
	for what, see := range map[string]func(s *shop, app events.ID){
		"judged": func(s *shop, app events.ID) { s.judgeAll(app) },
		"deployed": func(s *shop, app events.ID) {
			a := s.state(app)
			newest, err := s.Newest(t.Context(), a, a.Spec, a.Spec.Services[0])
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.handler.Do(t.Context(), app, deploy.Order{ID: "deploy", Actor: "token:bob", At: s.now(), Command: deploy.Deploy{
				Targets: map[string]events.Target{"web0": newest},
			}}); err != nil {
				t.Fatal(err)
			}
		},
	} {
		s := open(t)
		app := s.app("hello", events.GitSource{Branch: "main", RepoCloneURL: s.url("hello")})
		if err := s.Compare(t.Context(), app, events.Self); err != nil {
			t.Fatal(err)
		}
		first := s.commit("a")
		s.push("hello", "main")
		second := s.commit("b")
		s.git("push", "--quiet", s.Remote.Path("hello"), "main") // stored, and not recorded yet
		see(s, app)
		if _, err := s.Pushed(t.Context(), "hello", "token:ann"); err != nil {
			t.Fatal(err)
		}
		got := s.pushes(app)
		if len(got) != 2 || got[0].After != first || got[1].Before != first || got[1].After != second || got[1].Pusher != "token:ann" {
			t.Errorf("%s: recorded %+v", what, got)
		}
		if err := s.Compare(t.Context(), app, events.Self); err != nil || len(s.pushes(app)) != 2 {
			t.Errorf("%s: compared again: %v, %d pushes", what, err, len(s.pushes(app)))
		}
		s.judgeAll(app)
		if w := s.state(app).Want["web0"].Revision.Commit; w != second {
			t.Errorf("%s: wanted: %s", what, w)
		}
	}
}

func TestForcePushesTagsAndDeletions(t *testing.T) {
	s := open(t)
	app := s.app("hello", events.GitSource{Branch: "main", RepoCloneURL: s.url("hello")})
	if err := s.Compare(t.Context(), app, events.Self); err != nil {
		t.Fatal(err)
	}
	first := s.commit("a")
	s.push("hello", "main")
	s.judgeAll(app)
	second := s.commit("b")
	s.push("hello", "main")
	s.judgeAll(app)
	s.git("reset", "--quiet", "--hard", string(first))
	s.push("hello", "--force", "main")
	s.git("tag", "-a", "-m", "one", "v1")
	s.push("hello", "v1", "main:side")
	s.push("hello", ":side")
	want := []string{"main deploys", "main deploys", "main deploys", "side unresolvable", "v1 other branch", "side deleted ref"}
	got := s.judgeAll(app)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("verdicts: %q, want %q", got, want)
	}
	back := s.pushes(app)[2]
	if !back.Forced || back.Before != second || back.After != first {
		t.Errorf("the force-push: %+v", back)
	}
	if w := s.state(app).Want["web0"].Revision.Commit; w != first {
		t.Errorf("wanted: %s, want the older commit %s", w, first)
	}
	if seen := s.state(app).Seen[deploy.SeenKey(s.url("hello"), "refs/tags/v1")]; seen.Commit != first {
		t.Errorf("the annotated tag is at %s, want its commit %s", seen.Commit, first)
	}
	// What ran before stays, whatever is pushed over it.
	s.git("checkout", "--quiet", "--orphan", "other")
	s.commit("c")
	s.push("hello", "--force", "other:main")
	if _, err := git.Checkout(t.Context(), s.Remote.Source("hello"), events.Revision{Commit: second}, t.TempDir()); err != nil {
		t.Error(err)
	}
}

// TestAPushTheLogCouldNotTake: git is told, and the comparison finds it.
func TestAPushTheLogCouldNotTake(t *testing.T) {
	s := open(t)
	app := s.app("hello", events.GitSource{Branch: "main", RepoCloneURL: s.url("hello")})
	if err := s.Compare(t.Context(), app, events.Self); err != nil {
		t.Fatal(err)
	}
	c := s.commit("a")
	desk := s.Desk
	s.Desk = broken{desk}
	out, err := s.try(s.pushArgs("hello", "main")...)
	if err == nil || !strings.Contains(out, "stored, but not recorded") || !strings.Contains(out, "not available") {
		t.Fatalf("git was told (%v): %s", err, out)
	}
	s.Desk = desk
	if out, err = s.try(s.pushArgs("hello", "main")...); err != nil {
		t.Fatalf("again: %v: %s", err, out)
	}
	if got := s.pushes(app); len(got) != 1 || got[0].After != c {
		t.Errorf("recorded: %+v", got)
	}
}

// TestALostAnswerDoesNotDouble: the log took the push, and nobody heard.
func TestALostAnswerDoesNotDouble(t *testing.T) {
	s := open(t)
	app := s.app("hello", events.GitSource{Branch: "main", RepoCloneURL: s.url("hello")})
	if err := s.Compare(t.Context(), app, events.Self); err != nil {
		t.Fatal(err)
	}
	s.commit("a")
	desk := s.Desk
	s.Desk = deaf{desk}
	if out, err := s.try(s.pushArgs("hello", "main")...); err == nil {
		t.Fatalf("git was not told: %s", out)
	}
	s.Desk = desk
	for range 2 {
		if err := s.Compare(t.Context(), app, events.Self); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(s.pushes(app)); n != 1 {
		t.Errorf("%d pushes are recorded", n)
	}
}

func TestTwoAppsOfOneRepository(t *testing.T) {
	s := open(t)
	live := s.app("live", events.GitSource{Branch: "main", RepoCloneURL: s.url("shared")})
	test := s.app("test", events.GitSource{Branch: "next", RepoCloneURL: s.url("shared")}, events.GitSource{Branch: "next", RepoCloneURL: s.url("shared") + "/"})
	if err := s.Compare(t.Context(), live, events.Self); err != nil {
		t.Fatal(err)
	}
	s.commit("a")
	out := s.push("shared", "main", "main:next")
	if strings.Count(out, "remote: shiplog:") != 6 {
		t.Errorf("git said: %s", out)
	}
	if a, b := len(s.pushes(live)), len(s.pushes(test)); a != 2 || b != 4 {
		t.Errorf("%d and %d pushes are recorded, want 2, and 2 for each way the URL is written", a, b)
	}
}

func TestManyRefsAtOnce(t *testing.T) {
	s := open(t)
	app := s.app("hello", events.GitSource{Branch: "main", RepoCloneURL: s.url("hello")})
	if err := s.Compare(t.Context(), app, events.Self); err != nil {
		t.Fatal(err)
	}
	s.commit("a")
	args := []string{"main"}
	for i := range maxChanges + 20 {
		args = append(args, "main:refs/heads/"+strings.Repeat("b", i+1))
	}
	s.push("hello", args...)
	got := s.pushes(app)
	if len(got) != maxChanges || got[0].Ref != "refs/heads/main" {
		t.Errorf("%d are recorded, the first is %s", len(got), got[0].Ref)
	}
	if err := s.Compare(t.Context(), app, events.Self); err != nil {
		t.Fatal(err)
	}
	if n := len(s.pushes(app)); n != maxChanges+21 {
		t.Errorf("%d are recorded in the end", n)
	}
}

func TestJudgeAtAServer(t *testing.T) {
	s := open(t)
	forge := s.forge()
	url := forge + "/git/there.git"
	if err := s.Remote.Ensure("there"); err != nil {
		t.Fatal(err)
	}
	app := s.app("hello", events.GitSource{Branch: "main", RepoCloneURL: url}, events.GitSource{Branch: "main", RepoCloneURL: forge + "/git/gone.git"})
	first := s.commit("a")
	s.push("there", "main")
	receive := func(delivery, repository string, before, after events.Commit) string {
		t.Helper()
		p := events.PushReceived{Provider: "github", Delivery: delivery, Repository: repository, Ref: "refs/heads/main", Before: before, After: after}
		if _, err := s.handler.Do(t.Context(), app, deploy.Order{ID: delivery, Actor: "push:github", At: s.now(), Command: deploy.ReceivePush{Push: p}}); err != nil {
			t.Fatal(err)
		}
		return p.PushID()
	}
	second := events.Commit(strings.Repeat("2", 40))
	behind := receive("d1", url, first, second)
	if err := s.Judge(t.Context(), app, behind); err == nil {
		t.Error("a server that does not show yet what it told was believed")
	}
	s.patience = 0
	if err := s.Judge(t.Context(), app, behind); err != nil {
		t.Error(err)
	}
	gone := receive("d2", forge+"/git/gone.git", "", second)
	if err := s.Judge(t.Context(), app, gone); err != nil {
		t.Error(err)
	}
	denied := receive("d3", forge+"/private/git/there.git", "", second)
	if err := s.Judge(t.Context(), app, denied); err != nil {
		t.Error(err)
	}
	down := receive("d4", "http://127.0.0.1:1/x.git", "", second)
	if err := s.Judge(t.Context(), app, down); !errors.Is(err, git.ErrUnreachable) {
		t.Errorf("a server that is down: %v", err)
	}
	if err := s.Judge(t.Context(), app, "no#1"); err != nil {
		t.Errorf("a push that waits no more: %v", err)
	}
	if _, waits := s.state(app).Pending[down]; !waits || len(s.state(app).Pending) != 1 {
		t.Errorf("pending: %v", s.state(app).Pending)
	}
	var verdicts []string
	for _, e := range s.history(app) {
		if v, ok := e.(events.PushJudged); ok {
			verdicts = append(verdicts, v.Delivery+" "+string(v.Verdict)+" "+string(v.Revision.Commit))
		}
	}
	want := []string{"d1 deploys " + string(first), "d2 unresolvable ", "d3 unresolvable "}
	if !slices.Equal(verdicts, want) {
		t.Errorf("verdicts: %q, want %q", verdicts, want)
	}
}
