package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"shiplog/events"
)

// An orderly stop ends soon whatever goes on, the apps do not notice, and a build that it met is done again, once.
func TestStopUnderLoad(t *testing.T) {
	s := start(t, "--registry-mirror", "docker.io="+mirror(t))
	s.quick("hello")
	r := s.clone("hello")
	r.building("one", "0")
	r.push()
	s.answers("hello", "one")
	s.settled("hello")
	load := s.load("hello")
	follower := exec.Command(built.shiplog, "logs", "hello", "--run", "-f") // never ends by itself
	follower.Env = append(os.Environ(), "SHIPLOG_URL="+s.url, "SHIPLOG_TOKEN="+s.token)
	if err := follower.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = follower.Process.Kill(); _ = follower.Wait() })

	commit := r.building("two", "5")
	r.push()
	s.eventually("the build runs", 30*time.Second, func() error {
		if n := s.count("hello", "BuildStarted"); n != 2 {
			return fmt.Errorf("%d builds were started", n)
		}
		return nil
	})
	if len(s.leftovers("hello")) == 0 {
		t.Error("a build under way leaves no trace: the check for what is left behind cannot fail")
	}
	side := s.clone("hello")
	side.git("fetch", "-q", "shiplog")
	side.git("checkout", "-q", "-b", "side", commit)
	calls := make(chan struct{})
	go func() { // commands and pushes that meet the stop
		defer close(calls)
		for n := range 40 {
			_, _ = s.give(command{method: "POST", path: "/v2/apps/hello/quarantine", key: fmt.Sprint(n)}, map[string]any{"commit": strings.Repeat("f", 39) + fmt.Sprint(n%10)})
			if n%10 == 0 {
				_, _ = side.tryGit("commit", "-q", "--allow-empty", "-m", fmt.Sprint(n))
				_, _ = side.tryGit("push", "-q", "shiplog", "side")
			}
		}
	}()
	time.Sleep(700 * time.Millisecond)
	took := s.down()
	<-calls
	t.Logf("stopped in %v", took)
	if took > 10*time.Second {
		t.Errorf("stopping took %v, want at most 10 s", took)
	}
	if left := s.strangers(); len(left) > 0 {
		time.Sleep(200 * time.Millisecond) // git's processes end with their connection
		if left = s.strangers(); len(left) > 0 && !follows(left) {
			t.Errorf("processes are left after the stop: %v", left)
		}
	}
	time.Sleep(time.Second)
	s.up()
	s.answers("hello", "two")
	s.settled("hello")
	_ = follower.Process.Kill()
	_ = follower.Wait()
	s.converges("hello", time.Now())
	load.check(200)
	s.nothingLeft("hello")
	s.down()
	l := s.logged()
	l.sound(t)
	a := l.app(t, "hello")
	var started, finished int
	for _, e := range of[events.BuildStarted](l, a.ID) {
		if a.Deployments[e.Deployment].Want["web"].Revision.Commit == events.Commit(commit) {
			started++
		}
	}
	for _, e := range of[events.ImageBuilt](l, a.ID) {
		if e.Revision.Commit == events.Commit(commit) {
			finished++
		}
	}
	if started != 2 || finished != 1 {
		t.Errorf("the build that the stop met was started %d times and finished %d times, want 2 and 1", started, finished)
	}
}

// An orderly stop does not wait for a container engine that hangs: what it was asked for is taken up by the next start.
func TestStopWhileTheEngineHangs(t *testing.T) {
	s := start(t)
	s.quick("hello")
	r := s.clone("hello")
	r.hello("one")
	r.push()
	s.answers("hello", "one")
	s.settled("hello")
	var engine int
	for _, p := range s.processes() {
		if strings.HasPrefix(p.command, "podman ") && strings.Contains(p.command, " system service ") {
			engine = p.pid
		}
	}
	if engine == 0 {
		t.Fatal("the engine's process was not found")
	}
	resume := func() { _ = syscall.Kill(engine, syscall.SIGCONT) }
	t.Cleanup(resume)
	load := s.load("hello")
	r.hello("two")
	r.write("Dockerfile", "FROM scratch\nCOPY hello answer /\nENV START_AFTER=20s\nENTRYPOINT [\"/hello\"]\n")
	r.commit("slow to start")
	r.push()
	s.eventually("the new instance is waited for", 60*time.Second, func() error {
		if list := s.containers("hello"); len(list) != 2 || list[0].State != "running" || list[1].State != "running" {
			return fmt.Errorf("there are %v", list)
		}
		return nil
	})
	if err := syscall.Kill(engine, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	took := s.down()
	t.Logf("stopped in %v", took)
	if took > 10*time.Second {
		t.Errorf("stopping took %v, want at most 10 s", took)
	}
	resume()
	s.up()
	s.answers("hello", "two")
	s.settled("hello")
	s.converges("hello", time.Now())
	load.check(500)
	s.nothingLeft("hello")
}

// follows reports whether all that is left is the follower of a log, which is a client.
func follows(left []string) bool {
	for _, p := range left {
		if !strings.Contains(p, " logs hello --run -f") {
			return false
		}
	}
	return true
}

// While the service is away for a while its apps run on, and when it is back it finds them: it starts nothing.
func TestContainersAreAdopted(t *testing.T) {
	s := start(t, "--registry-mirror", "docker.io="+mirror(t))
	s.quick("hello")
	r := s.clone("hello")
	r.hello("one")
	r.push()
	s.answers("hello", "one")
	s.settled("hello")
	s.converges("hello", time.Now())
	for _, how := range []string{"killed", "stopped"} {
		before, ingress := containerIDs(s.containers("hello")), s.ingressPID()
		load := s.load("hello")
		if how == "killed" {
			s.kill()
		} else {
			s.down()
		}
		time.Sleep(5 * time.Second)
		began := time.Now()
		s.up()
		t.Logf("%s: ready again in %v", how, time.Since(began).Round(time.Millisecond))
		time.Sleep(2 * time.Second) // what it wants to change it would have begun to
		if after := containerIDs(s.containers("hello")); !slices.Equal(before, after) {
			t.Errorf("%s: the containers were %v and are %v", how, before, after)
		}
		if pid := s.ingressPID(); pid != ingress {
			t.Errorf("%s: the ingress was process %d and is process %d", how, ingress, pid)
		}
		load.check(300)
	}
	s.nothingLeft("hello")
	s.down()
	l := s.logged()
	l.sound(t)
	if err := s.runs(l.app(t, "hello")); err != nil {
		t.Error(err)
	}
}
