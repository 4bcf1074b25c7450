package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The main job, as a person does it: push, push, go back to anything, move on.
func TestPushAndGoBack(t *testing.T) {
	s := start(t)
	s.shiplog("apps", "create", "hello")
	r := s.clone("hello")
	one := r.hello("one")
	r.git("tag", "first")
	r.push()
	r.git("push", "-q", "shiplog", "first")
	s.answers("hello", "one")
	two := r.hello("two")
	r.push()
	s.answers("hello", "two")
	r.git("push", "-q", "shiplog", two+":refs/heads/stable")
	s.settled("hello")

	digests := map[string]string{}
	for _, e := range s.timeline("hello") {
		if e.Type == "ImageBuilt" {
			digests[strings.TrimPrefix(e.Revision, "main@sha1:")] = e.Digest
		}
	}
	if len(digests) != 2 {
		t.Fatalf("two pushes built %v", digests)
	}
	for i, c := range []struct{ ref, answer, commit string }{
		{"v1", "one", one}, {"v2", "two", two}, {one[:8], "one", one}, {two, "two", two}, {"first", "one", one},
		{"stable", "two", two}, {digests[one], "one", one}, {digests[two], "two", two}, {"tag:first", "one", one},
	} {
		s.shiplog("rollback", "hello", c.ref, "--yes", "--reason", fmt.Sprintf("try %d", i))
		if got, err := s.get("hello"); err != nil || got != c.answer {
			t.Errorf("after rollback to %s it answers %q, %v; want %q", c.ref, got, err, c.answer)
		}
		if got := s.runningDigest("hello"); got != digests[c.commit] {
			t.Errorf("after rollback to %s the engine runs %s, want %s", c.ref, got, digests[c.commit])
		}
	}
	if n := s.count("hello", "BuildStarted"); n != 2 {
		t.Errorf("%d builds, want the 2 of the pushes: a rollback to what was built builds nothing", n)
	}

	r.hello("three")
	r.push()
	s.eventually("the push is held", 20*time.Second, func() error {
		if v := s.lastVerdict("hello"); v != "held by pin" {
			return fmt.Errorf("the verdict is %q", v)
		}
		return nil
	})
	if got, _ := s.get("hello"); got != "one" {
		t.Errorf("a push while pinned changed the answer to %q", got)
	}
	s.shiplog("unpin", "hello", "--yes")
	s.answers("hello", "three")
}

func TestForcePushThenBackToWhatItRemoved(t *testing.T) {
	s := start(t)
	s.shiplog("apps", "create", "hello")
	r := s.clone("hello")
	base := r.hello("base")
	r.push()
	s.answers("hello", "base")
	lost := r.hello("lost")
	r.push()
	s.answers("hello", "lost")
	r.git("reset", "-q", "--hard", base)
	r.hello("other")
	r.push()
	s.answers("hello", "other")
	s.shiplog("rollback", "hello", lost, "--yes")
	s.answers("hello", "lost")
	s.shiplog("unpin", "hello", "--yes")
	r.git("push", "-q", "-f", "shiplog", base+":refs/heads/main")
	s.answers("hello", "base")
}

func TestAPushOf50MiB(t *testing.T) {
	s := start(t)
	s.shiplog("apps", "create", "hello")
	r := s.clone("hello")
	if out, err := exec.Command("dd", "if=/dev/urandom", "of="+r.dir+"/blob", "bs=1M", "count=50", "status=none").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	r.hello("big")
	r.push()
	s.answers("hello", "big")
}

// Three pushes while something builds: the last is what runs in the end, and every one is in the history.
func TestThreePushesDuringOneBuild(t *testing.T) {
	s := start(t, "--registry-mirror", "docker.io="+mirror(t))
	s.shiplog("apps", "create", "hello")
	r := s.clone("hello")
	var commits []string
	for _, name := range []string{"one", "two", "three"} {
		r.hello(name)
		r.write("Dockerfile", "FROM busybox AS slow\nCOPY answer /answer\nRUN sleep 4 && cat /answer\nFROM scratch\nCOPY --from=slow /answer /answer\nCOPY hello /\nENTRYPOINT [\"/hello\"]\n")
		commits = append(commits, r.commit(name))
		r.push()
	}
	s.answers("hello", "three")
	s.settled("hello")
	judged := map[string]bool{}
	var released []string
	for _, e := range s.timeline("hello") {
		if e.Type == "PushJudged" {
			judged[strings.TrimPrefix(e.Revision, "main@sha1:")] = true
		}
		if e.Type == "Released" {
			released = append(released, e.Deployment)
		}
	}
	for i, c := range commits {
		if !judged[c] {
			t.Errorf("push %d is not in the history", i+1)
		}
	}
	if len(released) != 1 {
		t.Errorf("%d of three pushes went live, want only the last", len(released))
	}
}

// settled waits until nothing is queued or running.
func (s *site) settled(app string) {
	s.t.Helper()
	s.eventually("nothing is under way", 90*time.Second, func() error {
		var reply struct {
			App struct {
				InProgress *json.RawMessage `json:"in_progress_deployment"`
				Pending    *json.RawMessage `json:"pending_deployment"`
			} `json:"app"`
		}
		if err := s.api("GET", "/v2/apps/"+s.id(app), nil, &reply); err != nil {
			return err
		}
		if reply.App.InProgress != nil || reply.App.Pending != nil {
			return fmt.Errorf("something is")
		}
		return nil
	})
}

func (s *site) count(app, kind string) (n int) {
	s.t.Helper()
	for _, e := range s.timeline(app) {
		if e.Type == kind {
			n++
		}
	}
	return n
}

func (s *site) lastVerdict(app string) (v string) {
	s.t.Helper()
	for _, e := range s.timeline(app) {
		if e.Type == "PushJudged" {
			v = e.Verdict
		}
	}
	return v
}

func generation(labels map[string]string) int {
	n, _ := strconv.Atoi(labels["shiplog.generation"])
	return n
}

// runningDigest asks the engine itself, not Shiplog, which image the app's newest container runs.
func (s *site) runningDigest(app string) string {
	s.t.Helper()
	var containers []struct {
		ID      string `json:"Id"`
		ImageID string
		Labels  map[string]string
	}
	s.ask(`/containers/json?filters=`+url.QueryEscape(`{"label":["shiplog.name=`+app+`"]}`), &containers)
	if len(containers) == 0 {
		s.t.Fatalf("the engine runs nothing of %s", app)
	}
	newest := containers[0]
	for _, c := range containers {
		if generation(c.Labels) > generation(newest.Labels) {
			newest = c
		}
	}
	var image struct{ RepoDigests []string }
	s.ask("/images/"+newest.ImageID+"/json", &image)
	if len(image.RepoDigests) == 0 {
		s.t.Fatalf("the engine knows no digest of the image of %s", newest.ID)
	}
	_, digest, _ := strings.Cut(image.RepoDigests[0], "@")
	return digest
}
