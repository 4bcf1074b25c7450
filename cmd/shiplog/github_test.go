package main

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

func TestGitHubHook(t *testing.T) {
	s := start(t, "--source-allow", "127.0.0.0/8")
	f := s.newForge("one")
	one := f.repo.git("rev-parse", "HEAD")
	s.create(specOf("shop", f.url, ""))
	s.answers("shop", "one")
	h := s.hook("shop", f.url)
	two := f.repo.hello("two")
	f.repo.push()

	forged := *h
	forged.Secret = "somebody-elses"
	if status, verdict := forged.deliver("forged", "refs/heads/main", one, two); status != 401 {
		t.Errorf("a forged delivery: %d %s", status, verdict)
	}
	unknown := *h
	unknown.URL = strings.Replace(h.URL, s.id("shop"), "6f1e6c1e-0000-4000-8000-000000000000", 1)
	if status, verdict := unknown.deliver("unknown", "refs/heads/main", one, two); status != 404 {
		t.Errorf("a delivery to no app: %d %s", status, verdict)
	}
	if status, verdict := h.deliver("d-two", "refs/heads/main", one, two); status != 202 {
		t.Errorf("a push: %d %s", status, verdict)
	}
	s.answers("shop", "two")
	if status, verdict := h.deliver("d-two", "refs/heads/main", one, two); status != 200 || verdict != "duplicate" {
		t.Errorf("the push again: %d %s", status, verdict)
	}
	if status, _ := h.deliver("d-two-by-another-hook", "refs/heads/main", one, two); status != 202 {
		t.Errorf("the push by another hook: %d", status)
	}
	if v, reason := s.judged("shop", "d-two-by-another-hook", 10*time.Second); v != "duplicate" || reason == "" {
		t.Errorf("the push by another hook is %s: %s", v, reason)
	}
	if status, _ := h.deliver("gone", "refs/heads/feature", one, two); status != 202 {
		t.Errorf("a push of a ref that is not there: %d", status)
	}
	if v, reason := s.judged("shop", "gone", 30*time.Second); v != "unresolvable" || !strings.Contains(reason, "feature") {
		t.Errorf("a push of a ref that is not there is %s: %s", v, reason)
	}

	s.shiplog("rollback", "shop", "v1", "--yes")
	three := f.repo.hello("three")
	f.repo.push()
	h.deliver("held", "refs/heads/main", two, three)
	if v, reason := s.judged("shop", "held", 10*time.Second); v != "held by pin" || !strings.Contains(reason, "shiplog unpin shop") {
		t.Errorf("a push while pinned is %s: %s", v, reason)
	}
	if out := s.shiplog("apps", "get", "shop"); !strings.Contains(out, "held") || !strings.Contains(out, three[:7]) {
		t.Errorf("what is held is not shown:\n%s", out)
	}
	if got, _ := s.get("shop"); got != "one" {
		t.Errorf("a push while pinned changed the answer to %q", got)
	}
	s.shiplog("unpin", "shop", "--yes")
	s.answers("shop", "three")
	s.settled("shop")
	if n := s.count("shop", "DeploymentRequested"); n != 4 { // created, two, rollback, unpin
		t.Errorf("%d deployments, want 4", n)
	}
	s.holdsNo(h.Secret)
}

// What a forge says while its git server is down is acknowledged, and judged when the server is back.
func TestHookWhileTheGitServerIsDown(t *testing.T) {
	s := start(t, "--source-allow", "127.0.0.0/8")
	f := s.newForge("one")
	one := f.repo.git("rev-parse", "HEAD")
	s.create(specOf("shop", f.url, ""))
	s.answers("shop", "one")
	h := s.hook("shop", f.url)
	two := f.repo.hello("two")
	f.repo.push()
	f.down()
	if status, verdict := h.deliver("down", "refs/heads/main", one, two); status != 202 {
		t.Fatalf("%d %s", status, verdict)
	}
	s.eventually("what is waited for is shown", 10*time.Second, func() error {
		out := s.shiplog("queue")
		if !strings.Contains(out, "shop") {
			return fmt.Errorf("the queue says %q", out)
		}
		return nil
	})
	f.up()
	s.answers("shop", "two")
	if n := s.count("shop", "PushReceived"); n != 1 {
		t.Errorf("%d pushes are in the history, want 1", n)
	}
}

// A git server that takes connections and never answers holds up the app that uses it, and nobody else.
func TestGitServerThatHangs(t *testing.T) {
	s := start(t, "--source-allow", "127.0.0.0/8")
	f := s.newForge("one")
	s.create(specOf("shop", f.url, ""))
	s.answers("shop", "one")
	h := s.hook("shop", f.url)
	f.down()
	l, err := net.Listen("tcp", f.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for i := range 20 { // more than are judged at once
		if status, verdict := h.deliver(fmt.Sprintf("hangs-%d", i), fmt.Sprintf("refs/heads/b%d", i), nowhere, strings.Repeat("ab", 20)); status != 202 {
			t.Fatalf("%d %s", status, verdict)
		}
	}
	type outcome struct {
		text string
		err  error
	}
	deployed := make(chan outcome)
	go func() {
		out, err := s.both("deploy", "shop")
		deployed <- outcome{out, err}
	}()
	s.shiplog("apps", "create", "hello")
	r := s.clone("hello")
	r.hello("hello")
	began := time.Now()
	r.push()
	s.answers("hello", "hello")
	if took := time.Since(began); took > 12*time.Second {
		t.Errorf("another app waited %v for a git server that is not its own", took)
	}
	if n := s.count("shop", "PushReceived"); n != 20 {
		t.Errorf("%d pushes are in the history, want 20", n)
	}
	if o := <-deployed; o.err == nil || !strings.Contains(o.text, "the git server is slow or does not answer") {
		t.Errorf("deploy from a server that hangs, after %v: %v: %s", time.Since(began), o.err, o.text)
	}
	if got, err := s.get("shop"); err != nil || got != "one" {
		t.Errorf("the app whose source hangs answers %q, %v", got, err)
	}
}
