package builder

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"

	"shiplog/internal/inet"
)

// addressGuard refuses connections to private addresses. It judges the address that is connected to, so that neither DNS nor a
// redirect nor a registry's word about where its tokens are made gets around it.
type addressGuard struct {
	allow   []netip.Prefix
	trusted map[string]bool // host:port of what the operator configured: our registry, mirrors
}

func (g addressGuard) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: 10 * time.Second}
	if !g.trusted[addr] {
		d.ControlContext = g.control
	}
	return d.DialContext(ctx, network, addr)
}

// control runs with the resolved address, before the connection is made.
func (g addressGuard) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil || !g.permits(to.Addr()) {
		return fmt.Errorf("%w: %s is in a private network (--source-allow lets it in)", ErrAddress, address)
	}
	return nil
}

// permits reports whether a registry may be at addr.
func (g addressGuard) permits(addr netip.Addr) bool {
	return inet.Contains(g.allow, addr) || inet.Public(addr) && !isOwn(addr)
}

// hostPort is what a client dials for u.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// guardedTransport is a transport behind the guard whose answers are bounded in size. It uses no proxy, which would
// connect in its place.
func guardedTransport(g addressGuard) http.RoundTripper {
	return limited{&http.Transport{
		DialContext:           g.dial,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 15 * time.Second,
		IdleConnTimeout:       30 * time.Second,
		MaxIdleConnsPerHost:   4,
		ForceAttemptHTTP2:     true,
	}}
}

// limited cuts every body off after maxManifest and a byte: the libraries in between read whatever a registry sends.
type limited struct{ http.RoundTripper }

func (l limited) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := l.RoundTripper.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, maxManifest+1), resp.Body}
	return resp, nil
}
