package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const canary = "canary-4e1c9b7a2d"

// staged is a Dockerfile of several stages that wants a build argument and a secret; the one to build is live.
const staged = `FROM busybox AS build
ARG FLAVOUR
COPY answer /
RUN --mount=type=secret,id=API_KEY test "$(head -c 6 /run/secrets/API_KEY)" = canary && echo "$(cat /answer) $FLAVOUR" > /out
FROM scratch AS live
COPY hello /
COPY --from=build /out /answer
ENTRYPOINT ["/hello"]
FROM busybox AS other
RUN echo this is not the stage that was asked for && false
`

const stagedSpec = `  build_target: live
  envs:
  - {key: FLAVOUR, value: vanilla, scope: BUILD_TIME}
  - {key: API_KEY, value: ` + canary + `, type: SECRET}
`

func TestBuild(t *testing.T) {
	s := start(t, "--registry-mirror", "docker.io="+mirror(t))
	s.create(specOf("shop", s.remote("shop"), stagedSpec))
	r := s.clone("shop")
	r.hello("one")
	r.write("Dockerfile", staged)
	r.commit("stages")
	r.push()
	s.answers("shop", "one vanilla")
	s.settled("shop")

	out, err := s.both("deploy", "shop", "--wait")
	if err != nil || !strings.Contains(out, "build skipped") || s.count("shop", "BuildStarted") != 1 {
		t.Errorf("deploy of what was built (%v, %d builds) says:\n%s", err, s.count("shop", "BuildStarted"), out)
	}
	s.shiplog("deploy", "shop", "--wait", "--force")
	if log := s.shiplog("logs", "shop", "--build"); s.count("shop", "BuildStarted") != 2 || !strings.Contains(log, "Using cache") {
		t.Errorf("--force made %d builds, and its log is:\n%s", s.count("shop", "BuildStarted"), log)
	}
	s.shiplog("deploy", "shop", "--wait", "--no-cache")
	if log := s.shiplog("logs", "shop", "--build"); s.count("shop", "BuildStarted") != 3 || strings.Contains(log, "Using cache") {
		t.Errorf("--no-cache made %d builds, and its log is:\n%s", s.count("shop", "BuildStarted"), log)
	}
	s.shiplog("clear-cache", "--yes")
	s.shiplog("deploy", "shop", "--wait", "--force")
	if log := s.shiplog("logs", "shop", "--build"); s.count("shop", "BuildStarted") != 4 || strings.Contains(log, "Using cache") {
		t.Errorf("after the cache was cleared there were %d builds, and the log is:\n%s", s.count("shop", "BuildStarted"), log)
	}

	r.write("Dockerfile", "FROM busybox\n")
	r.commit("no such stage")
	r.push()
	s.fails("shop", "build", "no stage called live", "build_target")
	r.write("Dockerfile", "FROM busybox AS live\nCOPY answer /\nRUN echo about to fail && cat /answer && exit 7\n")
	r.commit("fails")
	r.push()
	d := s.fails("shop", "build", "Dockerfile:3", "RUN echo about to fail", "7")
	if !strings.Contains(d.Failure.Log, "about to fail") {
		t.Errorf("the event of the failed build ends with %q", d.Failure.Log)
	}
	if log := s.shiplog("logs", "shop", "--build"); !strings.Contains(log, "about to fail") || !strings.Contains(log, "Dockerfile:3") {
		t.Errorf("the log of the failed build:\n%s", log)
	}
	r.git("rm", "-q", "Dockerfile")
	r.commit("none")
	r.push()
	s.fails("shop", "build", `no Dockerfile at "Dockerfile"`, "dockerfile_path")
	if got, err := s.get("shop"); err != nil || got != "one vanilla" {
		t.Errorf("after builds that failed it answers %q, %v", got, err)
	}

	for what, text := range map[string]string{
		"history": s.shiplog("history", "shop", "-n", "0", "-o", "json"), "the app": s.shiplog("apps", "get", "shop", "-o", "json"),
		"the log": s.shiplog("logs", "shop"), "the projection": s.dump(),
	} {
		if strings.Contains(text, canary) {
			t.Errorf("%s shows the secret", what)
		}
	}
	s.down()
	s.holdsNo(canary)
}

// holdsNo fails when a text is in a file of the data directory, or in the service's own log.
func (s *site) holdsNo(text string) {
	s.t.Helper()
	files := 0
	err := filepath.WalkDir(filepath.Dir(s.dir), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if files++; bytes.Contains(b, []byte(text)) {
			s.t.Errorf("%s holds %s", path, text)
		}
		return err
	})
	if err != nil || files < 20 {
		s.t.Errorf("looked into %d files: %v", files, err)
	}
}

// both is try, with what was printed on stderr too.
func (s *site) both(args ...string) (string, error) {
	cmd := exec.Command(built.shiplog, args...)
	cmd.Env = append(os.Environ(), "SHIPLOG_URL="+s.url, "SHIPLOG_TOKEN="+s.token, "NO_COLOR=1")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// newest returns an app's newest deployment.
func (s *site) newest(app string) deploymentAnswer {
	s.t.Helper()
	var reply struct{ Deployments []deploymentAnswer }
	if err := s.api("GET", "/v2/apps/"+s.id(app)+"/deployments?per_page=1", nil, &reply); err != nil {
		s.t.Fatal(err)
	}
	if len(reply.Deployments) == 0 {
		return deploymentAnswer{}
	}
	return reply.Deployments[0]
}

// fails waits until the newest deployment, which was just asked for, has failed at a step, for a reason that holds all texts.
func (s *site) fails(app, step string, want ...string) (d deploymentAnswer) {
	s.t.Helper()
	s.eventually("the deployment fails", 60*time.Second, func() error {
		if d = s.newest(app); d.Phase != "ERROR" || s.seen[d.ID] {
			return fmt.Errorf("%s is %s", d.ID, d.Phase)
		}
		return nil
	})
	if s.seen == nil {
		s.seen = map[string]bool{}
	}
	s.seen[d.ID] = true
	if d.Failure == nil || d.Failure.Step != step {
		s.t.Fatalf("it failed with %+v, want a failure at %s", d.Failure, step)
	}
	s.t.Logf("%s: %s", step, d.Failure.Reason)
	for _, text := range want {
		if !strings.Contains(d.Failure.Reason, text) {
			s.t.Errorf("the reason does not name %q: %s", text, d.Failure.Reason)
		}
	}
	return d
}

// What a build can reach of the service and its host: nothing.
func TestBuildReachesNothingOfTheService(t *testing.T) {
	s := start(t, "--registry-mirror", "docker.io="+mirror(t))
	s.shiplog("apps", "create", "hello")
	r := s.clone("hello")
	r.hello("one")
	r.push()
	s.answers("hello", "one") // the engine has made a network, and the host has its address
	if out, err := exec.Command("ip", "address", "add", "169.254.169.254/32", "dev", "lo").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("ip", "address", "del", "169.254.169.254/32", "dev", "lo").Run() })
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "hello from", r.Host) })}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	_, port, _ := net.SplitHostPort(l.Addr().String())
	var registry string
	for i, a := range s.args {
		if a == "--registry-listen" {
			registry = s.args[i+1]
		}
	}
	targets := map[string]string{"api": strings.TrimPrefix(s.url, "http://"), "registry": registry, "ingress": s.ingress, "loopback": "127.0.0.1:" + port, "metadata": "169.254.169.254:" + port}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	others := 0
	for i, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() {
			targets[fmt.Sprint("own-", i)] = net.JoinHostPort(n.IP.String(), port)
			others++
		}
	}
	if others == 0 {
		t.Fatal("the host has no address but loopback")
	}
	script := "#!/bin/sh\n"
	for name, addr := range targets {
		if conn, err := net.DialTimeout("tcp", addr, time.Second); err != nil {
			t.Fatalf("%s cannot be reached from here either: %v", name, err)
		} else {
			_ = conn.Close()
		}
		host, port, _ := net.SplitHostPort(addr)
		script += fmt.Sprintf("printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 2 %s %s | busybox grep -q . && echo '<reached %s>' || echo '<blocked %s>'\n", host, port, name, name)
	}
	script += "cat " + s.dir + "/admin.token " + s.dir + "/hooks.json; ls " + s.dir + " " + filepath.Dir(s.dir) + "; cat /proc/1/root" + s.dir + "/admin.token; env\ntrue\n"
	r.write("look.sh", script)
	r.write("Dockerfile", "FROM busybox\nCOPY look.sh /\nRUN sh /look.sh\nCOPY hello answer /\nENTRYPOINT [\"/hello\"]\n")
	r.write("answer", "two\n")
	r.commit("look around")
	r.push()
	s.answers("hello", "two")
	log := s.shiplog("logs", "hello", "--build")
	for name, addr := range targets {
		if !strings.Contains(log, "<blocked "+name+">") || strings.Contains(log, "<reached "+name+">") {
			t.Errorf("a build can reach %s at %s", name, addr)
		}
	}
	for _, secret := range []string{s.token, "admin.token\n", "projection.db", "SHIPLOG_"} {
		if strings.Contains(log, secret) {
			t.Errorf("a build sees %q:\n%s", secret, log)
		}
	}
}

// Cancel ends a deployment wherever it is, and nothing is left of it.
func TestCancel(t *testing.T) {
	s := start(t, "--registry-mirror", "docker.io="+mirror(t))
	first, second := s.clone("first"), s.clone("second")
	for name, r := range map[string]*repo{"first": first, "second": second} {
		s.create(specOf(name, s.remote(name), "  health_check: {period_seconds: 1, failure_threshold: 50}\n"))
		r.hello(name)
		r.push()
	}
	s.answers("first", "first")
	s.answers("second", "second")
	s.settled("first")
	s.settled("second")

	slow := "FROM busybox\nRUN sleep 271\n"
	for _, r := range []*repo{first, second} {
		r.write("Dockerfile", slow)
		r.commit("sleeps")
	}
	first.push()
	s.phase("first", "BUILDING")
	s.eventually("it sleeps", 20*time.Second, func() error {
		if len(processes("sleep\x00271")) == 0 {
			return fmt.Errorf("it does not")
		}
		return nil
	})
	second.push()
	s.phase("second", "PENDING_BUILD")
	if out := s.shiplog("queue"); !strings.Contains(out, "waits for a builder") || !strings.Contains(out, "building") {
		t.Errorf("the queue:\n%s", out)
	}
	s.shiplog("cancel", "second", "--reason", "queued too long")
	s.phase("second", "CANCELED")
	began := time.Now()
	s.shiplog("cancel", "first")
	s.phase("first", "CANCELED")
	s.eventually("the build is gone", 20*time.Second, func() error {
		if left := processes("sleep\x00271"); len(left) > 0 {
			return fmt.Errorf("processes %v are left", left)
		}
		return s.workLeft()
	})
	t.Logf("a build was gone %v after it was canceled", time.Since(began).Round(time.Millisecond))

	second.write("Dockerfile", "FROM busybox\nCMD [\"sleep\", \"272\"]\n")
	second.commit("never healthy")
	second.push()
	s.phase("second", "DEPLOYING")
	s.eventually("it runs", 20*time.Second, func() error {
		if len(processes("sleep\x00272")) == 0 {
			return fmt.Errorf("it does not")
		}
		return nil
	})
	s.shiplog("cancel", "second")
	s.phase("second", "CANCELED")
	s.eventually("its instance is gone", 30*time.Second, func() error {
		if left := processes("sleep\x00272"); len(left) > 0 {
			return fmt.Errorf("processes %v are left", left)
		}
		var containers []json.RawMessage
		if s.ask("/containers/json?all=true", &containers); len(containers) != 2 {
			return fmt.Errorf("%d containers, want the 2 that serve", len(containers))
		}
		return s.workLeft()
	})
	for _, name := range []string{"first", "second"} {
		if got, err := s.get(name); err != nil || got != name {
			t.Errorf("%s answers %q, %v", name, got, err)
		}
	}
	if _, err := s.try("cancel", "second"); err == nil || !strings.Contains(err.Error(), "nothing to cancel") {
		t.Errorf("cancel of nothing: %v", err)
	}
	second.hello("better")
	second.push()
	s.answers("second", "better")
}

// phase waits until an app's newest deployment is in a phase.
func (s *site) phase(app, phase string) {
	s.t.Helper()
	s.eventually(app+" is "+phase, 30*time.Second, func() error {
		if d := s.newest(app); d.Phase != phase {
			return fmt.Errorf("it is %s", d.Phase)
		}
		return nil
	})
}

// processes lists those whose command line holds a text.
func processes(text string) (found []string) {
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range all {
		if b, err := os.ReadFile(path); err == nil && strings.Contains(string(b), text) {
			found = append(found, path)
		}
	}
	return found
}

// workLeft reports what a build left in the data directory's work folder, or mounted below it.
func (s *site) workLeft() error {
	work, err := os.ReadDir(filepath.Join(s.dir, "work"))
	if err != nil || len(work) > 0 {
		return fmt.Errorf("work holds %v, %v", work, err)
	}
	for _, list := range append([]string{"/proc/self/mounts"}, fmt.Sprintf("/proc/%d/mounts", s.cmd.Process.Pid)) {
		mounts, err := os.ReadFile(list)
		if err != nil {
			return err
		}
		if strings.Contains(string(mounts), s.dir+"/") {
			return fmt.Errorf("something is mounted below %s", s.dir)
		}
	}
	return nil
}
