package ingress

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"sync/atomic"
)

// exchange is one request on its way through.
type exchange struct {
	host    string // canonical
	path    string // escaped, as it came
	site    *site  // nil until found
	backend *backend
}

type exchangeKey struct{}

func exchangeOf(r *http.Request) *exchange { return r.Context().Value(exchangeKey{}).(*exchange) }

// release ends the count of the exchange at its backend.
func (x *exchange) release() {
	if x.backend != nil {
		x.backend.inFlight.Add(-1)
		x.backend = nil
	}
}

// proxy is the handler of the apps' requests.
type proxy struct {
	router   *router
	balancer *balancer
	reverse  *httputil.ReverseProxy
	open     atomic.Int64 // requests in flight, upgraded connections included
	retiring atomic.Bool  // connections are closed after their next answer
	nobody   counts       // of requests that no app is for
}

func newProxy(r *router) *proxy {
	p := &proxy{router: r, balancer: newBalancer(r)}
	p.reverse = &httputil.ReverseProxy{
		Rewrite:        rewrite,
		Transport:      p.balancer,
		FlushInterval:  -1, // events of a stream are passed on as they come
		BufferPool:     &buffers{},
		ErrorLog:       slog.NewLogLogger(r.log.Handler(), slog.LevelDebug),
		ModifyResponse: p.answered,
		ErrorHandler:   p.failed,
	}
	return p
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.open.Add(1)
	defer p.open.Add(-1)
	x := &exchange{host: canonicalHost(r.Host), path: r.URL.EscapedPath()}
	if !strings.HasPrefix(x.path, "/") {
		x.path = "/" // an absolute URL without a path
	}
	r = r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x))
	switch {
	case r.Method == http.MethodConnect:
		p.failed(w, r, errConnect)
		return
	case r.ProtoMajor != 1:
		p.failed(w, r, errProtocol)
		return
	}
	defer x.release()
	if r.ContentLength != 0 {
		// Otherwise the server closes the request's body as soon as an answer begins, and the transport, which may be
		// about to read it once more, takes that for an error and cuts the answer off.
		_ = http.NewResponseController(w).EnableFullDuplex() // HTTP/1 can
	}
	p.reverse.ServeHTTP(w, r)
}

// rewrite says who asked and for what, in headers that a client cannot set.
func rewrite(pr *httputil.ProxyRequest) {
	for name := range pr.Out.Header {
		if strings.HasPrefix(name, "X-Forwarded-") || name == "X-Real-Ip" {
			delete(pr.Out.Header, name)
		}
	}
	pr.SetXForwarded()
	pr.Out.Host = pr.In.Host
	pr.Out.URL.RawQuery = pr.In.URL.RawQuery // the app's to judge
}

func (p *proxy) answered(res *http.Response) error {
	p.count(exchangeOf(res.Request), res.StatusCode)
	if p.retiring.Load() && res.StatusCode != http.StatusSwitchingProtocols {
		res.Header.Set("Connection", "close")
	}
	return nil
}

// failed answers a request that no backend answered.
func (p *proxy) failed(w http.ResponseWriter, r *http.Request, err error) {
	x := exchangeOf(r)
	if r.Context().Err() != nil && !errors.Is(r.Context().Err(), context.DeadlineExceeded) {
		p.count(x, 499) // the client has gone
		return
	}
	pg := pageOf(err)
	if pg.status == http.StatusBadGateway {
		p.router.log.Warn("no backend answered", "host", x.host, "err", err)
	}
	if p.retiring.Load() {
		w.Header().Set("Connection", "close")
	}
	p.count(x, pg.status)
	pg.write(w, r, x)
}

func (p *proxy) count(x *exchange, status int) {
	c := &p.nobody
	if x.site != nil {
		c = x.site.counts
	}
	c.add(status)
}

// buffers lends the copy buffers.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return *p
	}
	return make([]byte, 32<<10)
}

func (b *buffers) Put(p []byte) { b.pool.Put(&p) }
