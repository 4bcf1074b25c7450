package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/digitalocean/godo"

	"shiplog/events"
	"shiplog/internal/deploy"
	"shiplog/internal/logs"
)

func (d *desk) stream(app, deployment events.ID, component string, kind logs.Kind) logs.Stream {
	return logs.Stream{App: app, Deployment: deployment, Component: component, Kind: kind}
}

func (d *desk) write(s logs.Stream, lines ...string) {
	d.Helper()
	w := d.Logs.Writer(s)
	for _, l := range lines {
		fmt.Fprintln(w, l)
	}
	if err := w.Close(); err != nil {
		d.Fatal(err)
	}
}

// fetch reads a signed URL as clients do: without a token of their own.
func (d *desk) fetch(u string) (int, string) {
	d.Helper()
	resp, err := http.Get(u)
	if err != nil {
		d.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		d.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestHistoricLogs(t *testing.T) {
	d, ctx := newDesk(t), context.Background()
	app, path := d.create(webGo)
	id := app.PendingDeployment.ID
	d.refused(400, "bad_request", "GET", path+"/logs?type=BUILD", nil) // it was never reached
	d.Work(app.ID)
	d.write(d.stream(app.ID, id, "web", logs.Build), "one", "two <b>", strings.Repeat("x", 64<<10))
	apps := d.client().Apps

	got, _, err := apps.GetLogs(ctx, string(app.ID), "", "", godo.AppLogTypeBuild, false, -1)
	if err != nil || got.LiveURL != "" || len(got.HistoricURLs) != 1 {
		t.Fatalf("logs %+v, %v", got, err)
	}
	status, text := d.fetch(got.HistoricURLs[0])
	lines := strings.SplitAfter(text, "\n")
	if status != 200 || len(lines) != 4 || lines[0] != "web 1970-01-01T00:00:01.000000Z one\n" || !strings.HasSuffix(lines[1], " two <b>\n") || len(lines[2]) != maxLine {
		t.Errorf("%d: %d lines, first %q, third of %d bytes", status, len(lines), lines[0], len(lines[2]))
	}
	got, _, err = apps.GetLogs(ctx, string(app.ID), string(id), "web", godo.AppLogTypeBuild, false, 2)
	if err != nil {
		t.Fatal(err)
	}
	if _, text = d.fetch(got.HistoricURLs[0]); strings.Count(text, "\n") != 2 || !strings.Contains(text, "two <b>") {
		t.Errorf("the last two lines: %d", strings.Count(text, "\n"))
	}
	for _, bad := range []string{"&tail=1", "&component=db", "&token=x", "&expires=99999999999"} {
		if status, _ := d.fetch(got.HistoricURLs[0] + bad); status != 403 {
			t.Errorf("with %s: %d", bad, status)
		}
	}
	if status, _ := d.fetch(strings.Replace(got.HistoricURLs[0], "/BUILD", "/DEPLOY", 1)); status != 403 {
		t.Errorf("for another path: %d", status)
	}
	d.Pass(logURLTime)
	if status, _ := d.fetch(got.HistoricURLs[0]); status != 403 {
		t.Errorf("after its time: %d", status)
	}

	// A component that was not built says so.
	d.ship(path, app.ID, commitA)
	got, _, err = apps.GetLogs(ctx, string(app.ID), "", "", godo.AppLogTypeBuild, false, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, text := d.fetch(got.HistoricURLs[0]); !strings.Contains(text, "build skipped: image 777777777777 was built from commit aaaaaaa before") {
		t.Errorf("log %q", text)
	}
	if _, resp, err := apps.GetLogs(ctx, string(app.ID), "", "db", godo.AppLogTypeBuild, false, 0); err == nil || resp.StatusCode != 404 {
		t.Errorf("of a component that is not there: %v", err)
	}
}

// TestLiveLog follows a build over two attempts, as they happen, until it is done.
func TestLiveLog(t *testing.T) {
	d, ctx := newDesk(t), t.Context()
	app, _ := d.create(webGo)
	id := app.PendingDeployment.ID
	got, _, err := d.client().Apps.GetLogs(ctx, string(app.ID), "", "", godo.AppLogTypeBuild, true, -1)
	if err != nil || len(got.HistoricURLs) != 0 || !strings.HasPrefix(got.LiveURL, d.options.PublicURL) {
		t.Fatalf("logs %+v, %v", got, err)
	}
	if status, body := d.fetch(got.LiveURL); status != 400 || !strings.Contains(body, "web socket") {
		t.Errorf("without a web socket: %d %s", status, body)
	}
	s := d.stream(app.ID, id, "web", logs.Build)
	lines := make(chan string)
	go func() {
		defer close(lines)
		for line, err := range FollowLog(ctx, http.DefaultClient, got.LiveURL) {
			if err != nil {
				t.Error(err)
			}
			lines <- line
		}
	}()
	next := func(want string) {
		t.Helper()
		select {
		case line, open := <-lines:
			if want == "" && !open || want != "" && strings.HasSuffix(line, " "+want) {
				return
			}
			t.Fatalf("line %q (open %v), want %q", line, open, want)
		case <-time.After(10 * time.Second):
			t.Fatalf("no line, want %q", want)
		}
	}
	claim := deploy.ClaimBuild{Deployment: id, Component: "web", Builder: "b1", Until: d.World.Now().Add(time.Hour)}
	d.Order(app.ID, claim)
	w := d.Logs.Writer(s)
	fmt.Fprintln(w, "checking out")
	next("checking out")
	fmt.Fprintln(w, "network lost")
	next("network lost")
	_ = w.Close()
	d.Order(app.ID, deploy.FailBuild{Deployment: id, Component: "web", Attempt: 1, Reason: "network", Retry: true})
	d.Order(app.ID, claim)
	w = d.Logs.Writer(s)
	fmt.Fprintln(w, "again")
	next("again")
	_ = w.Close()
	d.Order(app.ID, deploy.FinishBuild{Deployment: id, Component: "web", Attempt: 2, Digest: digestOf("web", commitA)})
	next("")
}

// TestLiveLogOfNothing: a log that nobody ever writes ends with its stage.
func TestLiveLogOfNothing(t *testing.T) {
	d := newDesk(t)
	app, path := d.create(webGo)
	var u struct {
		LiveURL string `json:"live_url"`
	}
	d.do("GET", path+"/logs?type=DEPLOY&follow=true&tail_lines=5", nil, &u)
	done := make(chan int)
	go func() {
		n := 0
		for _, err := range FollowLog(t.Context(), http.DefaultClient, u.LiveURL) {
			if err != nil {
				t.Error(err)
			}
			n++
		}
		done <- n
	}()
	d.do("POST", path+"/deployments/"+string(app.PendingDeployment.ID)+"/cancel", nil, nil)
	select {
	case n := <-done:
		if n != 0 {
			t.Errorf("%d lines", n)
		}
	case <-time.After(10 * time.Second):
		t.Error("it never ends")
	}
}

func FuzzLogURL(f *testing.F) {
	key, now := []byte("key"), time.Unix(1000, 0)
	good := signLogURL(key, "http://x", "/v2/logs/text/a/BUILD", url.Values{"component": {"web"}}, now.Add(time.Minute))
	for _, s := range []string{good, good + "&token=", strings.Replace(good, "BUILD", "RUN", 1), "http://x/v2/logs/text/a/BUILD?expires=2000", "?token=%zz", good + "&component=db"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := url.Parse(raw)
		if err != nil {
			return
		}
		q, err := checkLogURL(key, u, now)
		if err != nil {
			if classify(err).status != 403 {
				t.Errorf("%q: %v", raw, err)
			}
			return
		}
		// Whoever does not hold the key has only the one URL that was signed, however it is written.
		if u.Path != "/v2/logs/text/a/BUILD" || q.Encode() != "component=web&expires=1060" {
			t.Errorf("%q is taken for signed: %s %s", raw, u.Path, q.Encode())
		}
	})
}

// A rollout has one log, which is there from the moment that its images are fetched.
func TestRolloutLog(t *testing.T) {
	d := newDesk(t)
	app, path := d.create(webGo)
	id := app.PendingDeployment.ID
	d.refused(400, "bad_request", "GET", path+"/logs?type=DEPLOY", nil) // it is built first
	d.Build(app.ID, id, "web")
	d.write(logs.Stream{App: app.ID, Deployment: id, Kind: logs.Deploy}, "web: pulling 0123456")
	for _, query := range []string{"", "&component_name=web", "&tail_lines=1"} {
		var u struct {
			HistoricURLs []string `json:"historic_urls"`
		}
		d.do("GET", path+"/logs?type=DEPLOY"+query, nil, &u)
		if _, text := d.fetch(u.HistoricURLs[0]); !strings.HasPrefix(text, "rollout ") || !strings.HasSuffix(text, " web: pulling 0123456\n") {
			t.Errorf("%s: %q", query, text)
		}
	}
}
