package ingress

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync/atomic"
)

// counts are one app's answers by class of status: 1xx to 5xx. What clients gave up on (499) is 4xx.
type counts struct {
	class   [6]atomic.Uint64
	refused atomic.Uint64 // connections that backends refused
}

func (c *counts) add(status int) { c.class[min(max(status/100, 1), 5)].Add(1) }

// write gives the metrics in Prometheus' text form.
func (p *proxy) write(w io.Writer) {
	type line struct {
		name string
		c    *counts
	}
	lines := []line{{"", &p.nobody}}
	p.router.mu.Lock()
	for id, c := range p.router.counts {
		name := id
		if a, ok := p.router.apps[id]; ok && a.Name != "" {
			name = a.Name
		}
		lines = append(lines, line{name, c})
	}
	backends := slices.SortedFunc(maps.Values(p.router.backends), func(x, y *backend) int { return cmp.Compare(x.addr, y.addr) })
	p.router.mu.Unlock()
	slices.SortFunc(lines, func(x, y line) int { return cmp.Compare(x.name, y.name) })

	fmt.Fprint(w, "# HELP shiplog_ingress_requests_total Answers by app and class of status; no app: requests that no app is for.\n# TYPE shiplog_ingress_requests_total counter\n")
	for _, l := range lines {
		for class := 1; class <= 5; class++ {
			if n := l.c.class[class].Load(); n > 0 {
				fmt.Fprintf(w, "shiplog_ingress_requests_total{app=%q,code=\"%dxx\"} %d\n", l.name, class, n)
			}
		}
	}
	fmt.Fprint(w, "# HELP shiplog_ingress_refused_total Connections that backends refused.\n# TYPE shiplog_ingress_refused_total counter\n")
	for _, l := range lines[1:] {
		fmt.Fprintf(w, "shiplog_ingress_refused_total{app=%q} %d\n", l.name, l.c.refused.Load())
	}
	fmt.Fprint(w, "# HELP shiplog_ingress_in_flight Requests under way, upgraded connections included.\n# TYPE shiplog_ingress_in_flight gauge\n")
	fmt.Fprintf(w, "shiplog_ingress_in_flight %d\n", p.open.Load())
	fmt.Fprint(w, "# HELP shiplog_ingress_backend_in_flight Requests under way by backend.\n# TYPE shiplog_ingress_backend_in_flight gauge\n")
	for _, b := range backends {
		fmt.Fprintf(w, "shiplog_ingress_backend_in_flight{backend=%q} %d\n", b.addr, b.inFlight.Load())
	}
}
