package main

import (
	"strings"
	"testing"
)

// Versions that crash, that are never ready and that are slow to start: what served before serves on, the deployment says
// why, and the next good push goes live.
func TestBadVersions(t *testing.T) {
	s := start(t, "--registry-mirror", "docker.io="+mirror(t))
	s.create(specOf("shop", s.remote("shop"), "  health_check: {period_seconds: 1, failure_threshold: 3}\n"))
	r := s.clone("shop")
	r.hello("one")
	r.push()
	s.answers("shop", "one")

	run := func(name, command string) {
		t.Helper()
		r.hello(name)
		r.write("Dockerfile", "FROM busybox\nCOPY hello answer /\nCMD "+command+"\n")
		r.commit(name)
		r.push()
	}
	run("crashes", `["sh", "-c", "echo cannot find the database; exit 3"]`)
	d := s.fails("shop", "healthy", "exited with code 3")
	if !strings.Contains(d.Failure.Log, "cannot find the database") {
		t.Errorf("the last lines are %q", d.Failure.Log)
	}
	run("cannot run", `["/nowhere"]`)
	s.fails("shop", "start", "command cannot be run", "o such file or directory")
	run("never ready", `["sh", "-c", "echo thinking; sleep 600"]`)
	d = s.fails("shop", "healthy", "not ready", "port 8080")
	if !strings.Contains(d.Failure.Log, "thinking") {
		t.Errorf("the last lines are %q", d.Failure.Log)
	}
	if got, err := s.get("shop"); err != nil || got != "one" {
		t.Errorf("after three bad versions it answers %q, %v", got, err)
	}
	if log := s.shiplog("logs", "shop", "--deploy"); !strings.Contains(log, "not ready") {
		t.Errorf("the log of the rollout:\n%s", log)
	}
	if out, err := s.both("deploy", "shop", "--wait"); err == nil || !strings.Contains(out, "not ready") || !strings.Contains(out, "thinking") || !strings.Contains(out, "what served before still does") {
		t.Errorf("deploy of a bad version (%v):\n%s", err, out)
	}
	run("slow", `["sh", "-c", "sleep 2; exec /hello"]`)
	s.answers("shop", "slow")
}
