package main

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"shiplog/internal/deploy"
)

// container is what the engine says of one.
type container struct {
	ID      string `json:"Id"`
	ImageID string
	State   string
	Names   []string
	Labels  map[string]string
	Digests []string `json:"-"`
}

// containers asks the engine for every container of an app, in any state.
func (s *site) containers(app string) []container {
	s.t.Helper()
	var list []container
	s.ask(`/containers/json?all=true&filters=`+url.QueryEscape(`{"label":["shiplog.name=`+app+`"]}`), &list)
	for i := range list {
		var image struct{ RepoDigests []string }
		s.ask("/images/"+list[i].ImageID+"/json", &image)
		for _, d := range image.RepoDigests {
			_, digest, _ := strings.Cut(d, "@")
			list[i].Digests = append(list[i].Digests, digest)
		}
	}
	return list
}

func containerIDs(list []container) (ids []string) {
	for _, c := range list {
		ids = append(ids, c.ID)
	}
	return ids
}

// runs checks that the engine runs exactly what an app's state says: as many containers, of that generation and image.
func (s *site) runs(a deploy.App) error {
	left := map[string]int{}
	for name := range a.Serving {
		c, _ := a.Specs[a.Serving[name].SpecHash].Component(name)
		left[name] = max(1, c.InstanceCount)
	}
	for _, c := range s.containers(a.Name) {
		name := c.Labels["shiplog.component"]
		serving, ok := a.Serving[name]
		if !ok || c.Labels["shiplog.generation"] != strconv.FormatUint(serving.Generation, 10) {
			return fmt.Errorf("%v of generation %s is left, where %s serves generation %d", c.Names, c.Labels["shiplog.generation"], name, serving.Generation)
		}
		if c.State != "running" || !strings.Contains(strings.Join(c.Digests, " "), string(serving.Target.Digest)) {
			return fmt.Errorf("%v is %s and of %v, want %s", c.Names, c.State, c.Digests, serving.Target.Digest)
		}
		left[name]--
	}
	for name, n := range left {
		if n != 0 {
			return fmt.Errorf("%d containers of %s are missing", n, name)
		}
	}
	return nil
}

// nothingLeft waits until everything that builds, pushes and rollouts use for a while is gone: the tests have the
// process, network and mount namespaces to themselves, so whatever is there is ours.
func (s *site) nothingLeft(app string) {
	s.t.Helper()
	s.eventually("nothing is left behind", 10*time.Second, func() error {
		if found := s.leftovers(app); len(found) > 0 {
			return fmt.Errorf("left behind:\n%s", strings.Join(found, "\n"))
		}
		return nil
	})
}

func (s *site) leftovers(app string) (found []string) {
	s.t.Helper()
	add := func(what string, names ...string) {
		for _, n := range names {
			found = append(found, what+" "+n)
		}
	}
	running := len(s.containers(app))
	for _, dir := range []string{s.path("work"), s.path("git")} {
		list, err := os.ReadDir(dir)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, e := range list {
			if e.Name() != app+".git" {
				add("in "+filepath.Base(dir), e.Name())
			}
		}
	}
	working, _ := filepath.Glob(s.path("storage", "layers-*", "graph", "overlay-containers", "*", "userdata"))
	add("working container", working...)
	locks, _ := filepath.Glob(s.path("git", app+".git", "refs", "*", "*.lock"))
	add("git lock", locks...)
	add("git temporary", s.quarantines(app)...)

	links, err := net.Interfaces()
	if err != nil {
		s.t.Fatal(err)
	}
	veths := 0
	for _, l := range links {
		if strings.HasPrefix(l.Name, "sb") {
			add("link", l.Name)
		}
		if strings.HasPrefix(l.Name, "veth") {
			veths++
		}
	}
	if veths != running {
		add("links", fmt.Sprintf("%d veths for %d containers", veths, running))
	}
	named, _ := os.ReadDir("/run/netns")
	if len(named) > running {
		add("network namespaces", fmt.Sprintf("%d for %d containers", len(named), running))
	}
	add("process", s.strangers()...)
	add("cgroup", s.buildCgroups()...)
	if mounts, err := os.ReadFile("/proc/self/mountinfo"); err != nil || strings.Contains(string(mounts), s.dir) {
		add("mount below", s.dir)
	}
	return found
}

// quarantines lists where git keeps the objects of a push that it has not taken yet.
func (s *site) quarantines(app string) (list []string) {
	for _, pattern := range []string{"incoming-*", "tmp_objdir-*"} {
		found, _ := filepath.Glob(s.path("git", app+".git", "objects", pattern))
		list = append(list, found...)
	}
	return list
}

// path is a path in the data directory.
func (s *site) path(name ...string) string { return filepath.Join(append([]string{s.dir}, name...)...) }

// process is one that runs now.
type process struct {
	pid     int
	command string // with its arguments
	mounts  string // that it sees
}

// processes lists what runs in the tests' namespaces, but process 1 and the tests themselves.
func (s *site) processes() (list []process) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == 1 || pid == os.Getpid() {
			continue
		}
		command, err := os.ReadFile("/proc/" + e.Name() + "/cmdline")
		if err != nil || len(command) == 0 {
			continue // it ended, or is a zombie that process 1 has not buried yet
		}
		mounts, _ := os.ReadFile("/proc/" + e.Name() + "/mountinfo")
		list = append(list, process{pid, strings.ReplaceAll(strings.TrimRight(string(command), "\x00"), "\x00", " "), string(mounts)})
	}
	return list
}

// strangers lists the processes that are neither the tests, the service, the ingress, the engine nor an app, and those
// that hold the data directory mounted, as builds do.
func (s *site) strangers() (found []string) {
	for _, p := range s.processes() {
		if !expected(p.command) || strings.Contains(p.mounts, s.dir+"/") {
			found = append(found, fmt.Sprint(p.pid, " ", p.command))
		}
	}
	return found
}

// expected reports whether a process is of those that are there all the time.
func expected(command string) bool {
	for _, known := range []string{
		built.shiplog + " serve", built.shiplog + " ingress", "podman ", "/usr/bin/podman ", "conmon ", "/usr/bin/conmon ", "/hello", "catatonit",
		"/dev/init", "/run/podman-init", "/usr/lib/podman/aardvark-dns", "/usr/libexec/podman/",
	} {
		if strings.HasPrefix(command, known) {
			return true
		}
	}
	return false
}

// buildCgroups lists the cgroups of single builds of this site: other people's tests may use the same tree.
func (s *site) buildCgroups() (found []string) {
	sum := sha256.Sum256([]byte(s.path("storage")))
	parent := fmt.Sprintf("shiplog-build-%x", sum[:3])
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && filepath.Base(filepath.Dir(path)) == parent {
			found = append(found, path)
			return fs.SkipDir
		}
		return nil
	})
	return found
}
