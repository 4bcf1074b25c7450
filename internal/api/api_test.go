package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"shiplog/events"
	"shiplog/internal/deploy"
	"shiplog/internal/secrets"
)

func TestErrors(t *testing.T) {
	d := newDesk(t)
	app, path := d.create(webGo)
	for _, tt := range []struct {
		status     int
		id         string
		method     string
		path, body string
	}{
		{404, "not_found", "GET", "/v2/nothing", ""},
		{404, "not_found", "GET", "/v2/apps/", ""},
		{404, "not_found", "GET", "/v2//apps", ""},
		{404, "not_found", "GET", "/v2/apps/" + string(events.NewID()), ""},
		{404, "not_found", "GET", path + "/deployments/" + string(events.NewID()), ""},
		{404, "not_found", "GET", path + "/deployments/x", ""},
		{404, "not_found", "GET", path + "/deployments/", ""},
		{404, "not_found", "GET", path + "/releases/1", ""},
		{404, "not_found", "GET", path + "/at?time=2020-01-01T00:00:00Z", ""},
		{405, "method_not_allowed", "PATCH", path, ""},
		{400, "bad_request", "POST", "/v2/apps", "{"},
		{400, "bad_request", "POST", "/v2/apps", `{"spec":{}} {}`},
		{400, "bad_request", "POST", "/v2/apps", `[]`},
		{422, "unprocessable_entity", "POST", "/v2/apps", ""},
		{422, "unprocessable_entity", "POST", "/v2/apps", `{"spec":null}`},
		{422, "unprocessable_entity", "POST", "/v2/apps", `{"spec":{"name":"x","colour":"red"}}`},
		{422, "unprocessable_entity", "POST", "/v2/apps", `{"spec":{"name":"x"}}`},
		{422, "unprocessable_entity", "POST", "/v2/apps", strings.Replace(`{"spec":`+webGo+`}`, "hello", "Hello", 1)},
		{422, "unprocessable_entity", "PUT", path, strings.Replace(`{"spec":`+webGo+`}`, `"web"`, `"a b"`, 1)},
		{422, "unprocessable_entity", "PUT", path, strings.Replace(`{"spec":`+webGo+`}`, "hello", "renamed", 1)},
		{422, "unprocessable_entity", "POST", "/v2/apps/propose", `{"spec":{"name":"x"}}`},
		{422, "unprocessable_entity", "POST", "/v2/apps", `{"spec":{"name":"regions","services":[{"name":"web","git":{"repo_clone_url":"https://example.org/a.git","branch":"main"}}]}}`},
		{409, "conflict", "POST", "/v2/apps", `{"spec":` + webGo + `}`},
		{413, "request_entity_too_large", "POST", "/v2/apps", `{"spec":"` + strings.Repeat("x", maxBody) + `"}`},
		{422, "unprocessable_entity", "POST", path + "/restart", `{"components":null}`}, // it never ran
		{404, "not_found", "POST", path + "/restart", `{"components":["db"]}`},
		{422, "unprocessable_entity", "POST", path + "/pin", ``},
		{422, "unprocessable_entity", "POST", path + "/pin", `{"ref":"a b"}`},
		{400, "bad_request", "POST", path + "/pin", `{"ref":"main","expires":"2h"}`},
		{404, "not_found", "POST", path + "/pin", `{"ref":"main","component":"db"}`},
		{422, "unprocessable_entity", "POST", path + "/pin", `{"rollback":true}`},
		{422, "unprocessable_entity", "DELETE", path + "/pin", ``},
		{422, "unprocessable_entity", "POST", path + "/rollback", `{"deployment_id":"x"}`},
		{404, "not_found", "POST", path + "/rollback", `{"deployment_id":"` + string(events.NewID()) + `"}`},
		{422, "unprocessable_entity", "POST", path + "/rollback/commit", ``},
		{400, "bad_request", "GET", path + "/logs?type=RUN", ``},
		{400, "bad_request", "GET", path + "/logs?type=DEPLOY", ``},
		{400, "bad_request", "GET", path + "/logs?type=COFFEE", ``},
		{422, "unprocessable_entity", "POST", path + "/quarantine", `{}`},
		{403, "forbidden", "GET", "/v2/logs/text/" + string(app.ID) + "/BUILD", ``},
	} {
		d.refused(tt.status, tt.id, tt.method, tt.path, tt.body)
	}
	if got := d.call("GET", path, nil, nil, "Authorization", "Bearer wrong"); got != 401 {
		t.Errorf("a wrong token: %d", got)
	}
	if got := d.call("GET", path, nil, nil, "Authorization", ""); got != 401 {
		t.Errorf("no token: %d", got)
	}
	if got := d.call("POST", path+"/stop", nil, nil, "Origin", "http://evil.example", "Sec-Fetch-Site", "cross-site"); got != 403 {
		t.Errorf("from another site: %d", got)
	}
	if msg := d.refused(404, "not_found", "GET", "/v2/apps/helo", nil); !strings.Contains(msg, "did you mean hello?") {
		t.Errorf("a misspelt name: %s", msg)
	}
	var byName appAnswer
	if d.do("GET", "/v2/apps/hello", nil, &byName); byName.App.ID != app.ID {
		t.Errorf("by name: %s", byName.App.ID)
	}
}

// TestEveryRouteAsksForAToken enumerates the contract: but for signed URLs nothing is open.
func TestEveryRouteAsksForAToken(t *testing.T) {
	d := newDesk(t)
	s := &server{Options: d.options}
	for _, rt := range s.routes() {
		method, path, _ := strings.Cut(rt.pattern, " ")
		if open := strings.HasPrefix(path, "/v2/logs/"); open != rt.open {
			t.Errorf("%s: open = %v", rt.pattern, rt.open)
		}
		want := 401
		if rt.open {
			want = 403
		}
		path = strings.NewReplacer("{", "", "}", "").Replace(path)
		if got := d.call(method, path, nil, nil, "Authorization", "Bearer nobody"); got != want {
			t.Errorf("%s without a token: %d", rt.pattern, got)
		}
	}
}

// faulty is a Desk whose log fails.
type faulty struct {
	Desk
	err error
}

func (f faulty) Do(context.Context, events.ID, deploy.Order) (deploy.Result, error) {
	return deploy.Result{}, f.err
}

func TestUnavailable(t *testing.T) {
	for _, tt := range []struct {
		err    error
		status int
	}{
		{events.ErrUnavailable, 503}, {events.ErrFull, 503}, {events.ErrConflict, 503}, {context.DeadlineExceeded, 503},
		{events.ErrTooLarge, 422}, {errors.New("disk on fire"), 500},
	} {
		var f *faulty
		d := newDesk(t, func(o *Options) { f = &faulty{o.Desk, tt.err}; o.Desk = f })
		_, path := d.create(webGo)
		req, _ := http.NewRequest("POST", d.server.URL+path+"/stop", nil)
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != tt.status || (resp.StatusCode == 503) != (resp.Header.Get("Retry-After") != "") {
			t.Errorf("%v: %d, Retry-After %q", tt.err, resp.StatusCode, resp.Header.Get("Retry-After"))
		}
	}
}

// TestHistoryBehind: a command is answered although the history stands still, after at most waitTime.
func TestHistoryBehind(t *testing.T) {
	d := newDesk(t)
	_, path := d.create(webGo)
	d.History.Block = make(chan struct{})
	begin := time.Now()
	var a appAnswer
	d.do("POST", path+"/stop", nil, &a)
	if took := time.Since(begin); !a.App.Stopped || took < waitTime || took > waitTime+time.Second {
		t.Errorf("stopped %v after %v", a.App.Stopped, took)
	}
}

// TestIdempotency: one key is one order, whatever became of the app meanwhile.
func TestIdempotency(t *testing.T) {
	d := newDesk(t)
	key := []string{"Idempotency-Key", "k1"}
	var first, second appAnswer
	d.call("POST", "/v2/apps", `{"spec":`+webGo+`}`, &first, key...)
	if got := d.call("POST", "/v2/apps", `{"spec":`+webGo+`}`, &second, key...); got != 200 || first.App.ID != second.App.ID ||
		second.App.PendingDeployment.ID != first.App.PendingDeployment.ID {
		t.Fatalf("created again: %d %+v", got, second)
	}
	app, path := first.App.ID, "/v2/apps/"+string(first.App.ID)
	d.Work(app)
	d.ship(path, app, commitB)

	before := len(d.World.Log.All())
	var wg sync.WaitGroup
	ids := make([]events.ID, 8)
	for i := range ids {
		wg.Add(1)
		go func() {
			defer wg.Done()
			var a pinAnswer
			if got := d.call("POST", path+"/pin", `{"rollback":true}`, &a, key...); got == 200 && a.Deployment != nil {
				ids[i] = a.Deployment.ID
			}
		}()
	}
	wg.Wait()
	d.Work(app)
	var late pinAnswer // what it asks for would be refused by now: nothing is before release 1
	if got := d.call("POST", path+"/pin", `{"rollback":true}`, &late, key...); got != 200 || late.Deployment == nil {
		t.Fatalf("after it was done: %d", got)
	}
	for _, id := range ids {
		if id != late.Deployment.ID {
			t.Errorf("one key, two deployments: %v", ids)
		}
	}
	pins := 0
	for _, r := range d.World.Log.All()[before:] {
		if r.Type == "Pinned" {
			pins++
		}
	}
	if pins != 1 {
		t.Errorf("%d pins for one key", pins)
	}
	for range 2 {
		if got := d.call("DELETE", path, nil, nil, key...); got != 200 {
			t.Errorf("delete: %d", got)
		}
	}
	if got := d.call("DELETE", path, nil, nil); got != 404 {
		t.Errorf("delete by another order: %d", got)
	}
	if got := d.call("GET", "/v2/apps", nil, nil, "Idempotency-Key", strings.Repeat("k", 256)); got != 200 {
		t.Errorf("a key on a read: %d", got)
	}
}

func TestStopStart(t *testing.T) {
	d := newDesk(t)
	app, path := d.create(webGo)
	d.Work(app.ID)
	var a appAnswer
	if d.do("POST", path+"/stop", `{"reason":"night"}`, &a); !a.App.Stopped {
		t.Error("not stopped")
	}
	if d.do("POST", path+"/start", `null`, &a); a.App.Stopped {
		// Stopped is left out when false: decode into a fresh answer
		a = appAnswer{}
		if d.do("GET", path, nil, &a); a.App.Stopped {
			t.Error("not started")
		}
	}
}

func TestCancel(t *testing.T) {
	d := newDesk(t)
	app, path := d.create(webGo)
	id := app.PendingDeployment.ID
	var a deploymentAnswer
	d.do("POST", path+"/deployments/"+string(id)+"/cancel", `{"reason":"wrong one"}`, &a)
	if a.Deployment.Phase != deploy.Canceled || a.Deployment.Progress.ErrorSteps != 1 || a.Deployment.CancelReason != "wrong one" {
		t.Errorf("canceled: %+v", a.Deployment)
	}
	d.refused(409, "conflict", "POST", path+"/deployments/"+string(id)+"/cancel", nil)
}

// TestWaitsForPush: an app whose source has nothing yet is made and has no deployment.
func TestWaitsForPush(t *testing.T) {
	d := newDesk(t)
	d.Git.Refs["main"] = events.Target{}
	app, path := d.create(webGo)
	if app.PendingDeployment != nil {
		t.Errorf("deployment %+v", app.PendingDeployment)
	}
	if msg := d.refused(422, "unprocessable_entity", "POST", path+"/deployments", nil); !strings.Contains(msg, "push") {
		t.Errorf("message %q", msg)
	}
	d.Git.Err = errors.New("connection refused")
	if msg := d.refused(422, "unprocessable_entity", "POST", path+"/deployments", nil); !strings.Contains(msg, "web") || !strings.Contains(msg, "connection refused") {
		t.Errorf("message %q", msg)
	}
	d.do("PUT", path, `{"spec":`+webGo+`}`, nil) // wants nothing resolved that is not
}

func TestForceBuild(t *testing.T) {
	d := newDesk(t)
	app, path := d.create(webGo)
	d.Work(app.ID)
	for body, want := range map[string]bool{`null`: true, `{"force_build":true}`: false, `{"force_rebuild":true}`: false, `{"clear_build_cache":true}`: false} {
		var a deploymentAnswer
		d.do("POST", path+"/deployments", body, &a)
		if got := a.Deployment.Components[0].BuildSkipped; got != want {
			t.Errorf("%s: build skipped = %v", body, got)
		}
		d.Work(app.ID)
	}
}

func TestQueue(t *testing.T) {
	d := newDesk(t)
	app, path := d.create(webGo)
	d.Work(app.ID)
	d.do("POST", path+"/deployments", `{"force_build":true}`, nil)
	d.do("POST", path+"/restart", nil, nil)
	other := strings.ReplaceAll(webGo, "hello", "other")
	b, _ := d.create(other)
	d.Order(b.ID, deploy.ClaimBuild{Deployment: b.PendingDeployment.ID, Component: "web", Builder: "b1", Until: d.World.Now().Add(time.Hour)})
	var q struct {
		Queue []queued `json:"queue"`
	}
	d.do("GET", "/v2/queue", nil, &q)
	var got []string
	for _, e := range q.Queue {
		got = append(got, e.App+" "+string(e.Phase)+" "+e.WaitsFor)
	}
	want := "other BUILDING |hello PENDING_BUILD a builder|hello PENDING_DEPLOY the deployment before it"
	if strings.Join(got, "|") != want {
		t.Errorf("queue %q, want %s", got, want)
	}
}

func TestQuarantine(t *testing.T) {
	d := newDesk(t)
	app, path := d.create(webGo)
	d.Work(app.ID)
	d.ship(path, app.ID, commitB)
	var q struct {
		Quarantined []barred `json:"quarantined"`
	}
	d.do("POST", path+"/quarantine", `{"revision":"aaaaaaa","reason":"loses data"}`, &q)
	if len(q.Quarantined) != 1 || q.Quarantined[0].Commit != commitA || q.Quarantined[0].Reason != "loses data" {
		t.Errorf("quarantined %+v", q)
	}
	d.refused(409, "quarantined", "POST", path+"/pin", `{"ref":"v1"}`)
	d.do("DELETE", path+"/quarantine?revision="+commitA, nil, &q)
	if len(q.Quarantined) != 0 {
		t.Errorf("lifted: %+v", q)
	}
	d.do("POST", path+"/quarantine", map[string]string{"digest": string(digestOf("web", commitA))[:7+30]}, &q)
	d.refused(409, "quarantined", "POST", path+"/pin", `{"ref":"v1"}`)
	d.refused(422, "unprocessable_entity", "POST", path+"/quarantine", `{"revision":"ddddddd"}`)
	d.refused(422, "unprocessable_entity", "POST", path+"/quarantine", `{"revision":"aa"}`)
	d.do("POST", path+"/quarantine", map[string]string{"revision": "main@sha1:" + commitC}, &q)
}

// TestSecrets: with the real store a secret is sealed before it reaches the log, comes back as a reference that is
// accepted, and a reference of another app is refused.
func TestSecrets(t *testing.T) {
	dir := t.TempDir()
	store, err := secrets.Open(dir+"/secrets", dir+"/keys")
	if err != nil {
		t.Fatal(err)
	}
	d := newDesk(t, func(o *Options) { o.Secrets = store })
	secret := strings.Replace(webGo, `"services"`, `"envs":[{"key":"PASSWORD","value":"canary-4711","type":"SECRET"}],"services"`, 1)
	app, path := d.create(secret)
	for _, r := range d.World.Log.All() {
		if strings.Contains(string(r.Body), "canary-4711") {
			t.Fatalf("%s holds the secret", r.Type)
		}
	}
	sealed := app.Spec.Envs[0].Value
	if !strings.HasPrefix(sealed, "EV[1:") {
		t.Fatalf("sealed: %q", sealed)
	}
	d.do("PUT", path, map[string]any{"spec": app.Spec}, nil)
	other := strings.ReplaceAll(strings.Replace(secret, "canary-4711", sealed, 1), "hello", "other")
	if msg := d.refused(422, "unprocessable_entity", "POST", "/v2/apps", `{"spec":`+other+`}`); !strings.Contains(msg, "PASSWORD") {
		t.Errorf("message %q", msg)
	}
}
