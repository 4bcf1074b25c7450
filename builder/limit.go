package builder

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// cgroup is one build's. A nil *cgroup limits nothing.
type cgroup struct {
	name  string
	trees []cgroupTree
}

// create makes the cgroup of a job and sets its limits.
func (c *cgroups) create(job string) (*cgroup, error) {
	if c == nil {
		return nil, nil
	}
	g := &cgroup{name: job, trees: c.trees}
	for _, t := range c.trees {
		dir := filepath.Join(t.dir, job)
		err := t.make(dir)
		if err == nil {
			err = t.limit(dir, c.limits)
		}
		if err == nil && t.unified {
			for _, controller := range t.controllers { // so that runc may set limits of its own
				_ = os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+controller), 0o644)
			}
		}
		if err == nil {
			err = t.make(filepath.Join(dir, "main"))
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("make the build's cgroup: %w", err), g.remove())
		}
	}
	return g, nil
}

// limit writes the limits that the hierarchy's controllers have.
func (t cgroupTree) limit(dir string, l Limits) error {
	memory, pids := strconv.FormatInt(l.Memory, 10), strconv.Itoa(l.PIDs)
	quota := strconv.FormatInt(int64(l.CPUs*100_000), 10)
	type setting struct{ controller, file, value string }
	settings := []setting{{"memory", "memory.limit_in_bytes", memory}, {"memory", "memory.memsw.limit_in_bytes", memory}, {"pids", "pids.max", pids}}
	if l.CPUs > 0 {
		settings = append(settings, setting{"cpu", "cpu.cfs_quota_us", quota})
	}
	if t.unified {
		settings = []setting{{"memory", "memory.max", memory}, {"memory", "memory.swap.max", "0"}, {"pids", "pids.max", pids}}
		if l.CPUs > 0 {
			settings = append(settings, setting{"cpu", "cpu.max", quota + " 100000"})
		}
	}
	for _, s := range settings {
		if !slices.Contains(t.controllers, s.controller) {
			continue
		}
		err := os.WriteFile(filepath.Join(dir, s.file), []byte(s.value), 0o644)
		if err != nil && !strings.Contains(s.file, "sw") { // kernels without swap accounting
			return err
		}
	}
	return nil
}

// add moves a process into the cgroup; what it starts is born there.
func (g *cgroup) add(pid int) error {
	if g == nil {
		return nil
	}
	for _, t := range g.trees {
		file := filepath.Join(t.dir, g.name, "main", "cgroup.procs")
		if err := os.WriteFile(file, []byte(strconv.Itoa(pid)), 0o644); err != nil {
			return fmt.Errorf("put the build into its cgroup: %w", err)
		}
	}
	return nil
}

// outOfMemory reports whether the kernel killed a process for want of memory.
func (g *cgroup) outOfMemory() bool {
	if g == nil {
		return false
	}
	for _, t := range g.trees {
		for _, file := range []string{"memory.events", "memory.oom_control"} {
			data, _ := os.ReadFile(filepath.Join(t.dir, g.name, file))
			for line := range strings.Lines(string(data)) {
				if n, ok := strings.CutPrefix(strings.TrimSpace(line), "oom_kill "); ok && n != "0" {
					return true
				}
			}
		}
	}
	return false
}

// outOfProcesses reports whether the limit of processes was hit.
func (g *cgroup) outOfProcesses() bool {
	if g == nil {
		return false
	}
	for _, t := range g.trees {
		data, _ := os.ReadFile(filepath.Join(t.dir, g.name, "pids.events"))
		if n, ok := strings.CutPrefix(strings.TrimSpace(string(data)), "max "); ok && n != "0" {
			return true
		}
	}
	return false
}

// kill kills every process in it.
func (g *cgroup) kill() {
	if g == nil {
		return
	}
	for _, t := range g.trees {
		killCgroup(filepath.Join(t.dir, g.name))
	}
}

// remove removes it; its processes must be gone.
func (g *cgroup) remove() error {
	if g == nil {
		return nil
	}
	var errs []error
	for _, t := range g.trees {
		errs = append(errs, removeCgroup(filepath.Join(t.dir, g.name)))
	}
	return errors.Join(errs...)
}

// machineMemory returns the machine's memory in bytes.
func machineMemory() int64 {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0
	}
	return int64(info.Totalram) * int64(info.Unit)
}
