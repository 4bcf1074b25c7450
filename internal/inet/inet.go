// Package inet says which addresses belong to the public internet, for everything that connects to where a person's text
// or a stranger's redirect points: git servers, registries, and what a build step reaches.
package inet

import "net/netip"

// Private4 are the IPv4 networks that are somebody's own: IANA's special-purpose registry without the ranges for
// documentation, which lead nowhere. A firewall rule can be made of them.
var Private4 = Prefixes(
	"0.0.0.0/8",      // this host
	"10.0.0.0/8",     // private
	"100.64.0.0/10",  // carriers' shared space; some clouds' metadata
	"127.0.0.0/8",    // loopback
	"169.254.0.0/16", // link-local; most clouds' metadata
	"172.16.0.0/12",  // private
	"192.0.0.0/24",   // protocol assignments
	"192.168.0.0/16", // private
	"198.18.0.0/15",  // benchmarks
	"224.0.0.0/4",    // multicast
	"240.0.0.0/4",    // reserved, and broadcast
)

// global6 is what IPv6 has given out, and special6 the parts of it that are not the internet.
var (
	global6  = netip.MustParsePrefix("2000::/3")
	special6 = Prefixes("2001::/23", "3fff::/20") // protocol assignments with Teredo; documentation
)

// embedded are the networks whose addresses stand for an IPv4 address, at the byte where it begins.
var embedded = map[netip.Prefix]int{
	netip.MustParsePrefix("64:ff9b::/96"): 12, // NAT64
	netip.MustParsePrefix("2002::/16"):    2,  // 6to4
}

// Public reports whether an address is one of the public internet. An IPv6 address that stands for an IPv4 one is judged
// as that.
func Public(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for network, at := range embedded {
		if network.Contains(a) {
			b := a.As16()
			return Public(netip.AddrFrom4([4]byte(b[at : at+4])))
		}
	}
	if a.Is4() {
		return !Contains(Private4, a)
	}
	return global6.Contains(a) && !Contains(special6, a)
}

// Contains reports whether an address is in one of the networks.
func Contains(networks []netip.Prefix, a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, n := range networks {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// Prefixes parses networks that are written in the program. It panics on one that is not a network.
func Prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}
