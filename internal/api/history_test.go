package api

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"shiplog/events"
)

func TestReleases(t *testing.T) {
	d := newDesk(t)
	app, path := d.create(webGo)
	d.Work(app.ID)
	d.ship(path, app.ID, commitB)
	d.do("POST", path+"/pin", `{"rollback":true}`, nil)
	d.Work(app.ID)
	var list struct {
		Releases []releaseObject `json:"releases"`
		Meta     struct{ Total int }
		Links    map[string]any
	}
	d.do("GET", path+"/releases", nil, &list)
	if len(list.Releases) != 3 || list.Meta.Total != 3 || len(list.Links) != 0 {
		t.Fatalf("releases %+v", list)
	}
	newest := list.Releases[0]
	if newest.Name != "v3" || newest.RolledBackTo != 1 || newest.Change != "rollback to v1" || newest.By != admin || !newest.Active ||
		newest.Components["web"].Commit != commitA || newest.Components["web"].Digest != digestOf("web", commitA) || list.Releases[1].Active {
		t.Errorf("newest %+v", newest)
	}
	var one struct {
		Release releaseObject `json:"release"`
	}
	for _, n := range []string{"2", "v2"} {
		if d.do("GET", path+"/releases/"+n, nil, &one); one.Release.Number != 2 {
			t.Errorf("release %s is %d", n, one.Release.Number)
		}
	}
	var diff struct {
		Diff struct {
			Components []targetChange `json:"components"`
			Spec       []any          `json:"spec"`
		} `json:"diff"`
	}
	d.do("GET", path+"/releases/1/diff/2", nil, &diff)
	if c := diff.Diff.Components; len(c) != 1 || c[0].From.Commit != commitA || c[0].To.Commit != commitB || diff.Diff.Spec == nil || len(diff.Diff.Spec) != 0 {
		t.Errorf("diff %+v", diff)
	}
	d.do("GET", path+"/releases/1/diff/v3", nil, &diff)
	if len(diff.Diff.Components) != 0 {
		t.Errorf("a rollback differs from its target: %+v", diff)
	}
	d.refused(404, "not_found", "GET", path+"/releases/1/diff/9", nil)
}

func TestTimeline(t *testing.T) {
	d := newDesk(t)
	app, path := d.create(webGo)
	d.Work(app.ID)
	var list struct {
		Timeline []map[string]any `json:"timeline"`
		Links    struct {
			Pages map[string]string `json:"pages"`
		} `json:"links"`
		Meta struct{ Total int }
	}
	d.do("GET", path+"/timeline?per_page=4", nil, &list)
	if len(list.Timeline) != 4 || list.Meta.Total != 6 || list.Timeline[0]["type"] != "Released" || list.Timeline[0]["number"] != 1.0 {
		t.Errorf("timeline %+v", list)
	}
	if next := list.Links.Pages["next"]; next != d.options.PublicURL+path+"/timeline?page=2&per_page=4" {
		t.Errorf("next page %q", next)
	}
	d.do("GET", path+"/timeline?per_page=4&page=2", nil, &list)
	requested := list.Timeline[0]
	if requested["type"] != "DeploymentRequested" || requested["cause_text"] != "app created" || !strings.HasPrefix(requested["cause"].(string), "request:") ||
		requested["actor"] != string(admin) || requested["deployment"] != string(app.PendingDeployment.ID) {
		t.Errorf("requested %+v", requested)
	}
	if _, twice := requested["deployment_text"]; twice {
		t.Error("the deployment is said twice")
	}
}

func TestAt(t *testing.T) {
	var d *desk
	d = newDesk(t, func(o *Options) {
		o.At = func(_ context.Context, app events.ID, when time.Time) (Then, bool, error) {
			if when.Year() == 1999 {
				return Then{}, false, errors.New("it is being rebuilt")
			}
			a := d.At(app, when)
			rel, ok := a.Running()
			return Then{Release: rel.Number, Deployment: rel.Deployment, Have: rel.Have, Spec: a.Specs[rel.SpecHash], Pins: a.Pins, Actor: rel.Actor, Since: rel.At}, ok, nil
		}
	})
	app, path := d.create(webGo)
	created := d.Pass(0)
	d.Work(app.ID)
	first := d.Pass(0)
	d.ship(path, app.ID, commitB)
	var a struct {
		At thenObject `json:"at"`
	}
	d.do("GET", path+"/at?time="+first.Format(time.RFC3339), nil, &a)
	if a.At.Release == nil || a.At.Release.Number != 1 || a.At.Components["web"].Commit != commitA || a.At.Spec.Name != "hello" || a.At.Actor != admin {
		t.Errorf("at the first release: %+v", a.At)
	}
	d.do("GET", path+"/at", nil, &a)
	if a.At.Release.Number != 2 {
		t.Errorf("now: %+v", a.At)
	}
	d.refused(404, "not_found", "GET", path+"/at?time="+created.Format(time.RFC3339), nil)
	d.refused(404, "not_found", "GET", path+"/at?time=2001-01-01T00:00:00Z", nil)
	d.refused(503, "service_unavailable", "GET", path+"/at?time=1999-01-01T00:00:00Z", nil)
	d.refused(400, "bad_request", "GET", path+"/at?time=yesterday", nil)
}

func TestWebhook(t *testing.T) {
	d := newDesk(t, func(o *Options) { o.HooksURL = "https://hooks.example.org/" })
	app, path := d.create(webGo)
	var h struct {
		Webhook struct {
			Secret string
			URLs   map[string]string
		}
	}
	d.do("GET", path+"/webhook", nil, &h)
	if h.Webhook.Secret != "hook-1" || len(h.Webhook.URLs) != 6 || h.Webhook.URLs["github"] != "https://hooks.example.org/hooks/github/"+string(app.ID) {
		t.Errorf("webhook %+v", h)
	}
	few := newDesk(t, func(o *Options) { o.Providers = []string{"github"} })
	_, fewPath := few.create(webGo)
	var one struct {
		Webhook struct{ URLs map[string]string }
	}
	if few.do("GET", fewPath+"/webhook", nil, &one); len(one.Webhook.URLs) != 1 || !strings.HasPrefix(one.Webhook.URLs["github"], few.options.PublicURL) {
		t.Errorf("webhook %+v", one)
	}
	if d.do("POST", path+"/webhook/rotate", nil, &h); h.Webhook.Secret != "hook-2" {
		t.Errorf("rotated %+v", h)
	}
}
