package engine

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/system"
)

var semver = regexp.MustCompile(`\b(\d+)\.(\d+)(?:\.(\d+))?`)

// runtimeWarnings tells of runtimes without the fixes of November 2025 for escapes from containers (runc 1.2.8, 1.3.3 and
// 1.4.0; crun 1.25). Distributions may have them in older versions.
func runtimeWarnings(parts []system.ComponentVersion) []string {
	var w []string
	for _, c := range parts {
		name := "runc"
		if strings.Contains(strings.ToLower(c.Name), "crun") {
			name = "crun"
		} else if !strings.Contains(strings.ToLower(c.Name), "runc") {
			continue
		}
		m := semver.FindStringSubmatch(c.Version) // the first: Podman tells the runtime's whole --version
		if m == nil {
			continue
		}
		major, _ := strconv.Atoi(m[1])
		minor, _ := strconv.Atoi(m[2])
		patch, _ := strconv.Atoi(m[3])
		old := major < 1 || major == 1 && (minor < 2 || minor == 2 && patch < 8 || minor == 3 && patch < 3)
		if name == "crun" {
			old = major < 1 || major == 1 && minor < 25
		}
		if old {
			w = append(w, fmt.Sprintf("%s %s may lack the fixes of November 2025 for escapes from containers: upgrade it, or check that your distribution has them", name, m[0]))
		}
	}
	return w
}
