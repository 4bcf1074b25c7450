package api

import (
	"context"
	"net/http"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/digitalocean/godo"

	"shiplog/events"
	"shiplog/projections"
)

// client returns the reference client, pointed at the desk.
func (d *desk) client() *godo.Client {
	d.Helper()
	c := godo.NewFromToken(token)
	u, err := url.Parse(d.server.URL + "/")
	if err != nil {
		d.Fatal(err)
	}
	c.BaseURL = u
	return c
}

// TestGodo drives an app's life with the reference client alone, as doctl, CI actions and Terraform do.
func TestGodo(t *testing.T) { drive(t, newDesk(t)) }

// TestGodoOnTheProjection is the same with the history that the service has.
func TestGodoOnTheProjection(t *testing.T) {
	d := newDesk(t)
	store, err := projections.Open(projections.Options{Path: filepath.Join(t.TempDir(), "projection.db"), Log: d.options.Log})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- store.Run(ctx, d.World.Log) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the projection ended: %v", err)
		}
		_ = store.Close()
	})
	d.options.History = store
	d.options.At = func(_ context.Context, app events.ID, when time.Time) (Then, bool, error) {
		at, ok, err := store.At(app, when)
		return Then(at), ok, err
	}
	d.server.Config.Handler = New(d.options)
	drive(t, d)
}

func drive(t *testing.T, d *desk) {
	ctx := context.Background()
	apps := d.client().Apps
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	spec := &godo.AppSpec{Name: "hello", Services: []*godo.AppServiceSpec{{
		Name: "web", Git: &godo.GitSourceSpec{RepoCloneURL: repo, Branch: "main"},
	}}}

	proposal, _, err := apps.Propose(ctx, &godo.AppProposeRequest{Spec: spec})
	must(err)
	if !proposal.AppNameAvailable || proposal.Spec.GetName() != "hello" || proposal.ExistingStaticApps != "0" {
		t.Errorf("proposal %+v", proposal)
	}

	app, resp, err := apps.Create(ctx, &godo.AppCreateRequest{Spec: spec})
	must(err)
	if resp.Header.Get("x-request-id") == "" {
		t.Error("no x-request-id")
	}
	dep := app.PendingDeployment
	if dep == nil || dep.Phase != godo.DeploymentPhase_PendingBuild || dep.Progress.TotalSteps != 6 || dep.Progress.PendingSteps != 6 {
		t.Fatalf("pending deployment %+v", dep)
	}
	if app.LiveURL != "" || app.DefaultIngress != "http://hello.localhost:8000" {
		t.Errorf("live at %q, would be at %q", app.LiveURL, app.DefaultIngress)
	}
	_, resp, err = apps.Create(ctx, &godo.AppCreateRequest{Spec: spec})
	if err == nil || resp.StatusCode != http.StatusConflict {
		t.Fatalf("a second hello: %v", err)
	}
	proposal, _, err = apps.Propose(ctx, &godo.AppProposeRequest{Spec: spec})
	must(err)
	if proposal.AppNameAvailable || proposal.AppNameSuggestion != "hello-2" {
		t.Errorf("proposal %+v", proposal)
	}

	d.Work(events.ID(app.ID))
	dep, _, err = apps.GetDeployment(ctx, app.ID, dep.ID)
	must(err)
	if dep.Phase != godo.DeploymentPhase_Active || dep.Progress.SuccessSteps != 6 || dep.Services[0].SourceCommitHash != commitA ||
		dep.Timing.GetBuildTotal() == "" || dep.CauseDetails.DigitalOceanUserAction.Name != "CREATE_DEPLOYMENT" {
		t.Errorf("deployment %+v", dep)
	}
	app, _, err = apps.Get(ctx, app.ID)
	must(err)
	if app.ActiveDeployment.GetID() != dep.ID || app.LiveURL != "http://hello.localhost:8000" || app.LiveDomain != "hello.localhost" ||
		app.PendingDeployment != nil || app.InProgressDeployment != nil || app.LastDeploymentActiveAt.IsZero() {
		t.Errorf("app %+v", app)
	}

	// An update keeps the commit; update_all_source_versions takes the newest.
	d.Git.Set("main", events.RefBranch, commitB)
	spec.Services[0].HTTPPort = 9090
	app, _, err = apps.Update(ctx, app.ID, &godo.AppUpdateRequest{Spec: spec})
	must(err)
	if c := app.PendingDeployment.Services[0].SourceCommitHash; c != commitA {
		t.Errorf("an update of the port deploys commit %s", c)
	}
	d.Work(events.ID(app.ID))
	app, _, err = apps.Update(ctx, app.ID, &godo.AppUpdateRequest{Spec: spec, UpdateAllSourceVersions: true})
	must(err)
	if c := app.PendingDeployment.Services[0].SourceCommitHash; c != commitB {
		t.Errorf("an update of all sources deploys commit %s", c)
	}
	d.Work(events.ID(app.ID))

	// An update with the spec of a deployment is a rollback to its release.
	dep, _, err = apps.GetDeployment(ctx, app.ID, dep.ID)
	must(err)
	if f := dep.Spec.Features; len(f) != 1 || f[0] != "shiplog-release=1" {
		t.Fatalf("features %v", f)
	}
	app, _, err = apps.Update(ctx, app.ID, &godo.AppUpdateRequest{Spec: dep.Spec})
	must(err)
	if p := app.PendingDeployment; p.CauseDetails.Type != "MANUAL_ROLLBACK" || p.ClonedFrom != dep.ID || app.PinnedDeployment.GetID() != p.ID {
		t.Errorf("rollback by update: %+v, pinned %+v", p, app.PinnedDeployment)
	}
	if app.Spec.Services[0].Git.Branch != "main" || len(app.Spec.Features) != 0 || app.Spec.Services[0].HTTPPort == 9090 {
		t.Errorf("spec after it %+v", app.Spec)
	}
	d.Work(events.ID(app.ID))

	// While pinned a new deployment is refused, a restart is not.
	_, resp, err = apps.CreateDeployment(ctx, app.ID, &godo.DeploymentCreateRequest{ForceBuild: true})
	if err == nil || resp.StatusCode != http.StatusConflict {
		t.Errorf("deploy while pinned: %v", err)
	}
	restarted, _, err := apps.Restart(ctx, app.ID, nil)
	must(err)
	if restarted.CauseDetails.DigitalOceanUserAction.Name != "RESTART" || restarted.ClonedFrom == "" || restarted.Progress.TotalSteps != 4 ||
		restarted.Services[0].Name != "web" {
		t.Errorf("restart %+v", restarted)
	}
	d.Work(events.ID(app.ID))
	restarted, _, err = apps.Restart(ctx, app.ID, &godo.AppRestartRequest{Components: []string{"web"}})
	must(err)
	d.Work(events.ID(app.ID))

	// Lists have pages with absolute links.
	list, resp, err := apps.ListDeployments(ctx, app.ID, &godo.ListOptions{PerPage: 2})
	must(err)
	if len(list) != 2 || list[0].ID != restarted.ID || resp.Meta.Total != 6 || resp.Links.IsLastPage() {
		t.Errorf("%d deployments of %d, links %+v", len(list), resp.Meta.Total, resp.Links.Pages)
	}
	list, resp, err = apps.ListDeployments(ctx, app.ID, &godo.ListOptions{PerPage: 2, Page: 3})
	must(err)
	if page, err := resp.Links.CurrentPage(); err != nil || page != 3 || !resp.Links.IsLastPage() || list[1].ID != dep.ID {
		t.Errorf("page %d (%v) ends with %s", page, err, list[1].ID)
	}
	all, resp, err := apps.List(ctx, nil)
	must(err)
	if len(all) != 1 || !resp.Links.IsLastPage() || resp.Meta.Total != 1 {
		t.Errorf("apps %v", all)
	}

	path := "/v2/apps/" + app.ID
	for _, p := range []string{"/releases", "/timeline?per_page=100", "/at", "/releases/1/diff/2", "/logs?type=BUILD"} {
		if p != "/at" || d.options.At != nil {
			d.do("GET", path+p, nil, nil)
		}
	}
	if regions, _, err := apps.ListRegions(ctx); err != nil || len(regions) != 1 || !regions[0].Default {
		t.Errorf("regions %v %v", regions, err)
	}
	if sizes, _, err := apps.ListInstanceSizes(ctx); err != nil || len(sizes) != 1 {
		t.Errorf("sizes %v %v", sizes, err)
	}
	if _, resp, err := apps.GetInstanceSize(ctx, "huge"); err == nil || resp.StatusCode != http.StatusNotFound {
		t.Errorf("size huge: %v", err)
	}
	if account, _, err := d.client().Account.Get(ctx); err != nil || account.Status != "active" || account.UUID == "" {
		t.Errorf("account %+v %v", account, err)
	}

	_, err = apps.Delete(ctx, app.ID)
	must(err)
	if _, resp, err := apps.Get(ctx, app.ID); err == nil || resp.StatusCode != http.StatusNotFound {
		t.Errorf("deleted app: %v", err)
	}
	app, _, err = apps.Create(ctx, &godo.AppCreateRequest{Spec: dep.Spec})
	must(err)
	if len(app.Spec.Features) != 0 {
		t.Errorf("a new app from the spec of a release has features %v", app.Spec.Features)
	}
}

// TestEmptyIDs: godo builds paths of what it is given; none of them may be redirected to something else.
func TestEmptyIDs(t *testing.T) {
	d, ctx := newDesk(t), context.Background()
	app, _ := d.create(webGo)
	apps := d.client().Apps
	if _, resp, err := apps.GetDeployment(ctx, string(app.ID), ""); err == nil || resp.StatusCode != http.StatusNotFound {
		t.Errorf("deployment without id: %v", err)
	}
	if _, resp, err := apps.Get(ctx, ""); err == nil || resp.StatusCode != http.StatusNotFound {
		t.Errorf("app without id: %v", err)
	}
	if _, resp, err := apps.Restart(ctx, "", nil); err == nil || resp.StatusCode != http.StatusNotFound {
		t.Errorf("restart without id: %v", err)
	}
}
