package deploy

// Pins of components and of the app together, pins that fail, rollbacks over other components, and quarantine.
var pinRows = []decision{
	{"reverting a component's pin leaves the others where they are by now", `
		app web api
		push main 1
		ship
		push main 2
		ship
		pin web commit 1
		ship
		push main 3
		ship
		revert web`, `
		Unpinned revert
		DeploymentRequested 5 revert web=2:pull api=3:pull`, "web=2 api=3"},
	{"reverting a component's pin keeps a configuration that came later", `
		app web api
		push main 1
		ship
		push main 2
		ship
		pin web commit 1
		ship
		components web api db
		ship
		revert web`, `
		Unpinned revert
		DeploymentRequested 5 revert web=2:pull api=2:pull db=2:pull`, "web=2 api=2 db=2"},
	{"each of two components' pins can be reverted", `
		app web api
		push main 1
		ship
		push main 2
		ship
		pin web commit 1
		ship
		pin api commit 1
		ship
		revert api`, `
		Unpinned revert
		DeploymentRequested 5 revert web=1:pull api=2:pull`, "web=1 api=2"},
	{"revert ends all components' pins", `
		app web api
		push main 1
		ship
		push main 2
		ship
		pin web commit 1
		ship
		pin api commit 1
		ship
		revert`, `
		Unpinned revert
		DeploymentRequested 5 revert web=2:pull api=2:pull`, "web=2 api=2"},
	{"an app's pin over a component's: revert returns to before both", `
		app web api
		push main 1
		ship
		push main 2
		ship
		push main 3
		ship
		pin web commit 1
		ship
		pin * commit 2
		ship
		revert`, `
		Unpinned revert
		DeploymentRequested 6 revert web=3:pull api=3:pull`, "web=3 api=3"},
	{"unpinning a component under the app's pin goes back to that, not to what was pushed", `
		app web api
		push main 1
		ship
		push main 2
		ship
		pin * commit 2
		pin web commit 1
		ship
		push main 3
		unpin web`, `
		Unpinned by hand
		DeploymentRequested 4 unpin web=2:pull api=2:pull`, "web=2 api=2"},
	{"so does reverting it", `
		app web api
		push main 1
		ship
		push main 2
		ship
		pin * commit 2
		pin web commit 1
		ship
		push main 3
		revert web`, `
		Unpinned revert
		DeploymentRequested 4 revert web=2:pull api=2:pull`, "web=2 api=2"},
	{"a component that is pinned with the app is not unpinned alone", `
		app web api
		push main 1
		ship
		pin * commit 1
		unpin web`, `
		refused unprocessable_entity`, "web=1 api=1"},
	{"unpinning the app ends components' pins too", `
		app web api
		push main 1
		ship
		pin web commit 1
		push main 2
		ship
		unpin`, `
		Unpinned by hand
		DeploymentRequested 3 unpin web=2:build api=2:pull`, "web=2 api=2"},
	{"an app's pin that expires leaves a component's own", `
		app web api
		push main 1
		ship
		pin * commit 1 for=1h
		pin web commit 1
		push main 2
		expire
		push main 3`, `
		PushJudged deploys api web
		DeploymentSuperseded 2
		DeploymentRequested 3 push web=1:pull api=3:build`, "web=1 api=3"},
	{"a pin that failed is not brought back once it has ended", `
		app
		push main 2
		ship
		pin * commit 1
		claim
		fail
		unpin
		env dark`, `
		SpecChanged
		DeploymentRequested 3 spec web=2:pull`, "web=2"},
	{"nor once it was reverted", `
		app
		push main 2
		ship
		pin * commit 1
		claim
		fail
		revert
		env dark`, `
		SpecChanged
		DeploymentRequested 3 spec web=2:pull`, "web=2"},
	{"a pin that failed goes on holding, and unpin moves on from it", `
		app web api
		push main 2
		ship
		pin * commit 1
		claim
		fail
		push main 3
		unpin`, `
		Unpinned by hand
		DeploymentRequested 3 unpin web=3:build api=3:build`, "web=3 api=3"},
	{"a pin whose deployment was canceled is still the choice in force", `
		app
		push main 2
		ship
		pin * commit 1
		cancel 2
		env dark`, `
		SpecChanged
		DeploymentRequested 3 spec web=1:build`, "web=1"},
	{"until it ends", `
		app
		push main 2
		ship
		pin * commit 1
		cancel 2
		unpin
		env dark`, `
		SpecChanged
		DeploymentRequested 3 spec web=2:pull`, "web=2"},
	{"a canceled push does not come back with a spec change after a restart", `
		app
		push main 1
		ship
		push main 2
		restart
		cancel 2
		env dark`, `
		SpecChanged
		DeploymentRequested 4 spec web=1:pull`, "web=1"},
	{"cancel of the newest of two leaves what the other makes", `
		app
		push main 1
		ship
		push main 2
		claim
		built
		roll
		push main 3
		cancel 3
		live
		env dark`, `
		SpecChanged
		DeploymentRequested 4 spec web=2:pull`, "web=2"},
	{"a push that failed goes with the next spec change", `
		app
		push main 1
		ship
		push main 2
		claim
		fail
		env dark`, `
		SpecChanged
		DeploymentRequested 3 spec web=2:build`, "web=2"},
	{"deploy builds again what failed", `
		app
		push main 1
		ship
		push main 2
		claim
		fail
		deploy 2`, `
		DeploymentRequested 3 deploy web=2:build`, "web=2"},
	{"a rollback to a release with fewer components, and back", `
		app
		push main 1
		ship
		components web api
		ship
		rollback v1
		ship
		unpin`, `
		Unpinned by hand
		DeploymentRequested 4 unpin web=1:pull api=1:pull`, "web=1 api=1"},
	{"what is pushed for a component that a rollback took away is held too", `
		app
		push main 1
		ship
		components web api
		ship
		rollback v1
		ship
		push main 2
		unpin`, `
		Unpinned by hand
		DeploymentRequested 4 unpin web=2:build api=2:build`, "web=2 api=2"},
	{"unpin after a rollback over a change of branch takes no code from the other branch", `
		app
		push main 1
		ship
		branch web dev
		push dev 2
		ship
		rollback v1
		ship
		unpin`, `
		Unpinned by hand
		DeploymentRequested 4 unpin web=2:pull`, "web=2"},
	{"a push to the branch from before a rollback is held", `
		app
		push main 1
		ship
		branch web dev
		push dev 2
		ship
		rollback v1
		ship
		push dev 3
		unpin`, `
		Unpinned by hand
		DeploymentRequested 4 unpin web=3:build`, "web=3"},
	{"a re-pin of a rollback keeps its configuration, and unpin brings the own one back", `
		app
		push main 1
		ship
		env dark
		ship
		rollback v1
		ship
		pin * commit 1
		push main 2
		unpin
		ship
		env dark`, `
		SpecChanged
		DeploymentRequested 5 spec web=2:pull`, "web=2"},
	{"revert after a component was added brings it down again", `
		app
		push main 1
		ship
		push main 2
		ship
		rollback v1
		ship
		components web api
		ship
		revert`, `
		Unpinned revert
		DeploymentRequested 5 revert web=2:pull`, "web=2"},
	{"a component that is added to a pinned app runs its newest", `
		app
		push main 1
		ship
		pin * commit 1
		components web api`, `
		SpecChanged
		DeploymentRequested 2 spec web=1:pull api=1:build`, "web=1 api=1"},
	{"skip-pin leaves no pin", `
		app
		push main 1
		ship
		push main 2
		ship
		rollback v1 skip-pin
		push main 3`, `
		PushJudged deploys web
		DeploymentSuperseded 3
		DeploymentRequested 4 push web=3:build`, "web=3"},
	{"what runs can be unpinned though it is in quarantine", `
		app
		push main 1
		ship
		pin * commit 1
		quarantine 1
		unpin`, `
		Unpinned by hand`, "web=1"},
	{"a held push in quarantine is passed over", `
		app
		push main 1
		ship
		pin * commit 1
		push main 2
		quarantine 2
		unpin`, `
		Unpinned by hand`, "web=1"},
	{"what is in quarantine and never ran is not deployed with another component's push", `
		app web api
		branch api dev
		push main 1
		push dev 2
		claim
		fail
		quarantine 1
		push dev 3`, `
		PushJudged quarantined`, ""},
	{"what is in quarantine and runs goes on with another component's push", `
		app web api
		branch api dev
		push main 1
		push dev 2
		ship
		quarantine 1
		push dev 3`, `
		PushJudged deploys api
		DeploymentRequested 2 push web=1:pull api=3:build`, "web=1 api=3"},
	{"a failed push that is put in quarantine does not come with another component's", `
		app web api
		branch api dev
		push main 1
		push dev 1
		ship
		push main 2
		claim
		fail
		quarantine 2
		push dev 3`, `
		PushJudged deploys api
		DeploymentRequested 3 push web=1:pull api=3:build`, "web=1 api=3"},
}
