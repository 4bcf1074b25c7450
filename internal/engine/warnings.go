package engine

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/system"
)

// What a container engine may lack of our promises.
const (
	warnRootless = "the container engine is rootless: its containers' addresses cannot be reached from here; run it as root"
	warnSeccomp  = "the container engine confines no system calls: enable seccomp"
	warnMemory   = "the kernel's memory controller is off: an app can take all memory"
	warnPids     = "the kernel's pids controller is off: an app can take all process ids"
)

func dockerWarnings(i system.Info) []string {
	has := func(option string) bool {
		return slices.ContainsFunc(i.SecurityOptions, func(o string) bool { return strings.Contains(o, option) })
	}
	return warnings(map[string]bool{
		warnRootless: has("name=rootless"),
		warnSeccomp:  !has("name=seccomp") || has("profile=unconfined"),
		warnMemory:   !i.MemoryLimit,
		warnPids:     !i.PidsLimit,
	})
}

// warnings also looks at controllers where Podman tells them, which is not the case with cgroup v1.
func (i podmanInfo) warnings() []string {
	v2 := i.Host.CgroupVersion == "v2"
	w := warnings(map[string]bool{
		warnRootless: i.Host.Security.Rootless,
		warnSeccomp:  !i.Host.Security.Seccomp,
		warnMemory:   v2 && !slices.Contains(i.Host.Controllers, "memory"),
		warnPids:     v2 && !slices.Contains(i.Host.Controllers, "pids"),
		"Podman uses " + i.Host.NetworkBackend + " for networks, which does not keep apps apart: install netavark and aardvark-dns": i.Host.NetworkBackend != "netavark",
	})
	return append(w, runtimeWarnings(i.Host.Runtime.Name, i.Host.Runtime.Version)...)
}

// warnings returns the texts that apply, sorted.
func warnings(all map[string]bool) []string {
	var w []string
	for text, applies := range all {
		if applies {
			w = append(w, text)
		}
	}
	slices.Sort(w)
	return w
}

var version = regexp.MustCompile(`\b(\d+)\.(\d+)(?:\.(\d+))?`)

// runtimeWarnings tells of runtimes without the fixes of November 2025 for escapes from containers (runc 1.2.8, 1.3.3 and
// 1.4.0; crun 1.25). Distributions may have them in older versions. text is the runtime's version or its whole --version.
func runtimeWarnings(name, text string) []string {
	switch name = strings.ToLower(name); {
	case strings.Contains(name, "crun"):
		name = "crun"
	case strings.Contains(name, "runc"):
		name = "runc"
	default:
		return nil
	}
	m := version.FindStringSubmatch(text)
	if m == nil {
		return nil
	}
	major, _ := strconv.Atoi(m[1])
	minor, _ := strconv.Atoi(m[2])
	patch, _ := strconv.Atoi(m[3])
	old := major < 1 || major == 1 && (minor < 2 || minor == 2 && patch < 8 || minor == 3 && patch < 3)
	if name == "crun" {
		old = major < 1 || major == 1 && minor < 25
	}
	if !old {
		return nil
	}
	return []string{fmt.Sprintf("%s %s may lack the fixes of November 2025 for escapes from containers: upgrade it, or check that your distribution has them", name, m[0])}
}
