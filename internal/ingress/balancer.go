package ingress

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// maxTries is how many backends a request is offered to.
const maxTries = 3

// balancer sends a request to a backend of its route, and to another one when the connection is refused: nothing was
// sent then, so any method may try again.
type balancer struct {
	router *router
	// An app may close a connection that idles just as a request goes out on it. net/http sends a request again on a
	// fresh connection when it may be repeated (GET, HEAD, OPTIONS without a body). For the others a connection that
	// idled for long is not used.
	repeatable, once *http.Transport
}

func newBalancer(r *router) *balancer {
	transport := func(idle time.Duration) *http.Transport {
		var http1 http.Protocols
		http1.SetHTTP1(true)
		return &http.Transport{
			DialContext:            (&net.Dialer{Timeout: 2 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
			IdleConnTimeout:        idle,
			MaxIdleConnsPerHost:    256,
			MaxResponseHeaderBytes: 256 << 10,
			ExpectContinueTimeout:  time.Second,
			DisableCompression:     true, // what the app sends is what the client gets
			Protocols:              &http1,
		}
	}
	return &balancer{router: r, repeatable: transport(4 * time.Second), once: transport(500 * time.Millisecond)}
}

// RoundTrip sends the request of an exchange. The backend stays counted until the exchange ends.
func (l *balancer) RoundTrip(req *http.Request) (*http.Response, error) {
	x := exchangeOf(req)
	transport := l.once
	if req.Body == nil && (req.Method == "GET" || req.Method == "HEAD" || req.Method == "OPTIONS") {
		transport = l.repeatable
	}
	var tried []*backend
	var last error
	for len(tried) < maxTries {
		rt, b, err := l.router.acquire(x, tried)
		if err != nil {
			return nil, errors.Join(err, last)
		}
		x.backend = b
		res, err := transport.RoundTrip(outbound(req, x, rt, b))
		if err == nil {
			return res, nil
		}
		x.release()
		if !refused(err) || req.Context().Err() != nil {
			return nil, errors.Join(errUnreachable, err)
		}
		b.eject(time.Now())
		x.site.counts.refused.Add(1)
		l.router.log.Warn("a backend refused the connection", "app", x.site.app.Name, "backend", b.addr, "err", err)
		tried, last = append(tried, b), err
	}
	return nil, errors.Join(errUnreachable, last)
}

// refused reports whether no connection came about.
func refused(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// outbound is the request as one backend gets it.
func outbound(req *http.Request, x *exchange, rt *route, b *backend) *http.Request {
	out := req.WithContext(req.Context())
	u := *req.URL
	u.Scheme, u.Host = "http", b.addr
	u.RawPath = rt.rest(x.path)
	if plain, err := url.PathUnescape(u.RawPath); err == nil {
		u.Path = plain
	}
	out.URL = &u
	if rt.path != "" && !rt.preserve {
		out.Header = req.Header.Clone()
		out.Header.Set("X-Forwarded-Prefix", rt.path)
	}
	if req.Body != nil {
		out.Body = keepOpen{req.Body} // the transport closes it when it cannot connect, and the next backend needs it
	}
	return out
}

// keepOpen is a body that its reader does not close.
type keepOpen struct{ io.Reader }

func (keepOpen) Close() error { return nil }

func (l *balancer) closeIdle() {
	l.repeatable.CloseIdleConnections()
	l.once.CloseIdleConnections()
}
