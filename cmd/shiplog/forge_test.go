package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cgi"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// outside is somebody else's server, on an address that stays its own while it is down.
type outside struct {
	t       *testing.T
	addr    string
	handler http.Handler
	server  *http.Server
}

func newOutside(t *testing.T, h http.Handler) *outside {
	t.Helper()
	o := &outside{t: t, addr: freePort(t), handler: h}
	o.up()
	t.Cleanup(o.down)
	return o
}

func (o *outside) up() {
	o.t.Helper()
	l, err := net.Listen("tcp", o.addr)
	if err != nil {
		o.t.Fatal(err)
	}
	o.server = &http.Server{Handler: o.handler}
	go func() { _ = o.server.Serve(l) }()
}

func (o *outside) down() { _ = o.server.Close() }

// forge is a git server that is not Shiplog's own: git's http-backend over one repository, acme/shop.
type forge struct {
	*outside
	url  string // of the repository
	repo *repo  // a person's clone
}

// newForge makes one with a first commit of the sample app, which answers with text.
func (s *site) newForge(text string) *forge {
	s.t.Helper()
	root := s.t.TempDir()
	if out, err := exec.Command("git", "init", "-q", "--bare", "-b", "main", root+"/acme/shop.git").CombinedOutput(); err != nil {
		s.t.Fatalf("%v: %s", err, out)
	}
	git, err := exec.LookPath("git")
	if err != nil {
		s.t.Fatal(err)
	}
	f := &forge{outside: newOutside(s.t, &cgi.Handler{
		Path: git, Args: []string{"http-backend"}, Env: []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1"}, Stderr: io.Discard,
	})}
	f.url = "http://" + f.addr + "/acme/shop.git"
	f.repo = s.clone("unused")
	f.repo.git("remote", "set-url", "shiplog", root+"/acme/shop.git")
	f.repo.hello(text)
	f.repo.push()
	return f
}

// spec is an app of one service from a git source, whose old instances go fast. more is added to the service.
func specOf(name, url, more string) string {
	return fmt.Sprintf("name: %s\nservices:\n- name: web\n  git: {repo_clone_url: %q, branch: main}\n  termination: {drain_seconds: 1, grace_period_seconds: 1}\n%s", name, url, more)
}

// create makes an app of a spec.
func (s *site) create(spec string) {
	s.t.Helper()
	r := &repo{t: s.t, dir: s.t.TempDir()}
	r.write("spec.yaml", spec)
	s.shiplog("apps", "create", "--spec", r.dir+"/spec.yaml")
}

// remote is the clone URL of an app's own remote.
func (s *site) remote(app string) string { return s.url + "/git/" + app + ".git" }

// hook is an app's webhook as `shiplog hook` gives it.
type hook struct {
	s      *site
	URL    string
	Secret string
	Clone  string // of the repository it tells of
}

func (s *site) hook(app, clone string) *hook {
	s.t.Helper()
	var answer struct {
		Secret string
		URLs   map[string]string
	}
	if err := json.Unmarshal([]byte(s.shiplog("hook", app, "-o", "json")), &answer); err != nil {
		s.t.Fatal(err)
	}
	return &hook{s: s, URL: answer.URLs["github"], Secret: answer.Secret, Clone: clone}
}

// nowhere is how git writes the commit of a ref that is not there.
const nowhere = "0000000000000000000000000000000000000000"

// deliver sends what GitHub would of a push and returns the status, and the verdict of the answer.
func (h *hook) deliver(id, ref, before, after string) (status int, verdict string) {
	h.s.t.Helper()
	_, path, _ := strings.Cut(strings.TrimPrefix(h.Clone, "http://"), "/")
	body, err := json.Marshal(map[string]any{
		"ref": ref, "before": before, "after": after, "head_commit": map[string]any{"message": "pushed", "author": map[string]string{"name": "Ann"}},
		"repository": map[string]string{"full_name": strings.TrimSuffix(path, ".git"), "clone_url": h.Clone}, "pusher": map[string]string{"name": "ann"},
	})
	if err != nil {
		h.s.t.Fatal(err)
	}
	req, err := http.NewRequest("POST", h.URL, strings.NewReader(string(body)))
	if err != nil {
		h.s.t.Fatal(err)
	}
	mac := hmac.New(sha256.New, []byte(h.Secret))
	mac.Write(body)
	req.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	req.Header.Set("X-GitHub-Event", "push")
	req.Header.Set("X-GitHub-Delivery", id)
	req.Header.Set("Content-Type", "application/json")
	res, err := (&http.Client{Timeout: 10 * time.Second}).Do(req)
	if err != nil {
		h.s.t.Fatal(err)
	}
	defer res.Body.Close()
	var answer struct{ Verdict, Message string }
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		h.s.t.Fatalf("the answer to a delivery (%s) cannot be read: %v", res.Status, err)
	}
	if answer.Message == "" {
		h.s.t.Errorf("the answer to a delivery (%s, %s) says nothing", res.Status, answer.Verdict)
	}
	return res.StatusCode, answer.Verdict
}

// judged waits until a delivery has its verdict and returns it with the reason.
func (s *site) judged(app, delivery string, within time.Duration) (verdict, reason string) {
	s.t.Helper()
	s.eventually("delivery "+delivery+" is judged", within, func() error {
		for _, e := range s.timeline(app) {
			if e.Type == "PushJudged" && e.Delivery == delivery {
				verdict, reason = e.Verdict, e.Reason
				return nil
			}
		}
		return fmt.Errorf("it is not")
	})
	return verdict, reason
}
