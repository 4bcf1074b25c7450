package builder

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// ownUlimits passes this process's own limits on to RUN steps: without CAP_SYS_RESOURCE they cannot be raised, and
// buildah's defaults would raise them.
func ownUlimits() []string {
	var out []string
	for _, l := range []struct {
		name     string
		resource int
	}{{"core", unix.RLIMIT_CORE}, {"nofile", unix.RLIMIT_NOFILE}, {"nproc", unix.RLIMIT_NPROC}} {
		var r unix.Rlimit
		if err := unix.Getrlimit(l.resource, &r); err == nil {
			out = append(out, fmt.Sprintf("%s=%d:%d", l.name, int64(r.Cur), int64(r.Max))) // unlimited is -1
		}
	}
	return out
}

// dnsServers is what RUN steps find in resolv.conf. Without a way out any address does: there must be one, or buildah
// takes the host's.
func dnsServers(l *link) []string {
	if l == nil || len(l.DNS) == 0 {
		return []string{netip.AddrFrom4([4]byte{127, 0, 0, 1}).String()}
	}
	out := make([]string, len(l.DNS))
	for i, a := range l.DNS {
		out[i] = a.String()
	}
	return out
}
