package builder

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cgroups is the parent of every build's cgroup, in each hierarchy that the host has mounted: one on a unified (v2)
// host, one for each controller on an older one, both on a hybrid host. A nil *cgroups makes builds without limits.
//
// A build's processes live in <parent>/<job>/main and runc's containers beside or below it; the limits are on
// <parent>/<job>. They must be in every hierarchy, because runc makes directories in all of them and a killed runc
// removes none.
type cgroups struct {
	name   string
	limits Limits
	trees  []cgroupTree
}

// cgroupTree is one mounted hierarchy.
type cgroupTree struct {
	dir         string // where our parent directory is
	controllers []string
	unified     bool
}

// openCgroups finds the hierarchies and makes the parent in each. An error tells what will not be limited; what it
// returns works all the same.
func openCgroups(name string, limits Limits) (*cgroups, error) {
	trees, err := findCgroupTrees()
	if err != nil {
		return nil, err
	}
	c := &cgroups{name: name, limits: limits}
	missing := []string{"memory", "pids", "cpu"}
	var errs []error
	for _, t := range trees {
		t.dir = filepath.Join(t.dir, name)
		if err := t.make(t.dir); err != nil {
			errs = append(errs, err)
			continue
		}
		if t.unified {
			t.controllers = enableControllers(t.dir)
		}
		missing = slices.DeleteFunc(missing, func(m string) bool { return slices.Contains(t.controllers, m) })
		c.trees = append(c.trees, t)
	}
	if len(missing) > 0 {
		return c, errors.Join(fmt.Errorf("the cgroup controllers for %s cannot be used here", strings.Join(missing, ", ")), errors.Join(errs...))
	}
	return c, nil
}

// findCgroupTrees reads where cgroups are mounted. Ours go below the service's own cgroup in the old hierarchies, and
// to the top of the unified one, where a cgroup with processes may not have limited children.
func findCgroupTrees() ([]cgroupTree, error) {
	own, err := ownCgroups()
	if err != nil {
		return nil, err
	}
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var trees []cgroupTree
	for s := bufio.NewScanner(f); s.Scan(); {
		before, after, _ := strings.Cut(s.Text(), " - ")
		mount, kind := strings.Fields(before), strings.Fields(after)
		if len(mount) < 5 || len(kind) < 3 {
			continue
		}
		switch kind[0] {
		case "cgroup2":
			trees = append(trees, cgroupTree{dir: mount[4], unified: true})
		case "cgroup":
			t := cgroupTree{dir: mount[4]}
			for _, o := range strings.Split(kind[2], ",") {
				if path, ok := own[o]; ok {
					t.controllers = append(t.controllers, o)
					t.dir = filepath.Join(mount[4], strings.TrimPrefix(path, strings.TrimSuffix(mount[3], "/")))
				}
			}
			trees = append(trees, t)
		}
	}
	if len(trees) == 0 {
		return nil, errors.New("no cgroup file system is mounted")
	}
	return trees, nil
}

// ownCgroups returns the service's own cgroup for each controller of the old hierarchies.
func ownCgroups() (map[string]string, error) {
	data, err := os.ReadFile("/proc/self/cgroup")
	own := map[string]string{}
	for line := range strings.Lines(string(data)) {
		if f := strings.SplitN(strings.TrimSpace(line), ":", 3); len(f) == 3 {
			for _, c := range strings.Split(f[1], ",") {
				own[c] = f[2]
			}
		}
	}
	return own, err
}

// make makes one directory of the hierarchy. A cpuset is unusable until it has its parent's CPUs.
func (t cgroupTree) make(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if slices.Contains(t.controllers, "cpuset") {
		for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
			data, err := os.ReadFile(filepath.Join(filepath.Dir(dir), name))
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, name), data, 0o644)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// enableControllers lets the children of a unified cgroup have limits, and returns which.
func enableControllers(dir string) []string {
	for _, d := range []string{filepath.Dir(dir), dir} {
		for _, c := range []string{"memory", "pids", "cpu"} {
			_ = os.WriteFile(filepath.Join(d, "cgroup.subtree_control"), []byte("+"+c), 0o644) // read back below
		}
	}
	data, _ := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control"))
	return strings.Fields(string(data))
}

// close removes the parent directories. Those of builds must be gone.
func (c *cgroups) close() error {
	if c == nil {
		return nil
	}
	var errs []error
	for _, t := range c.trees {
		errs = append(errs, removeCgroup(t.dir))
	}
	return errors.Join(errs...)
}

// sweep kills and removes whatever an earlier process left below our parents.
func (c *cgroups) sweep() error {
	if c == nil {
		return nil
	}
	var errs []error
	for _, t := range c.trees {
		entries, err := os.ReadDir(t.dir)
		errs = append(errs, err)
		for _, e := range entries {
			if e.IsDir() {
				killCgroup(filepath.Join(t.dir, e.Name()))
				errs = append(errs, removeCgroup(filepath.Join(t.dir, e.Name())))
			}
		}
	}
	return errors.Join(errs...)
}

// killCgroup kills every process of a cgroup and those below it.
func killCgroup(dir string) {
	if os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0o644) == nil {
		return
	}
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil
		}
		data, _ := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		for _, f := range strings.Fields(string(data)) {
			if pid, err := strconv.Atoi(f); err == nil && pid > 1 {
				_ = unix.Kill(pid, unix.SIGKILL)
			}
		}
		return nil
	})
}

// removeCgroup removes a cgroup and those below it. The kernel needs a moment after the last process is gone.
func removeCgroup(dir string) error {
	var err error
	for range 100 {
		var dirs []string
		_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, werr error) error {
			if werr == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		slices.Reverse(dirs)
		err = nil
		for _, d := range dirs {
			if rerr := os.Remove(d); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
				err = rerr
			}
		}
		if err == nil {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("remove the cgroup %s: %w", dir, err)
}
