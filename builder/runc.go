package builder

import (
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
)

// findRunc looks for runc and says when it lacks the escape fixes of November 2025 (CVE-2025-31133, -52565, -52881).
func (b *Builder) findRunc() error {
	path, err := exec.LookPath("runc")
	if err != nil {
		if !b.opts.Unsafe {
			return fmt.Errorf("builds need runc, which is not on the PATH: install it (apt install runc), or accept weaker isolation with --unsafe-builds")
		}
		b.warn("runc is not installed: RUN steps are isolated by chroot only (--unsafe-builds)")
		return nil
	}
	out, err := exec.Command(path, "--version").Output()
	if err != nil {
		return fmt.Errorf("ask %s for its version: %w", path, err)
	}
	b.runc = path
	version := runcVersion.FindString(string(out))
	if !runcIsFixed(version) {
		b.warn("runc %s may lack the container escape fixes of November 2025: install runc 1.2.8, 1.3.3 or newer, "+
			"or check that your distribution has patched it", version)
	}
	return nil
}

var runcVersion = regexp.MustCompile(`\d+\.\d+\.\d+\S*`)

// runcIsFixed reports whether a version of runc has the fixes. They came in 1.2.8, 1.3.3 and 1.4.0-rc.3.
func runcIsFixed(version string) bool {
	m := regexp.MustCompile(`^(\d+)\.(\d+)\.(\d+)(-rc\.([12]))?`).FindStringSubmatch(version)
	if m == nil {
		return false
	}
	n := [3]int{}
	for i := range n {
		n[i], _ = strconv.Atoi(m[i+1])
	}
	switch {
	case n[0] != 1:
		return n[0] > 1
	case n[1] == 2:
		return n[2] >= 8
	case n[1] == 3:
		return n[2] >= 3
	case n[1] == 4 && n[2] == 0:
		return m[4] == ""
	}
	return n[1] > 4 || n[1] == 4
}
