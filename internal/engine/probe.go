package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"shiplog/events"
)

// firstPause is the time between the first probes: a component that starts fast is noticed fast.
const firstPause = 100 * time.Millisecond

// probe is a health check with its defaults filled in.
type probe struct {
	path      string // empty: a TCP connect
	port      int
	initial   time.Duration // no probe before
	period    time.Duration // the longest pause between probes
	timeout   time.Duration // of one probe
	successes int           // in a row
	limit     time.Duration // after which the instance has failed: initial + failures * period
	client    *http.Client
}

func newProbe(h events.HealthCheck, port int) probe {
	second := func(n, def int) time.Duration { return time.Duration(cmp.Or(n, def)) * time.Second }
	p := probe{
		path:      h.HTTPPath,
		port:      cmp.Or(h.Port, port),
		initial:   second(h.InitialDelaySeconds, 0),
		period:    second(h.PeriodSeconds, 10),
		timeout:   second(h.TimeoutSeconds, 1),
		successes: cmp.Or(h.SuccessThreshold, 1),
	}
	if p.path != "" && !strings.HasPrefix(p.path, "/") {
		p.path = "/" + p.path
	}
	p.limit = p.initial + time.Duration(cmp.Or(h.FailureThreshold, 9))*p.period
	if port == 0 {
		p.limit = max(p.limit, 2*WorkerProof)
	}
	p.client = &http.Client{
		Timeout:       p.timeout,
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return p
}

// pause is how long to wait after a failed probe, when so much time has passed: a tenth of it, from firstPause up to the
// period. So readiness is noticed at most a tenth too late.
func (p probe) pause(passed time.Duration) time.Duration {
	return min(max(passed/10, firstPause), p.period)
}

// try probes once. The path and the port are the app's to choose, the address never is.
func (p probe) try(ctx context.Context, address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return errors.New("it has no address yet")
	}
	target := net.JoinHostPort(host, strconv.Itoa(p.port))
	if p.path == "" {
		dialer := net.Dialer{Timeout: p.timeout}
		conn, err := dialer.DialContext(ctx, "tcp", target)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+target+p.path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "shiplog-health-check")
	resp, err := p.client.Do(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 399 {
		return fmt.Errorf("GET %s answers %s", p.path, resp.Status)
	}
	return nil
}
