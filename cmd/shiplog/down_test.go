package main

import (
	"io"
	"log"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
)

// otherRegistry is a registry that is not Shiplog's own, behind a password. lies, when set, is asked about each request
// before the registry is, and answers itself by returning true.
type otherRegistry struct {
	*outside
	asked atomic.Int64
	lies  atomic.Pointer[func(http.ResponseWriter, *http.Request, http.Handler) bool]
}

const registryPassword = "registry-password-3f1c"

func newOtherRegistry(t *testing.T) *otherRegistry {
	o := &otherRegistry{}
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	o.outside = newOutside(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.asked.Add(1)
		if user, password, _ := r.BasicAuth(); user != "shiplog" || password != registryPassword {
			w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
			http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`, http.StatusUnauthorized)
			return
		}
		if lie := o.lies.Load(); lie != nil && (*lie)(w, r, inner) {
			return
		}
		inner.ServeHTTP(w, r)
	}))
	return o
}

// startBeside starts a service that keeps its images in the registry.
func startBeside(t *testing.T, o *otherRegistry, args ...string) *site {
	t.Helper()
	t.Setenv("SHIPLOG_REGISTRY_PASSWORD", registryPassword)
	return start(t, append([]string{"--registry", "http://" + o.addr, "--registry-user", "shiplog", "--source-allow", "127.0.0.0/8"}, args...)...)
}

// imagesOf lists the digests that were built, oldest first.
func (s *site) imagesOf(app string) (digests []string) {
	s.t.Helper()
	for _, e := range s.timeline(app) {
		if e.Type == "ImageBuilt" {
			digests = append(digests, e.Digest)
		}
	}
	return digests
}

// A rollback needs neither git nor the registry when the image is on the machine, and says what is missing when it is not.
func TestRollbackWithGitAndRegistryDown(t *testing.T) {
	reg := newOtherRegistry(t)
	s := startBeside(t, reg)
	f := s.newForge("one")
	one := f.repo.git("rev-parse", "HEAD")
	f.repo.git("tag", "first")
	f.repo.git("push", "-q", "shiplog", "first")
	s.create(specOf("shop", f.url, ""))
	s.answers("shop", "one")
	h := s.hook("shop", f.url)
	if status, verdict := h.deliver("tag", "refs/tags/first", nowhere, one); status != 202 {
		t.Fatalf("%d %s", status, verdict)
	}
	s.judged("shop", "tag", 10*time.Second)
	two := f.repo.hello("two")
	f.repo.push()
	if status, verdict := h.deliver("two", "refs/heads/main", one, two); status != 202 {
		t.Fatalf("%d %s", status, verdict)
	}
	s.answers("shop", "two")
	s.settled("shop")
	digests := s.imagesOf("shop")
	if len(digests) != 2 {
		t.Fatalf("built %v", digests)
	}

	f.down()
	reg.down()
	for _, c := range []struct{ ref, answer, digest string }{
		{"v1", "one", digests[0]}, {digests[1], "two", digests[1]}, {one, "one", digests[0]}, {two[:7], "two", digests[1]},
		{"first", "one", digests[0]}, {"main", "two", digests[1]}, {"tag:first", "one", digests[0]},
	} {
		began := time.Now()
		s.shiplog("rollback", "shop", c.ref, "--yes")
		t.Logf("rollback to %.12s with git and the registry down: %v", c.ref, time.Since(began).Round(time.Millisecond))
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("rollback to %s took %v", c.ref, took)
		}
		if got, err := s.get("shop"); err != nil || got != c.answer {
			t.Errorf("after rollback to %s it answers %q, %v", c.ref, got, err)
		}
		if got := s.runningDigest("shop"); got != c.digest {
			t.Errorf("after rollback to %s the engine runs %s, want %s", c.ref, got, c.digest)
		}
	}

	s.removeImage(digests[1]) // "one" runs; "two" has to come from the registry now
	_, err := s.try("rollback", "shop", "v2", "--no-wait", "--yes")
	if err != nil {
		t.Fatal(err)
	}
	s.eventually("it says that it waits for the registry", 20*time.Second, func() error {
		out, err := s.try("logs", "shop", "--deploy")
		if err == nil && !strings.Contains(out, reg.addr) {
			err = errText(out)
		}
		return err
	})
	if got, err := s.get("shop"); err != nil || got != "one" {
		t.Errorf("while the image is missing it answers %q, %v", got, err)
	}
	s.shiplog("rollback", "shop", "v1", "--yes") // another choice does not wait for that one
	if got, err := s.get("shop"); err != nil || got != "one" {
		t.Errorf("a rollback while another waits for the registry: %q, %v", got, err)
	}
	s.shiplog("rollback", "shop", "v2", "--no-wait", "--yes")
	began := time.Now()
	reg.up()
	s.answers("shop", "two")
	t.Logf("%v after the registry was back", time.Since(began).Round(time.Millisecond))
}

// errText is a text as an error.
type errText string

func (e errText) Error() string { return string(e) }

// removeImage takes an image, and what runs no more of it, from the engine.
func (s *site) removeImage(digest string) {
	s.t.Helper()
	s.eventually("the engine forgets "+digest, 30*time.Second, func() error {
		var images []struct {
			ID          string `json:"Id"`
			RepoDigests []string
		}
		s.ask("/images/json", &images)
		for _, i := range images {
			for _, d := range i.RepoDigests {
				if strings.HasSuffix(d, digest) {
					return s.engineDelete("/images/" + i.ID + "?force=false")
				}
			}
		}
		return nil
	})
}

// engineDelete tells the container engine itself to remove something.
func (s *site) engineDelete(path string) error {
	req, err := http.NewRequest("DELETE", "http://engine/v1.40"+path, nil)
	if err != nil {
		return err
	}
	res, err := (&http.Client{Timeout: 20 * time.Second, Transport: overSocket(strings.TrimPrefix(s.engine, "unix://"))}).Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if b, _ := io.ReadAll(res.Body); res.StatusCode >= 300 && res.StatusCode != 404 {
		return errText(res.Status + ": " + string(b))
	}
	return nil
}

// A registry that hands out other bytes than were asked for: what it gives never runs, and the reason names both digests.
func TestRegistryThatLies(t *testing.T) {
	reg := newOtherRegistry(t)
	s := startBeside(t, reg)
	f := s.newForge("one")
	s.create(specOf("shop", f.url, ""))
	s.answers("shop", "one")
	f.repo.hello("two")
	f.repo.push()
	s.shiplog("deploy", "shop", "--wait")
	digests := s.imagesOf("shop")
	s.removeImage(digests[0])
	lie := func(w http.ResponseWriter, r *http.Request, inner http.Handler) bool {
		if strings.Contains(r.URL.Path, "/manifests/"+digests[0]) {
			r.URL.Path = strings.Replace(r.URL.Path, digests[0], digests[1], 1)
			inner.ServeHTTP(w, r)
			return true
		}
		return false
	}
	reg.lies.Store(&lie)
	_, err := s.try("rollback", "shop", "v1", "--yes")
	if err == nil || !strings.Contains(err.Error(), digests[0]) || !strings.Contains(err.Error(), digests[1]) {
		t.Errorf("a registry that lies: %v", err)
	}
	t.Log(err)
	if got, err := s.get("shop"); err != nil || got != "two" {
		t.Errorf("then it answers %q, %v", got, err)
	}
	if got := s.runningDigest("shop"); got != digests[1] {
		t.Errorf("the engine runs %s", got)
	}
	if out, err := s.try("logs", "shop", "--deploy"); err != nil || !strings.Contains(out, digests[0]) {
		t.Errorf("the log of the rollout that failed: %v: %s", err, out)
	}
	reg.lies.Store(nil)
	s.shiplog("rollback", "shop", "v1", "--yes")
	s.answers("shop", "one")
	s.holdsNo(registryPassword)
}
