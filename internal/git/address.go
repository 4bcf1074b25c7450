package git

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"shiplog/internal/inet"
)

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
		if inet.Public(a) || inet.Contains(g.allow, a) {
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
