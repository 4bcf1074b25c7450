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

// outOfMemory reports whether the kernel killed a process for want of memory. The old hierarchies count that in the
// killed process's own cgroup, which runc has removed: there, a process that was killed at the limit must do.
func (g *cgroup) outOfMemory(reason string) bool {
	killed := strings.Contains(reason, "exit status 137") || strings.Contains(reason, "killed")
	return g.count("memory.events", "oom_kill") > 0 || g.count("memory.oom_control", "oom_kill") > 0 ||
		killed && g.count("memory.max_usage_in_bytes", "") >= max(1, g.count("memory.limit_in_bytes", ""))
}

// outOfProcesses reports whether the limit of processes was hit.
func (g *cgroup) outOfProcesses() bool {
	peak, limit := g.count("pids.peak", ""), g.count("pids.max", "")
	return g.count("pids.events", "max") > 0 || peak > 0 && peak >= limit
}

// count reads a number from a file of the cgroup: the one after key in a file of many. It is 0 where there is none.
func (g *cgroup) count(file, key string) (n int64) {
	if g == nil {
		return 0
	}
	for _, t := range g.trees {
		data, _ := os.ReadFile(filepath.Join(t.dir, g.name, file))
		for line := range strings.Lines(string(data)) {
			value, ok := strings.CutPrefix(strings.TrimSpace(line), key)
			if v, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64); ok && err == nil {
				n = max(n, v)
			}
		}
	}
	return n
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
