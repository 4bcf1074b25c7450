package engine

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/system"
)

var semver = regexp.MustCompile(`\b(\d+)\.(\d+)\.(\d+)`)

// runtimeWarnings tells of runtimes without the fixes of November 2025 for escapes from containers (runc 1.2.8, 1.3.3 and
// 1.4.0; crun 1.25). Distributions may have them in older versions.
func runtimeWarnings(parts []system.ComponentVersion) []string {
	var w []string
	for _, c := range parts {
		name := strings.ToLower(c.Name)
		m := semver.FindStringSubmatch(c.Version)
		if m == nil {
			continue
		}
		major, _ := strconv.Atoi(m[1])
		minor, _ := strconv.Atoi(m[2])
		patch, _ := strconv.Atoi(m[3])
		old := false
		switch {
		case strings.Contains(name, "runc"):
			old = major < 1 || major == 1 && (minor < 2 || minor == 2 && patch < 8 || minor == 3 && patch < 3)
		case strings.Contains(name, "crun") && !strings.Contains(c.Version, "spec:"+m[0]):
			old = major < 1 || major == 1 && minor < 25
		}
		if old {
			w = append(w, fmt.Sprintf("%s may lack the escape fixes of November 2025: upgrade the container runtime, or check that your distribution has them", firstLine(c.Version, c.Name, m[0])))
		}
	}
	return w
}

// firstLine names a runtime and its version.
func firstLine(version, name, number string) string {
	if strings.Contains(strings.ToLower(name), "crun") {
		return "crun " + number
	}
	if v, _, _ := strings.Cut(version, "\n"); strings.HasPrefix(v, "runc version ") {
		return strings.Replace(v, " version", "", 1)
	}
	return "runc " + number
}
