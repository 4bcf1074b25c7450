package deploy

// Who supersedes whom, claims and late reports, and refs that come, go and share a name.
var workRows = []decision{
	{"no starving, though restarts are done in between", `
		app
		push main 0
		ship
		push main 1
		claim
		push main 2
		claim
		restart
		push main 3
		roll
		live
		claim
		push main 4`, `
		PushJudged deploys web
		DeploymentRequested 6 push web=4:build`, "web=4"},
	{"no starving, though what is queued behind is canceled", `
		app
		push main 1
		claim
		push main 2
		claim
		push main 3
		claim
		push main 4
		cancel 4
		push main 5`, `
		PushJudged deploys web
		DeploymentRequested 5 push web=5:build`, "web=5"},
	{"a build that failed was let finish: the next may be superseded", `
		app
		push main 1
		claim
		push main 2
		claim
		push main 3
		claim
		fail
		push main 4
		claim
		push main 5`, `
		PushJudged deploys web
		DeploymentSuperseded 4
		DeploymentRequested 5 push web=5:build`, "web=5"},
	{"a build waiting for its next attempt is a build too", `
		app
		push main 1
		claim
		push main 2
		claim
		push main 3
		claim
		fail again
		push main 4`, `
		PushJudged deploys web
		DeploymentRequested 4 push web=4:build`, "web=4"},
	{"an image that comes out in quarantine is not shared", `
		app
		push main 1
		ship
		push main 2
		claim
		push main 3
		claim
		push main 4
		claim
		env dark
		image-quarantine 4
		built
		claim
		built`, `
		ImageBuilt
		DeploymentFailed 5 build`, "web=1"},
	{"two deployments of one build: cancel of the first leaves the second", `
		app
		push main 1
		claim
		push main 2
		claim
		push main 3
		claim
		env dark
		cancel 3
		claim
		built`, `
		ImageBuilt`, "web=3"},
	{"two deployments of one build: it is built once", `
		app
		push main 1
		claim
		push main 2
		claim
		push main 3
		claim
		env dark
		built
		roll
		live
		roll`, `
		RolloutStarted`, "web=3"},
	{"the same builder may claim again at once, which ends its last attempt", `
		app
		push main 1
		claim
		claim again
		built of 1`, `
		refused conflict`, "web=1"},
	{"another builder waits for the lease", `
		app
		push main 1
		claim
		claim again other`, `
		refused conflict`, "web=1"},
	{"a report of a canceled build is refused", `
		app
		push main 1
		ship
		push main 2
		claim
		cancel 2
		late built 2`, `
		refused conflict`, "web=1"},
	{"a rollout that ends after a cancel is refused", `
		app
		push main 1
		ship
		push main 2
		claim
		built
		roll
		cancel 2
		late live 2`, `
		refused conflict`, "web=1"},
	{"a rollout that ends just after a stop counts", `
		app
		push main 1
		claim
		built
		roll
		stop
		late live 1`, `
		Released v1`, "web=1"},
	{"a push to a deleted app is refused", `
		app
		hook a main 1
		delete
		judge a 1`, `
		refused not_found`, ""},
	{"a push that came before a pin is judged by the pin", `
		app
		push main 1
		ship
		hook a main 2
		pin * commit 1
		judge a 2`, `
		PushJudged held by pin web`, "web=1"},
	{"a push that is judged while stopped waits for the start", `
		app
		push main 1
		ship
		hook a main 2
		stop
		judge a 2`, `
		PushJudged deploys web
		DeploymentRequested 2 push web=2:build`, "web=1"},
	{"a ref that was deleted and made again deploys", `
		app
		push main 1
		ship
		hook a main 1
		judge a -
		push main 1`, `
		PushJudged deploys web
		DeploymentRequested 2 push web=1:pull`, "web=1"},
	{"a pin to a branch has seen that branch", `
		app
		push main 1
		ship
		pin * branch dev 2
		push dev 2`, `
		PushJudged duplicate`, "web=2"},
	{"a push to the own branch is held under a tag of its name", `
		app
		push main 1
		ship
		pin * tag main 2
		ship
		push main 3`, `
		PushJudged held by pin web`, "web=2"},
	{"a component from a tag takes that tag, not a branch of its name", `
		app
		push tag:main 1
		ship
		push main 2`, `
		PushJudged other branch`, "web=1"},
	{"a source that is a commit follows nothing", `
		app
		branch web commit:1
		push main 2`, `
		PushJudged other branch`, ""},
	{"deploy moves what is not pinned", `
		app web api
		push main 1
		ship
		pin web commit 1
		deploy 2`, `
		DeploymentRequested 2 deploy web=1:pull api=2:build`, "web=1 api=2"},
}
