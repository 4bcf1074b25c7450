package gitwatch

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"shiplog/events"
	"shiplog/internal/deliveries"
)

const helloWorld = "https://github.com/Codertocat/Hello-World.git"

// delivery is a request of GitHub's.
type delivery struct {
	app       events.ID
	method    string // default POST
	event     string // default push
	id        string
	body      []byte // default testdata/github/branch.json
	kind      string // default application/json
	signature string // default the right one
}

func sign(secret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

func payload(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/github/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// deliver sends a delivery and returns the answer.
func (s *shop) deliver(d delivery) (int, reply, http.Header) {
	s.t.Helper()
	if d.method == "" {
		d.method = "POST"
	}
	if d.event == "" {
		d.event = "push"
	}
	if d.body == nil {
		d.body = payload(s.t, "branch.json")
	}
	if d.kind == "" {
		d.kind = "application/json"
	}
	if d.signature == "" {
		d.signature = sign(secret, d.body)
	}
	req := httptest.NewRequest(d.method, "/hooks/github/"+string(d.app), bytes.NewReader(d.body))
	req.Header.Set("X-GitHub-Event", d.event)
	req.Header.Set("X-GitHub-Delivery", d.id)
	req.Header.Set("X-Hub-Signature-256", d.signature)
	req.Header.Set("Content-Type", d.kind)
	rec := httptest.NewRecorder()
	s.GitHub().ServeHTTP(rec, req)
	var got reply
	if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil || got.Verdict == "" {
		s.t.Errorf("the answer %d is not JSON with a verdict: %s", rec.Code, rec.Body)
	}
	return rec.Code, got, rec.Result().Header
}

func TestGitHubDeliveries(t *testing.T) {
	s := open(t)
	spec := events.Spec{Name: "hello", Services: []events.Component{{Name: "web", GitHub: &events.ForgeSource{Repo: "codertocat/hello-world", Branch: "main", DeployOnPush: true}}}}
	app := s.create(spec)
	form := payload(t, "branch.form")
	longID := strings.Repeat("x", 200)
	for _, c := range []struct {
		name    string
		d       delivery
		status  int
		verdict string
		records deliveries.Verdict
	}{
		{"a push", delivery{id: "one"}, 202, "received", ""},
		{"the same again", delivery{id: "one"}, 200, "duplicate", deliveries.Duplicate},
		{"another delivery", delivery{id: "two"}, 202, "received", ""},
		{"a form", delivery{id: "form", body: form, kind: "application/x-www-form-urlencoded"}, 202, "received", ""},
		{"a form said to be JSON", delivery{id: "f2", body: form}, 400, "malformed", deliveries.Malformed},
		{"XML", delivery{id: "xml", kind: "application/xml"}, 400, "malformed", deliveries.Malformed},
		{"truncated", delivery{id: "cut", body: payload(t, "truncated.json")}, 400, "malformed", deliveries.Malformed},
		{"empty", delivery{id: "empty", body: []byte{}}, 400, "malformed", deliveries.Malformed},
		{"ping", delivery{id: "ping", event: "ping", body: []byte("{}")}, 200, "ping", deliveries.Ping},
		{"another event", delivery{id: "star", event: "star"}, 200, "ignored", deliveries.Ignored},
		{"no event", delivery{id: "none", event: " "}, 200, "ignored", deliveries.Ignored},
		{"a dash", delivery{id: "dash", body: payload(t, "dash_branch.json")}, 200, "ignored", deliveries.Ignored},
		{"another repository", delivery{id: "other", body: bytes.ReplaceAll(payload(t, "branch.json"), []byte("Codertocat/Hello-World"), []byte("evil/Hello-World"))}, 200, "other repository", deliveries.NoApp},
		{"the same at another host", delivery{id: "host", body: payload(t, "enterprise_server.json")}, 200, "other repository", deliveries.NoApp},
		{"unsigned", delivery{signature: "none"}, 401, "refused", deliveries.Unauthorized},
		{"signed by another", delivery{signature: sign("other", payload(t, "branch.json"))}, 401, "refused", deliveries.Unauthorized},
		{"signed with nothing", delivery{signature: sign("", payload(t, "branch.json"))}, 401, "refused", deliveries.Unauthorized},
		{"a cut signature", delivery{signature: sign(secret, payload(t, "branch.json"))[:40]}, 401, "refused", deliveries.Unauthorized},
		{"signed before a change", delivery{body: append(payload(t, "branch.json"), ' '), signature: sign(secret, payload(t, "branch.json"))}, 401, "refused", deliveries.Unauthorized},
		{"GET", delivery{method: "GET"}, 405, "refused", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.t, s.record = t, nil
			c.d.app = app
			status, got, _ := s.deliver(c.d)
			if status != c.status || got.Verdict != c.verdict {
				t.Errorf("%d %q (%s), want %d %q", status, got.Verdict, got.Message, c.status, c.verdict)
			}
			var records deliveries.Verdict
			if len(s.record) > 0 {
				records = s.record[0].Verdict
			}
			if records != c.records {
				t.Errorf("recorded as %q, want %q", records, c.records)
			}
			if c.d.id != "" && status != 401 && got.Delivery != c.d.id {
				t.Errorf("the answer names delivery %q", got.Delivery)
			}
		})
	}
	s.t = t
	pushes := s.pushes(app)
	if len(pushes) != 3 {
		t.Fatalf("%d pushes are in the log, want 3", len(pushes))
	}
	if p := pushes[0]; p.Repository != helloWorldAs("codertocat/hello-world") || p.Delivery != "one" || p.BodyHash == "" || p.Ref != "refs/heads/main" {
		t.Errorf("recorded: %+v", p)
	}
	for _, id := range []string{"", longID, "a b", "ü"} {
		body := append(payload(t, "branch.json"), []byte(strings.Repeat(" ", len(id)))...)
		if status, got, _ := s.deliver(delivery{app: app, id: id, body: body}); status != 202 || !strings.HasPrefix(got.Delivery, "body-") {
			t.Errorf("delivery id %q: %d %+v", id, status, got)
		}
		if status, _, _ := s.deliver(delivery{app: app, id: id, body: body}); status != 200 {
			t.Errorf("delivery id %q again: %d", id, status)
		}
	}
}

func helloWorldAs(repo string) string { return "https://github.com/" + repo + ".git" }

func TestSHA1IsRefused(t *testing.T) {
	s := open(t)
	app := s.app("hello", events.GitSource{RepoCloneURL: helloWorld, Branch: "main"})
	body := payload(t, "branch.json")
	mac := hmac.New(sha1.New, []byte(secret))
	mac.Write(body)
	req := httptest.NewRequest("POST", "/hooks/github/"+string(app), bytes.NewReader(body))
	req.Header.Set("X-GitHub-Event", "push")
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Hub-Signature", "sha1="+hex.EncodeToString(mac.Sum(nil)))
	rec := httptest.NewRecorder()
	s.GitHub().ServeHTTP(rec, req)
	if rec.Code != 401 {
		t.Errorf("%d", rec.Code)
	}
}

func TestSecretsOfAWebhook(t *testing.T) {
	s := open(t)
	app := s.app("hello", events.GitSource{RepoCloneURL: helloWorld, Branch: "main"})
	body := payload(t, "branch.json")
	for _, c := range []struct {
		name    string
		secrets []string
		signed  string
		want    int
	}{
		{"one of two", []string{"new", secret}, secret, 202},
		{"the other", []string{"new", secret}, "new", 202},
		{"neither", []string{"new", secret}, "old", 401},
		{"an empty one beside", []string{"", secret}, "", 401},
		{"only an empty one", []string{""}, "", 401},
		{"no webhook", nil, secret, 404},
	} {
		s.secrets = c.secrets
		if got, _, _ := s.deliver(delivery{app: app, id: strings.ReplaceAll(c.name, " ", "-"), body: body, signature: sign(c.signed, body)}); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
	s.secrets = []string{secret}
	for _, id := range []events.ID{"", "x", "../x", events.ID(strings.ToUpper(string(app))) + "/x", events.NewID()} {
		if got, _, _ := s.deliver(delivery{app: id}); got != 404 {
			t.Errorf("app %q: %d, want 404", id, got)
		}
	}
}

func TestLargeBodies(t *testing.T) {
	s := open(t)
	app := s.app("hello", events.GitSource{RepoCloneURL: helloWorld, Branch: "main"})
	body := append(payload(t, "branch.json"), bytes.Repeat([]byte(" "), maxBody)...)
	if got, _, _ := s.deliver(delivery{app: app, id: "big", body: body, signature: "x"}); got != 413 {
		t.Errorf("over 25 MiB: %d", got)
	}
	req := httptest.NewRequest("POST", "/hooks/github/"+string(app), bytes.NewReader(body))
	req.ContentLength = -1
	rec := httptest.NewRecorder()
	s.GitHub().ServeHTTP(rec, req)
	if rec.Code != 413 {
		t.Errorf("over 25 MiB without a length: %d", rec.Code)
	}
	for i := range cap(s.large) + 2 { // places are given back
		body := body[:maxBody-i]
		if got, _, _ := s.deliver(delivery{app: app, id: fmt.Sprint("nearly", i), body: body}); got != 202 {
			t.Errorf("nearly 25 MiB: %d", got)
		}
	}
}

func TestTheLogIsDown(t *testing.T) {
	s := open(t)
	app := s.app("hello", events.GitSource{RepoCloneURL: helloWorld, Branch: "main"})
	desk := s.Desk
	s.Desk = broken{desk}
	status, got, header := s.deliver(delivery{app: app, id: "one"})
	if status != 503 || header.Get("Retry-After") == "" || got.Verdict != "unavailable" {
		t.Errorf("%d %+v, Retry-After %q", status, got, header.Get("Retry-After"))
	}
	s.Desk = deaf{desk}
	if status, _, _ := s.deliver(delivery{app: app, id: "one"}); status != 503 {
		t.Errorf("an answer that was lost: %d", status)
	}
	s.Desk = desk
	if status, _, _ := s.deliver(delivery{app: app, id: "one"}); status != 200 {
		t.Errorf("delivered again: %d, want 200, for it is there", status)
	}
	s.Secrets = func(context.Context, events.ID) ([]string, error) { return nil, errors.New("disk") }
	if status, got, _ := s.deliver(delivery{app: app}); status != 503 || strings.Contains(got.Message, "disk") {
		t.Errorf("without secrets: %d %+v", status, got)
	}
}

func TestOneDeliveryManyTimesAtOnce(t *testing.T) {
	s := open(t)
	app := s.app("hello", events.GitSource{RepoCloneURL: helloWorld, Branch: "main"})
	var group sync.WaitGroup
	codes := make(chan int, 16)
	for range cap(codes) {
		group.Go(func() {
			status, _, _ := s.deliver(delivery{app: app, id: "same"})
			codes <- status
		})
	}
	group.Wait()
	close(codes)
	accepted := 0
	for c := range codes {
		if c == 202 {
			accepted++
		} else if c != 200 {
			t.Errorf("%d", c)
		}
	}
	if n := len(s.pushes(app)); n != 1 || accepted != 1 {
		t.Errorf("%d pushes in the log, %d accepted", n, accepted)
	}
}

// TestRefusedDeliveriesAreRecordedSparingly: anybody can send them, and they would push out what matters.
func TestRefusedDeliveriesAreRecordedSparingly(t *testing.T) {
	s := open(t)
	app := s.app("hello", events.GitSource{RepoCloneURL: helloWorld, Branch: "main"})
	for range 3 * maxRefuse {
		s.deliver(delivery{app: app, signature: "none"})
	}
	if len(s.record) != maxRefuse {
		t.Errorf("%d are recorded, want %d", len(s.record), maxRefuse)
	}
}

func TestSourcesOfARepository(t *testing.T) {
	repo := repository{"github.com", "owner/name"}
	for url, want := range map[string]bool{
		"https://github.com/owner/name.git":      true,
		"https://github.com/Owner/Name":          true,
		"https://GitHub.com/owner/name/":         true,
		"https://github.com:443/owner/name.git":  true,
		"git@github.com:owner/name.git":          true,
		"ssh://git@github.com/owner/name.git":    true,
		"ssh://git@github.com:22/owner/name":     true,
		"https://gitlab.com/owner/name.git":      false,
		"https://github.com/other/name.git":      false,
		"https://github.com/owner/name2.git":     false,
		"https://github.com/x/owner/name.git":    false,
		"https://github.com.evil.org/owner/name": false,
		"https://evil.org/github.com/owner/name": false,
	} {
		spec := events.Spec{Workers: []events.Component{{Name: "w", Git: &events.GitSource{RepoCloneURL: url}}}}
		if got := len(sources(spec, repo)) == 1; got != want {
			t.Errorf("%s: %v, want %v", url, got, want)
		}
	}
}
