package api

import (
	"errors"
	"strings"
	"testing"
	"time"

	"shiplog/events"
	"shiplog/internal/deploy"
)

// TestPinRef: what each form of ref comes to, in an app with three releases of commits a, b and c.
func TestPinRef(t *testing.T) {
	d := newDesk(t)
	app, path := d.create(webGo)
	d.Work(app.ID)
	d.ship(path, app.ID, commitB)
	d.ship(path, app.ID, commitC)
	d.Git.Set("v1", events.RefTag, commitB) // a tag of a release's name
	d.Git.Set("v9", events.RefTag, commitA)
	d.Git.Set("next", events.RefBranch, "dddddddddddddddddddddddddddddddddddddddd")
	d.Git.Set("ddddddd", events.RefCommit, "dddddddddddddddddddddddddddddddddddddddd")
	a := d.State(app.ID)
	digestB := digestOf("web", commitB)

	for _, tt := range []struct {
		ref    string
		kind   events.RefKind
		commit events.Commit
		asks   bool   // the git server
		part   string // of the note, or of the refusal where kind is ""
	}{
		{"v1", events.RefRelease, commitA, false, "tag:v1"},
		{"release:2", events.RefRelease, commitB, false, ""},
		{"release:9", "", "", false, "newest is v3"},
		{"release:x", "", "", false, "newest is v3"},
		{"v9", events.RefTag, commitA, true, ""},
		{"tag:v1", events.RefTag, commitB, true, ""},
		{commitB, events.RefCommit, commitB, false, ""},
		{"bbbbbbb", events.RefCommit, commitB, false, ""},
		{"commit:bbbbbbb", events.RefCommit, commitB, false, ""},
		{"commit:xyz", "", "", false, "not a commit"},
		{"bbbbbb", "", "", true, "no such ref"}, // too short for a commit: a branch could be called so
		{"ddddddd", events.RefCommit, "dddddddddddddddddddddddddddddddddddddddd", true, ""},
		{"commit:ddddddd", events.RefCommit, "dddddddddddddddddddddddddddddddddddddddd", true, ""},
		{string(digestB), events.RefDigest, commitB, false, ""},
		{string(digestB)[:7+50], events.RefDigest, commitB, false, ""},
		{string(digestB)[:7+12], "", "", false, "begins the digests of 3"},
		{"sha256:ffffffffffff", "", "", false, "ffffffffffff"},
		{"sha256:" + strings.Repeat("f", 64), "", "", false, "shiplog releases hello"},
		{"sha256:XX", "", "", false, "not an image digest"},
		{"main", events.RefBranch, commitC, true, ""},
		{"next", events.RefBranch, "dddddddddddddddddddddddddddddddddddddddd", true, ""},
		{"branch:next", events.RefBranch, "dddddddddddddddddddddddddddddddddddddddd", true, ""},
		{"nowhere", "", "", true, "nowhere"},
	} {
		asked := d.Git.Asked
		cmd, note, err := (&server{Options: d.options}).choose(t.Context(), a, pinRequest{Ref: tt.ref})
		if asks := d.Git.Asked > asked; asks != tt.asks {
			t.Errorf("%s: asked the git server: %v", tt.ref, asks)
		}
		if tt.kind == "" {
			var f *failure
			if !errors.As(err, &f) || f.status != 422 || !strings.Contains(f.message, tt.part) {
				t.Errorf("%s: %+v, %v; want a refusal with %q", tt.ref, cmd, err, tt.part)
			}
			continue
		}
		if err != nil || cmd.Kind != tt.kind || cmd.Ref != tt.ref || cmd.Targets["web"].Revision.Commit != tt.commit ||
			cmd.Mode != events.BuildReuse || !strings.Contains(note, tt.part) || (tt.part == "") != (note == "") {
			t.Errorf("%s: %+v %q %v", tt.ref, cmd, note, err)
		}
		if (cmd.SpecHash != "") != (tt.kind == events.RefRelease) {
			t.Errorf("%s: spec %q", tt.ref, cmd.SpecHash)
		}
	}
}

// TestPinComponents: a commit is for every component of its repository, a digest for the one it was built for.
func TestPinComponents(t *testing.T) {
	const spec = `{"name":"shop",
		"services":[{"name":"web","git":{"repo_clone_url":"https://example.org/a.git","branch":"main"}}],
		"workers":[{"name":"jobs","git":{"repo_clone_url":"https://example.org/a.git","branch":"main"}},
		           {"name":"mail","git":{"repo_clone_url":"https://example.org/b.git","branch":"main"}},
		           {"name":"cache","image":{"registry_type":"DOCKER_HUB","repository":"valkey","tag":"8"}}]}`
	d := newDesk(t)
	app, path := d.create(spec)
	d.Work(app.ID)
	a := d.State(app.ID)
	if len(a.Releases) != 1 {
		t.Fatalf("%d releases", len(a.Releases))
	}
	s := &server{Options: d.options}
	names := func(ref, component string) string {
		cmd, _, err := s.choose(t.Context(), a, pinRequest{Ref: ref, Component: component})
		if err != nil {
			return err.Error()
		}
		return cmd.Component + ": " + strings.Join(sortedKeys(cmd.Targets), " ")
	}
	for _, tt := range []struct{ ref, component, want string }{
		{"v1", "", ": cache jobs mail web"},
		{"v1", "mail", "mail: mail"},
		{string(digestOf("jobs", commitA)), "", "jobs: jobs"},
		{string(digestOf("jobs", commitA)), "web", "no image"},
		{string(digestOf("cache", commitA)), "", "cache: cache"},
		{commitA, "web", "web: web"},
		{commitA, "cache", "no such ref"},
		{"main", "", "say which component"},
		{"main", "jobs", "jobs: jobs"},
		{commitA, "moon", "no component moon; it has web, jobs, mail, cache"},
	} {
		if got := names(tt.ref, tt.component); !strings.Contains(got, tt.want) {
			t.Errorf("%s of %q: %s, want %s", tt.ref, tt.component, got, tt.want)
		}
	}
	var p pinAnswer
	d.do("POST", path+"/pin", `{"ref":"main","component":"web"}`, &p)
	if p.Pin.Component != "web" || p.Pin.Kind != events.RefBranch || p.Pin.Holds {
		t.Errorf("pin %+v", p.Pin)
	}
}

// TestRollback is the story of a bad release: back with one command, everything held meanwhile, and on.
func TestRollback(t *testing.T) {
	d := newDesk(t)
	app, path := d.create(webGo)
	d.Work(app.ID)
	d.ship(path, app.ID, commitB)
	d.ship(path, app.ID, commitC)

	d.Git.Err = errors.New("the git server is down")
	asked := d.Git.Asked
	var p pinAnswer
	d.do("POST", path+"/pin", map[string]any{"rollback": true, "reason": "c loses orders", "expires_at": d.World.Now().Add(time.Hour)}, &p)
	if p.Pin.Ref != "v2" || p.Pin.Kind != events.RefRelease || p.Pin.Reason != "c loses orders" || p.Pin.By != admin || p.Pin.ExpiresAt.IsZero() ||
		p.Deployment.CauseDetails.Type != "MANUAL_ROLLBACK" || !p.Deployment.Components[0].BuildSkipped || p.Deployment.Cause != "rollback to v2" ||
		p.Undo == nil || p.Undo.Action != "revert" {
		t.Fatalf("rollback %+v %+v undo %+v", p.Pin, p.Deployment, p.Undo)
	}
	if d.Git.Asked != asked {
		t.Error("a rollback asked the git server")
	}
	d.Work(app.ID)

	// Back again is a further step back, not to the bad one.
	var q pinAnswer
	d.do("POST", path+"/pin", `{"rollback":true}`, &q)
	if q.Pin.Ref != "v1" || q.Undo == nil || q.Undo.Action != "pin" || q.Undo.Ref != "v2" {
		t.Fatalf("second rollback to %+v, undo %+v", q.Pin, q.Undo)
	}
	d.Work(app.ID)
	if msg := d.refused(422, "unprocessable_entity", "POST", path+"/pin", `{"rollback":true}`); !strings.Contains(msg, "no release before v1") {
		t.Errorf("third: %s", msg)
	}

	msg := d.refused(409, "app_pinned", "POST", path+"/deployments", nil)
	if !strings.Contains(msg, "v1") || !strings.Contains(msg, "shiplog unpin hello") {
		t.Errorf("refusal %q", msg)
	}
	releases := d.State(app.ID).Releases
	d.refused(409, "app_pinned", "POST", path+"/rollback", map[string]any{"deployment_id": releases[2].Deployment})

	var back deploymentAnswer
	d.do("POST", path+"/rollback/revert", nil, &back)
	if back.Deployment.CauseDetails.UserAction.Name != "REVERT_APP_ROLLBACK" || back.Deployment.Components[0].Commit != commitC {
		t.Errorf("revert %+v", back.Deployment)
	}
	d.Work(app.ID)
	if a := d.State(app.ID); len(a.Pins) != 0 || a.Serving["web"].Target.Revision.Commit != commitC {
		t.Errorf("after revert: pins %v, serving %v", a.Pins, a.Serving)
	}
	d.refused(422, "unprocessable_entity", "POST", path+"/pin", `{"ref":"v3","rollback":true,"component":"web","expires_at":"2001-01-01T00:00:00Z"}`)
}

// TestRollbackEndpoint is App Platform's own form, with its dry run, commit and revert.
func TestRollbackEndpoint(t *testing.T) {
	d := newDesk(t)
	app, path := d.create(webGo)
	d.Work(app.ID)
	first := d.State(app.ID).Releases[0].Deployment
	d.ship(path, app.ID, commitB)
	second := d.State(app.ID).Releases[1].Deployment
	d.Git.Set("main", events.RefBranch, commitC)
	var a deploymentAnswer
	d.do("POST", path+"/deployments", nil, &a)
	failedOne := a.Deployment.ID
	d.Order(app.ID, deploy.FailDeployment{Deployment: failedOne, Component: "web", Step: "build", Reason: "exit 1"})
	d.do("POST", path+"/restart", nil, &a)
	d.Work(app.ID)
	restart := a.Deployment.ID

	validate := func(id events.ID) string {
		t.Helper()
		var v struct {
			Valid    bool      `json:"valid"`
			Error    *finding  `json:"error"`
			Warnings []finding `json:"warnings"`
		}
		d.do("POST", path+"/rollback/validate", map[string]any{"deployment_id": id}, &v)
		if v.Valid != (v.Error == nil) || v.Warnings == nil {
			t.Errorf("validate %s: %+v", id, v)
		}
		if v.Error != nil {
			return v.Error.Code
		}
		return "valid"
	}
	before := len(d.World.Log.All())
	for id, want := range map[events.ID]string{
		first: "valid", second: "incompatible_result", restart: "incompatible_result", failedOne: "incompatible_phase",
	} {
		if got := validate(id); got != want {
			t.Errorf("validate %s: %s, want %s", id, got, want)
		}
	}
	d.refused(404, "not_found", "POST", path+"/rollback/validate", map[string]any{"deployment_id": events.NewID()})
	if len(d.World.Log.All()) != before {
		t.Error("a dry run wrote to the log")
	}
	d.refused(422, "unprocessable_entity", "POST", path+"/rollback", map[string]any{"deployment_id": failedOne})

	d.do("POST", path+"/rollback", map[string]any{"deployment_id": first}, &a)
	if a.Deployment.ClonedFrom != first || a.Deployment.CauseDetails.Type != "MANUAL_ROLLBACK" {
		t.Errorf("rollback %+v", a.Deployment)
	}
	d.Work(app.ID)
	if got := validate(second); got != "app_pinned" {
		t.Errorf("validate while pinned: %s", got)
	}
	if got := d.call("POST", path+"/rollback/commit", nil, nil); got != 200 {
		t.Errorf("commit: %d", got)
	}
	if s := d.State(app.ID); len(s.Pins) != 0 || s.Serving["web"].Target.Revision.Commit != commitA {
		t.Errorf("after commit: %v %v", s.Pins, s.Serving)
	}
	d.do("POST", path+"/rollback", map[string]any{"deployment_id": second, "skip_pin": true}, &a)
	d.Work(app.ID)
	if s := d.State(app.ID); len(s.Pins) != 0 || s.Serving["web"].Target.Revision.Commit != commitB {
		t.Errorf("after skip_pin: %v %v", s.Pins, s.Serving)
	}
}

// TestRollbackToRemovedImage is refused and says how to get it back.
func TestRollbackToRemovedImage(t *testing.T) {
	d := newDesk(t)
	app, path := d.create(webGo)
	d.Work(app.ID)
	first := d.State(app.ID).Releases[0].Deployment
	d.ship(path, app.ID, commitB)
	a := d.State(app.ID)
	seal := events.Draft{ID: events.NewID(), At: d.World.Now(), Actor: events.Self, Cause: "collector", Event: events.ImageRemoved{Component: "web", Digest: digestOf("web", commitA)}}
	if _, err := d.World.Log.Append(t.Context(), events.Append{Subject: events.AppSubject(app.ID), Expect: a.Head, Events: []events.Draft{seal}}); err != nil {
		t.Fatal(err)
	}
	d.Handler = deploy.NewHandler(d.World.Log, nil)
	d.Order(app.ID, deploy.StopApp{}) // any order: it makes the first handler's memory stale, as another process would
	d.Order(app.ID, deploy.StartApp{})
	d.do("POST", path+"/stop", nil, nil)
	d.do("POST", path+"/start", nil, nil)
	for _, body := range []string{`{"ref":"v1"}`, `{"rollback":true}`, `{"ref":"` + string(digestOf("web", commitA)) + `"}`} {
		if msg := d.refused(422, "unprocessable_entity", "POST", path+"/pin", body); !strings.Contains(msg, "removed") || !strings.Contains(msg, "commit aaaaaaa") {
			t.Errorf("%s: %s", body, msg)
		}
	}
	var v struct {
		Error finding `json:"error"`
	}
	if d.do("POST", path+"/rollback/validate", map[string]any{"deployment_id": first}, &v); v.Error.Code != "exceeded_revision_limit" {
		t.Errorf("validate: %+v", v)
	}
	var p pinAnswer
	d.do("POST", path+"/pin", `{"ref":"aaaaaaa"}`, &p) // building it again is a pin, not a rollback
	if p.Deployment == nil || p.Deployment.Phase != deploy.PendingBuild {
		t.Errorf("pin %+v", p.Deployment)
	}
}

// A rollback to what never ran builds it, and says so.
func TestRollbackToWhatWasNeverBuilt(t *testing.T) {
	d := newDesk(t)
	app, path := d.create(webGo)
	d.Work(app.ID)
	d.Git.Set("fix", events.RefBranch, commitC)
	var p pinAnswer
	d.do("POST", path+"/pin", `{"ref":"fix","rollback":true}`, &p)
	if !strings.Contains(p.Note, "was never built for") {
		t.Errorf("note %q", p.Note)
	}
	if p.Deployment.CauseDetails.Type != "MANUAL" || p.Deployment.Progress.PendingSteps != 6 {
		t.Errorf("pin %+v", p.Deployment)
	}
	d.Work(app.ID)
	d.do("DELETE", path+"/pin", nil, nil)
	d.refused(422, "unprocessable_entity", "DELETE", path+"/pin", nil)
}

func FuzzParsePin(f *testing.F) {
	for _, s := range []string{``, `null`, `{}`, `{"ref":"v1"}`, `{"ref":"main","expires_at":"2026-11-21T12:00:00Z","rollback":true}`, `{"ref":1}`, `[]`, `{"ref":"\u0000"}`} {
		f.Add([]byte(s))
	}
	a := deploy.App{ID: events.NewID(), Name: "hello", Spec: events.Spec{Services: []events.Component{{Name: "web", Git: &events.GitSource{RepoCloneURL: repo, Branch: "main"}}}}}
	for i, c := range []events.Commit{commitA, commitB} {
		t := events.Target{Revision: events.Revision{Commit: c}, Digest: digestOf("web", c)}
		a.Releases = append(a.Releases, deploy.Release{Number: i + 1, Have: map[string]events.Target{"web": t}})
		a.Images = map[string][]deploy.Image{"web": append(a.Images["web"], deploy.Image{Revision: t.Revision, Digest: t.Digest})}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := parsePin(body)
		if err != nil {
			if classify(err).status >= 500 {
				t.Errorf("%q: %v", body, err)
			}
			return
		}
		if p.Ref == "" && !p.Rollback || len(p.Ref) > 255 || strings.ContainsAny(p.Ref, " \n\x00") {
			t.Errorf("%q: ref %q", body, p.Ref)
		}
		if p.Ref == "" {
			return
		}
		cmd, _, err := known(a, p.Component, p.Ref)
		if err != nil && classify(err).status != 422 {
			t.Errorf("%q: %v", body, err)
		}
		if err == nil && cmd.Ref != "" && (cmd.Ref != p.Ref || len(cmd.Targets) == 0 && p.Component == "") {
			t.Errorf("%q: %+v", body, cmd)
		}
	})
}
