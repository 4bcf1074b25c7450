package git

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"
)

// special are the networks that are not the public internet though Addr's own tests do not say so.
var special = prefixes(
	"0.0.0.0/8",       // this host
	"100.64.0.0/10",   // carriers' shared space; some clouds' metadata
	"192.0.0.0/24",    // protocol assignments
	"192.0.2.0/24",    // documentation
	"192.88.99.0/24",  // 6to4 relays
	"198.18.0.0/15",   // benchmarks
	"198.51.100.0/24", // documentation
	"203.0.113.0/24",  // documentation
	"240.0.0.0/4",     // reserved, and broadcast
	"::/96",           // old embedded IPv4
	"64:ff9b:1::/48",  // local NAT64
	"100::/64",        // discard
	"2001::/23",       // protocol assignments, Teredo
	"2001:db8::/32",   // documentation
	"3fff::/20",       // documentation
	"5f00::/16",       // segment routing
	"fec0::/10",       // old site-local
)

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// embedded are the networks whose addresses stand for an IPv4 address, at the byte it begins.
var embedded = map[netip.Prefix]int{
	netip.MustParsePrefix("64:ff9b::/96"): 12, // NAT64
	netip.MustParsePrefix("2002::/16"):    2,  // 6to4
}

// public reports whether an address is one of the public internet.
func public(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for network, at := range embedded {
		if network.Contains(a) {
			b := a.As16()
			return public(netip.AddrFrom4([4]byte(b[at : at+4])))
		}
	}
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsMulticast() {
		return false
	}
	return !slices.ContainsFunc(special, func(p netip.Prefix) bool { return p.Contains(a) })
}

// guard lets connections through to public addresses and to listed networks.
type guard struct {
	allow []netip.Prefix

	mu      sync.Mutex
	refused error // the last refusal: libraries in between lose it
}

// check refuses an address. It sees what a name resolved to, at the moment of connecting.
func (g *guard) check(address string) error {
	ap, err := netip.ParseAddrPort(address)
	if err == nil {
		a := ap.Addr().Unmap().WithZone("")
		if public(a) || slices.ContainsFunc(g.allow, func(p netip.Prefix) bool { return p.Contains(a) }) {
			return nil
		}
		address = a.String()
	}
	err = fmt.Errorf("%w: %s is not a public address; allow its network with --source-allow", ErrRefused, address)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.refused = err
	return err
}

// reason returns the refusal when an error is for one.
func (g *guard) reason(err error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.refused != nil && !errors.Is(err, ErrRefused) {
		return g.refused
	}
	return err
}

// dial connects, and refuses at connect.
func (g *guard) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{
		Timeout: 10 * time.Second,
		Control: func(_, address string, _ syscall.RawConn) error { return g.check(address) },
	}
	return d.DialContext(ctx, network, address)
}
