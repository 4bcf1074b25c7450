package builder

import (
	"net"
	"net/netip"
	"os"
	"strings"
)

// isOwn reports whether an address is one of this host's.
func isOwn(a netip.Addr) bool {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return true // when in doubt, refuse
	}
	for _, x := range addrs {
		if p, err := netip.ParsePrefix(x.String()); err == nil && p.Addr().WithZone("") == a.Unmap().WithZone("") {
			return true
		}
	}
	return false
}

// nameservers returns the host's IPv4 nameservers that can be asked from another network namespace.
func nameservers() []netip.Addr {
	// systemd-resolved writes a stub on loopback into resolv.conf and the servers behind it here.
	for _, file := range []string{"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"} {
		data, _ := os.ReadFile(file)
		if found := parseNameservers(string(data)); len(found) > 0 {
			return found
		}
	}
	return nil
}

// parseNameservers reads resolv.conf(5), at most three servers.
func parseNameservers(conf string) []netip.Addr {
	var found []netip.Addr
	for line := range strings.Lines(conf) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != "nameserver" {
			continue
		}
		a, err := netip.ParseAddr(f[1])
		if err == nil && a.Is4() && !a.IsLoopback() && !a.IsUnspecified() && len(found) < 3 {
			found = append(found, a)
		}
	}
	return found
}
