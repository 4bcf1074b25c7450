package engine

import (
	"io"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"shiplog/events"
)

// What a container may do, as seen from inside it.
func TestCage(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	i := b.roll(b.rollout("web", 1))[0]
	status := map[string]string{}
	for line := range strings.Lines(file(t, i, "/proc/self/status")) {
		key, value, _ := strings.Cut(line, ":")
		status[key] = strings.TrimSpace(value)
	}
	// chown 0, dac_override 1, fowner 3, kill 5, setgid 6, setuid 7, net_bind_service 10
	const caps = 1<<0 | 1<<1 | 1<<3 | 1<<5 | 1<<6 | 1<<7 | 1<<10
	for _, set := range []string{"CapPrm", "CapEff", "CapBnd"} {
		if got, err := strconv.ParseUint(status[set], 16, 64); err != nil || got != caps {
			t.Errorf("%s is %s, want %016x", set, status[set], caps)
		}
	}
	if got, _ := strconv.ParseUint(status["CapInh"], 16, 64); got&^caps != 0 {
		t.Errorf("CapInh is %s", status["CapInh"])
	}
	if status["NoNewPrivs"] != "1" || status["Seccomp"] != "2" {
		t.Errorf("no_new_privs %s, seccomp %s", status["NoNewPrivs"], status["Seccomp"])
	}
	var own syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &own); err != nil {
		t.Fatal(err)
	}
	limits := file(t, i, "/proc/self/limits")
	if want := strconv.FormatUint(min(own.Max, 65536), 10); !strings.Contains(squeeze(limits), "Max open files "+want+" "+want) {
		t.Errorf("limits, with %s files ours:\n%s", want, limits)
	}
	if strings.Contains(squeeze(limits), "Max processes unlimited") {
		t.Errorf("limits:\n%s", limits)
	}
	mounts := file(t, i, "/proc/self/mountinfo")
	for line := range strings.Lines(mounts) {
		f := strings.Fields(line)
		if root, at := f[3], f[4]; strings.HasPrefix(root, "/home") || slices.Contains([]string{"/var/run/docker.sock", "/run/podman/podman.sock", "/host"}, at) {
			t.Errorf("mounted: %s", line)
		}
	}
	if pid1 := file(t, i, "/proc/1/comm"); pid1 == "app\n" && !b.noInit.Load() {
		t.Error("the app is process 1: no init")
	}
	if _, code := ask(t, i, "/file?path=/proc/kcore"); code == 200 {
		t.Error("/proc/kcore can be read")
	}
	for path, want := range map[string]string{
		"/sys/fs/cgroup/memory/memory.limit_in_bytes": strconv.Itoa(DefaultMemory), "/sys/fs/cgroup/memory.max": strconv.Itoa(DefaultMemory),
		"/sys/fs/cgroup/pids/pids.max": strconv.Itoa(PidsLimit), "/sys/fs/cgroup/pids.max": strconv.Itoa(PidsLimit),
	} {
		if got, code := ask(t, i, "/file?path="+path); code == 200 && strings.TrimSpace(got) != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
	if seen := strings.Contains(mounts, "cgroup"); !seen {
		t.Error("no cgroup is mounted: its limits cannot be checked")
	}
}

// Components of one app know each other by name; other apps cannot be reached, by name or address. Not beside other
// tests, which empty networks all the time: see mendIsolation.
func TestNetworks(t *testing.T) {
	b := newBench(t)
	web, api := b.roll(b.rollout("web", 1))[0], b.roll(b.rollout("api", 7))[0]
	if got := get(t, web, "/fetch?url=http://api:8080/"); got != "v7" {
		t.Errorf("api answers %q", got)
	}
	stranger := b.rollout("db", 3)
	stranger.App = events.NewID()
	b.removeAtEnd(stranger.App)
	up, err := b.Roll(t.Context(), stranger, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if got := get(t, up[0], "/"); got != "v3" {
		t.Fatalf("it answers us %q", got)
	}
	apart := func(when string) {
		t.Helper()
		for _, url := range []string{"http://db:8080/", "http://" + up[0].Address + "/", "http://" + up[0].Name + ":8080/"} {
			if got, code := ask(t, web, "/fetch?url="+url); code != 502 {
				t.Errorf("%s, another app at %s answers %d %s", when, url, code, got)
			}
		}
	}
	apart("at first")
	third := stranger
	third.App = events.NewID()
	b.removeAtEnd(third.App)
	for _, end := range []string{"a retirement", "a deletion"} {
		gone, err := b.Roll(t.Context(), third, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if end == "a retirement" {
			err = b.Retire(t.Context(), gone, 0)
		} else {
			err = b.RemoveApp(t.Context(), third.App)
		}
		if err != nil {
			t.Fatal(err)
		}
		apart("after " + end + " in a third app")
	}
	if got := get(t, web, "/fetch?url=http://"+api.Address+"/"); got != "v7" { // the way itself works
		t.Errorf("by address api answers %q", got)
	}
	if err := b.RemoveApp(t.Context(), stranger.App); err != nil {
		t.Fatal(err)
	}
	if all := b.instances(); len(all) != 2 {
		t.Errorf("left %+v", all)
	}
	if err := b.RemoveApp(t.Context(), stranger.App); err != nil {
		t.Errorf("again: %v", err)
	}
	if b.RemoveApp(t.Context(), "") == nil {
		t.Error("removed every app")
	}
}

// Environment and command.
func TestCommand(t *testing.T) {
	d := &Docker{instance: "x"}
	c := d.config(Rollout{App: "a", Command: "exec /app --flag 'a b'", Port: 80, Env: map[string]string{"B": "2", "A": "x=y\n"}}, 1, "img")
	if !slices.Equal(c.Entrypoint, []string{"/bin/sh", "-c"}) || !slices.Equal(c.Cmd, []string{"exec /app --flag 'a b'"}) {
		t.Errorf("%q %q", c.Entrypoint, c.Cmd)
	}
	if !slices.Equal(c.Env, []string{"A=x=y\n", "B=2", "PORT=80"}) {
		t.Errorf("%q", c.Env)
	}
	if c = d.config(Rollout{App: "a"}, 1, "img"); c.Entrypoint != nil || c.Cmd != nil || c.Env != nil {
		t.Errorf("%+v", c)
	}
	if c = d.config(Rollout{App: "a", Port: 80, Env: map[string]string{"PORT": "90"}}, 1, "img"); !slices.Equal(c.Env, []string{"PORT=90"}) {
		t.Errorf("%q", c.Env)
	}
}

func squeeze(s string) string { return strings.Join(strings.Fields(s), " ") }
