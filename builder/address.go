package builder

import (
	"net"
	"net/netip"
	"os"
	"strings"
)

// notPublic4 are the IPv4 networks that are somebody's own: IANA's special-purpose registry without the ranges for
// documentation, which lead nowhere.
var notPublic4 = prefixes("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
	"192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4")

// public6 is what IPv6 has given out, and notPublic6 the parts of it that embed IPv4 addresses.
var (
	public6    = netip.MustParsePrefix("2000::/3")
	notPublic6 = prefixes("2001::/32", "2002::/16")
)

// isPublic reports whether an address is one of the public Internet.
func isPublic(a netip.Addr) bool {
	a = a.Unmap()
	if a.Is4() {
		return !contains(notPublic4, a)
	}
	return public6.Contains(a) && !contains(notPublic6, a)
}

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

func contains(list []netip.Prefix, a netip.Addr) bool {
	for _, p := range list {
		if p.Contains(a.Unmap()) {
			return true
		}
	}
	return false
}

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}
