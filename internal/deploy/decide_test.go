package deploy

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// given, when the last line, then: the events it adds, or "refused CODE", and what serves once everything due is done.
var decisions = slices.Concat(basics, pinRows, workRows)

type decision struct {
	name   string
	script string
	then   string
	runs   string
}

var basics = []decision{
	{"a push deploys", `
		app
		push main 1`, `
		PushJudged deploys web
		DeploymentRequested 1 push web=1:build`, "web=1"},
	{"a push to another branch", `
		app
		push main 1
		ship
		push dev 2`, `
		PushJudged other branch`, "web=1"},
	{"a push while pinned is held", `
		app
		push main 1
		ship
		pin * commit 1
		push main 2`, `
		PushJudged held by pin web`, "web=1"},
	{"a held push is not lost: unpin goes to the newest", `
		app
		push main 1
		ship
		pin * commit 1
		push main 2
		push main 3
		unpin`, `
		Unpinned by hand
		DeploymentRequested 2 unpin web=3:build`, "web=3"},
	{"unpin with nothing held leaves what runs", `
		app
		push main 1
		ship
		pin * commit 1
		unpin`, `
		Unpinned by hand`, "web=1"},
	{"a push supersedes a queued deployment", `
		app
		push main 1
		push main 2`, `
		PushJudged deploys web
		DeploymentSuperseded 1
		DeploymentRequested 2 push web=2:build`, "web=2"},
	{"a push supersedes a building one", `
		app
		push main 1
		claim
		push main 2`, `
		PushJudged deploys web
		DeploymentSuperseded 1
		DeploymentRequested 2 push web=2:build`, "web=2"},
	{"no starving: the third build in a row is let finish", `
		app
		push main 1
		claim
		push main 2
		claim
		push main 3
		claim
		push main 4`, `
		PushJudged deploys web
		DeploymentRequested 4 push web=4:build`, "web=4"},
	{"a rollback waits for no build, however protected", `
		app
		push main 1
		ship
		push main 2
		ship
		push main 3
		claim
		push main 4
		claim
		push main 5
		claim
		rollback v1`, `
		Pinned release v1
		DeploymentSuperseded 5
		DeploymentRequested 6 rollback web=1:pull`, "web=1"},
	{"a restart while a push builds: the push still ships", `
		app
		push main 1
		ship
		push main 2
		claim
		restart`, `
		DeploymentRequested 3 restart`, "web=2"},
	{"a spec change while a push builds: the push still ships", `
		app
		push main 1
		ship
		push main 2
		claim
		env dark`, `
		SpecChanged
		DeploymentSuperseded 2
		DeploymentRequested 3 spec web=2:build`, "web=2"},
	{"a request during DEPLOYING waits for it", `
		app
		push main 1
		claim
		built
		roll
		push main 2`, `
		PushJudged deploys web
		DeploymentRequested 2 push web=2:build`, "web=2"},
	{"rollback to a commit that was built pulls it", `
		app
		push main 1
		ship
		push main 2
		ship
		pin * commit 1`, `
		Pinned commit 1
		DeploymentRequested 3 rollback web=1:pull`, "web=1"},
	{"rollback to a commit that was built builds when asked", `
		app
		push main 1
		ship
		push main 2
		ship
		pin * commit 1 force`, `
		Pinned commit 1
		DeploymentRequested 3 pin web=1:build`, "web=1"},
	{"rollback to a commit that was never built builds it", `
		app
		push main 2
		ship
		pin * commit 1`, `
		Pinned commit 1
		DeploymentRequested 2 pin web=1:build`, "web=1"},
	{"rollback to a digest", `
		app
		push main 1
		ship
		push main 2
		ship
		pin * digest 1`, `
		Pinned digest 1
		DeploymentRequested 3 rollback web=1:pull`, "web=1"},
	{"rollback to a tag", `
		app
		push main 1
		ship
		push main 2
		ship
		pin * tag v0.1 1`, `
		Pinned tag v0.1
		DeploymentRequested 3 rollback web=1:pull`, "web=1"},
	{"rollback to a release", `
		app
		push main 1
		ship
		push main 2
		ship
		rollback v1`, `
		Pinned release v1
		DeploymentRequested 3 rollback web=1:pull`, "web=1"},
	{"rollback to a release brings its configuration back", `
		app
		push main 1
		ship
		env dark
		ship
		rollback v1`, `
		Pinned release v1
		DeploymentRequested 3 rollback web=1:pull`, "web=1"},
	{"rollback of a rollback", `
		app
		push main 1
		ship
		push main 2
		ship
		rollback v1
		ship
		rollback v2`, `
		Pinned release v2
		DeploymentRequested 4 rollback web=2:pull`, "web=2"},
	{"rollback to what runs only pins", `
		app
		push main 1
		ship
		rollback v1`, `
		Pinned release v1`, "web=1"},
	{"rollback to what runs, as App Platform's, is refused", `
		app
		push main 1
		ship
		rollback v1 if-unpinned`, `
		refused unprocessable_entity`, "web=1"},
	{"a second rollback, as App Platform's, is refused", `
		app
		push main 1
		ship
		push main 2
		ship
		rollback v1
		ship
		rollback v2 if-unpinned`, `
		refused app_pinned`, "web=1"},
	{"a pin to what runs drops what is on its way", `
		app
		push main 1
		ship
		push main 2
		claim
		pin * commit 1`, `
		Pinned commit 1
		DeploymentCanceled 2`, "web=1"},
	{"what was on its way at the pin comes back at unpin", `
		app
		push main 1
		ship
		push main 2
		claim
		pin * commit 1
		unpin`, `
		Unpinned by hand
		DeploymentRequested 3 unpin web=2:build`, "web=2"},
	{"a pin during DEPLOYING queues behind it and wins", `
		app
		push main 1
		ship
		push main 2
		claim
		built
		roll
		pin * commit 1`, `
		Pinned commit 1
		DeploymentRequested 3 rollback web=1:pull`, "web=1"},
	{"re-pin, then revert to before the first of the row", `
		app
		push main 1
		ship
		push main 2
		ship
		push main 3
		ship
		pin * commit 1
		ship
		pin * commit 2
		ship
		revert`, `
		Unpinned revert
		DeploymentRequested 6 revert web=3:pull`, "web=3"},
	{"commit keeps the rollback and unpins", `
		app
		push main 1
		ship
		push main 2
		ship
		rollback v1
		ship
		commit`, `
		Unpinned commit`, "web=1"},
	{"a pin to a branch follows it", `
		app
		push main 1
		ship
		pin * branch dev 2
		ship
		push dev 3`, `
		PushJudged deploys web
		DeploymentRequested 3 push web=3:build`, "web=3"},
	{"while pinned to another branch, the own branch's pushes are kept for unpin", `
		app
		push main 1
		ship
		pin * branch dev 2
		ship
		push main 3
		unpin`, `
		Unpinned by hand
		DeploymentRequested 3 unpin web=3:build`, "web=3"},
	{"a component's own pin leaves the others free", `
		app web api
		push main 1
		ship
		pin web commit 1
		push main 2`, `
		PushJudged deploys api web
		DeploymentRequested 2 push web=1:pull api=2:build`, "web=1 api=2"},
	{"unpinning one component moves on that one", `
		app web api
		push main 1
		ship
		pin web commit 1
		push main 2
		ship
		unpin web`, `
		Unpinned by hand
		DeploymentRequested 3 unpin web=2:build api=2:pull`, "web=2 api=2"},
	{"unpinning all moves each component to its newest held push", `
		app web api
		branch api dev
		push main 1
		push dev 2
		ship
		pin * commit 1
		ship
		push main 3
		push dev 4
		unpin`, `
		Unpinned by hand
		DeploymentRequested 3 unpin web=3:build api=4:build`, "web=3 api=4"},
	{"a pin ends when it expires", `
		app
		push main 1
		ship
		pin * commit 1 for=1h
		push main 2
		expire`, `
		Unpinned expired
		DeploymentRequested 2 unpin web=2:build`, "web=2"},
	{"a pin does not end before", `
		app
		push main 1
		ship
		pin * commit 1 for=1h
		push main 2
		expire early`, ``, "web=1"},
	{"a pin that would be over already is refused", `
		app
		push main 1
		ship
		pin * commit 1 for=-1h`, `
		refused unprocessable_entity`, "web=1"},
	{"a force-push back to an older commit deploys, without a build", `
		app
		push main 1
		ship
		push main 2
		ship
		push main 1`, `
		PushJudged deploys web
		DeploymentRequested 3 push web=1:pull`, "web=1"},
	{"same revision and inputs: the build is skipped", `
		app
		push main 1
		ship
		deploy 1`, `
		DeploymentRequested 2 deploy web=1:pull`, "web=1"},
	{"same revision, build forced", `
		app
		push main 1
		ship
		deploy 1 force`, `
		DeploymentRequested 2 deploy web=1:build`, "web=1"},
	{"same revision with other run-time configuration deploys without a build", `
		app
		push main 1
		ship
		env dark`, `
		SpecChanged
		DeploymentRequested 2 spec web=1:pull`, "web=1"},
	{"same revision with other build arguments is built", `
		app
		push main 1
		ship
		arg fast`, `
		SpecChanged
		DeploymentRequested 2 spec web=1:build`, "web=1"},
	{"a spec change while pinned to an image builds nothing", `
		app
		push main 1
		ship
		rollback v1
		arg fast`, `
		SpecChanged
		DeploymentRequested 2 spec web=1:pull`, "web=1"},
	{"cancel while queued", `
		app
		push main 1
		ship
		push main 2
		cancel 2`, `
		DeploymentCanceled 2`, "web=1"},
	{"cancel while building", `
		app
		push main 1
		ship
		push main 2
		claim
		cancel 2`, `
		DeploymentCanceled 2`, "web=1"},
	{"cancel before rolling out", `
		app
		push main 1
		ship
		push main 2
		claim
		built
		cancel 2`, `
		DeploymentCanceled 2`, "web=1"},
	{"cancel while rolling out", `
		app
		push main 1
		ship
		push main 2
		claim
		built
		roll
		cancel 2`, `
		DeploymentCanceled 2`, "web=1"},
	{"cancel of what is over is refused", `
		app
		push main 1
		ship
		cancel 1`, `
		refused conflict`, "web=1"},
	{"a canceled push is not brought back by a spec change", `
		app
		push main 1
		ship
		push main 2
		cancel 2
		env dark`, `
		SpecChanged
		DeploymentRequested 3 spec web=1:pull`, "web=1"},
	{"the same delivery again adds nothing", `
		app
		hook a main 1
		hook a main 1`, ``, ""},
	{"the same delivery after it was judged adds nothing", `
		app
		hook a main 1
		judge a 1
		ship
		hook a main 1`, ``, "web=1"},
	{"another delivery of the same commit is a duplicate", `
		app
		push main 1
		push main 1`, `
		PushJudged duplicate`, "web=1"},
	{"a late delivery is judged by where the ref is now", `
		app
		hook a main 1
		hook b main 2
		judge b 2
		judge a 2`, `
		PushJudged duplicate`, "web=2"},
	{"a hook for what deploy already took is a duplicate", `
		app
		push main 1
		ship
		deploy 2
		push main 2`, `
		PushJudged duplicate`, "web=2"},
	{"a deleted ref", `
		app
		push main 1
		ship
		hook a main 2
		judge a -`, `
		PushJudged deleted ref`, "web=1"},
	{"a ref that cannot be resolved", `
		app
		hook a main 1
		judge a ?`, `
		PushJudged unresolvable`, ""},
	{"a tag with the branch's name does not deploy", `
		app
		push main 1
		ship
		push tag:main 2`, `
		PushJudged other branch`, "web=1"},
	{"deploy while pinned is refused", `
		app
		push main 1
		ship
		pin * commit 1
		deploy 2`, `
		refused app_pinned`, "web=1"},
	{"a quarantined commit does not deploy on push", `
		app
		push main 1
		ship
		quarantine 2
		push main 2`, `
		PushJudged quarantined`, "web=1"},
	{"a quarantined commit cannot be pinned to", `
		app
		push main 1
		ship
		quarantine 1
		pin * commit 1`, `
		refused quarantined`, "web=1"},
	{"quarantine stops what is on its way", `
		app
		push main 1
		ship
		push main 2
		claim
		quarantine 2`, `
		Quarantined
		DeploymentCanceled 2`, "web=1"},
	{"a build that failed ends the deployment", `
		app
		push main 1
		claim
		fail`, `
		BuildFailed
		DeploymentFailed 1 build`, ""},
	{"a build that failed through no fault of its own is tried again", `
		app
		push main 1
		claim
		fail again`, `
		BuildFailed`, "web=1"},
	{"but not for ever", `
		app
		push main 1
		claim
		fail again
		claim
		fail again
		claim
		fail again`, `
		BuildFailed
		DeploymentFailed 1 build`, ""},
	{"a failed rollout leaves the old release serving", `
		app
		push main 1
		ship
		push main 2
		claim
		built
		roll
		broke`, `
		DeploymentFailed 2 healthy`, "web=1"},
	{"a release that ships is numbered", `
		app
		push main 1
		claim
		built
		roll
		live`, `
		Released v1`, "web=1"},
	{"a restart makes no release", `
		app
		push main 1
		ship
		restart
		roll
		live`, `
		Released v0`, "web=1"},
	{"nothing rolls out while stopped", `
		app
		push main 1
		ship
		stop
		push main 2
		ship
		start`, `
		AppStarted`, "web=2"},
	{"restart of what never ran is refused", `
		app
		restart`, `
		refused unprocessable_entity`, ""},
	{"a second app of the same id is refused", `
		app
		app`, `
		refused conflict`, ""},
}

func TestDecide(t *testing.T) {
	for _, d := range decisions {
		t.Run(d.name, func(t *testing.T) {
			s := play(t, d.script)
			got := s.told()
			var r *Refusal
			if errors.As(s.err, &r) {
				got = "refused " + string(r.Code)
			} else if s.err != nil {
				t.Fatal(s.err)
			}
			if want := unindent(d.then); got != want {
				t.Errorf("then\n%s\n\nwant\n%s", got, want)
			}
			s.ship()
			if got := s.runs(); got != d.runs {
				t.Errorf("in the end %q serves, want %q", got, d.runs)
			}
		})
	}
}

// The mind has no clock, no chance and no order of maps: each decision of the tables, and what is next after it, taken many
// times, is one and the same.
func TestDecideIsPure(t *testing.T) {
	for _, d := range decisions {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			s := playing(&scenario{t: t, again: 20}, d.script)
			before, next := encode(t, s.app), Next(s.app)
			for range 20 {
				if again := Next(s.app); !reflect.DeepEqual(again, next) {
					t.Fatalf("next is\n%v\nand then\n%v", next, again)
				}
			}
			if after := encode(t, s.app); after != before {
				t.Errorf("asking changed the app from\n%s\nto\n%s", before, after)
			}
		})
	}
}

func encode(t *testing.T, a App) string {
	t.Helper()
	b, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func unindent(s string) string {
	var lines []string
	for line := range strings.Lines(s) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}
