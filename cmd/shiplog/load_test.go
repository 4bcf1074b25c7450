package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// load is a crowd of clients that ask an app through the ingress and never ask twice: net/http's client would hide a
// connection that was closed under a request, so they speak over plain connections. Half keep their connection, half
// make a new one for each request; every fifth request is a POST with a body, which nothing on the way may repeat.
type load struct {
	t    *testing.T
	host string // of the app
	addr string // of the ingress
	stop chan struct{}
	done sync.WaitGroup

	asked, failed, resets atomic.Int64
	slowest               atomic.Int64 // nanoseconds
	mu                    sync.Mutex
	why                   []string // the first failures
	answers               map[string]int
}

// Limits of a load. The rate is what is aimed at: a slow machine gives less.
const (
	loadClients = 8
	loadPerSec  = 160
	loadMost    = 60_000
	loadTime    = 8 * time.Minute
	loadPatient = 15 * time.Second // for one answer, on a machine that others use too
)

// load starts asking an app. The test ends it with end.
func (s *site) load(app string) *load {
	l := &load{t: s.t, host: app + ".localhost", addr: s.ingress, stop: make(chan struct{}), answers: map[string]int{}}
	over := time.AfterFunc(loadTime, func() { s.t.Errorf("the load was not ended within %v", loadTime) })
	for n := range loadClients {
		l.done.Go(func() { l.client(n) })
	}
	s.t.Cleanup(func() { over.Stop(); l.end() })
	return l
}

// end stops the clients and waits for them.
func (l *load) end() {
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	l.done.Wait()
}

// check ends the load; nothing may have failed.
func (l *load) check(least int64) {
	l.t.Helper()
	l.end()
	l.t.Logf("load: %d requests, %d failed, %d of them resets, slowest %v, answers %v",
		l.asked.Load(), l.failed.Load(), l.resets.Load(), time.Duration(l.slowest.Load()).Round(time.Millisecond), l.answers)
	if l.failed.Load() > 0 {
		l.t.Errorf("%d of %d requests failed:\n%s", l.failed.Load(), l.asked.Load(), strings.Join(l.why, "\n"))
	}
	if l.asked.Load() < least {
		l.t.Errorf("only %d requests were made, want at least %d for the test to mean something", l.asked.Load(), least)
	}
}

func (l *load) client(n int) {
	const pause = time.Second * loadClients / loadPerSec
	var conn *connection
	for count := n; l.asked.Load() < loadMost; count++ {
		select {
		case <-l.stop:
			conn.close()
			return
		case <-time.After(rand.N(2 * pause)): // at any moment, not all at once
		}
		if n%2 == 0 {
			conn.close()
			conn = nil
		}
		began := time.Now()
		var err error
		if conn == nil {
			conn, err = dial(l.addr)
		}
		keep := false
		if err == nil {
			keep, err = l.ask(conn, count%5 == 0)
		}
		l.note(began, err)
		if err != nil || !keep {
			conn.close()
			conn = nil
		}
	}
}

// ask makes one request. keep is false when the other side wants the connection closed.
func (l *load) ask(c *connection, post bool) (keep bool, err error) {
	_ = c.SetDeadline(time.Now().Add(loadPatient))
	request := "GET / HTTP/1.1\r\nHost: " + l.host + "\r\n\r\n"
	if post {
		request = "POST / HTTP/1.1\r\nHost: " + l.host + "\r\nContent-Length: 4\r\n\r\nbody"
	}
	if _, err := io.WriteString(c, request); err != nil {
		return false, fmt.Errorf("send: %w", err)
	}
	res, err := http.ReadResponse(c.read, nil)
	if err != nil {
		return false, fmt.Errorf("receive: %w", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return false, fmt.Errorf("receive the body: %w", err)
	}
	answer := strings.TrimSpace(string(body))
	if res.StatusCode != 200 {
		return false, fmt.Errorf("%s: %s", res.Status, answer)
	}
	l.mu.Lock()
	l.answers[answer]++
	l.mu.Unlock()
	return !res.Close, nil
}

func (l *load) note(began time.Time, err error) {
	l.asked.Add(1)
	took := int64(time.Since(began))
	for old := l.slowest.Load(); took > old && !l.slowest.CompareAndSwap(old, took); old = l.slowest.Load() {
	}
	if err == nil {
		return
	}
	l.failed.Add(1)
	if op := (*net.OpError)(nil); errors.As(err, &op) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		l.resets.Add(1)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.why) < 20 {
		l.why = append(l.why, fmt.Sprintf("%s after %v: %v", began.Format("15:04:05.000"), time.Duration(took).Round(time.Millisecond), err))
	}
}

// connection is a client's, with what was read ahead.
type connection struct {
	net.Conn
	read *bufio.Reader
}

func dial(addr string) (*connection, error) {
	c, err := net.DialTimeout("tcp", addr, loadPatient)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return &connection{c, bufio.NewReader(c)}, nil
}

func (c *connection) close() {
	if c != nil {
		_ = c.Close()
	}
}

// The load must see what it is there to see.
func TestLoadCountsEveryFailure(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { // the second request of a connection finds it closed
				defer c.Close()
				if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
				}
			}()
		}
	}()
	l := &load{t: t, host: "x", addr: ln.Addr().String()}
	l.answers = map[string]int{}
	conn, err := dial(l.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.close()
	for i, fails := range []bool{false, true} {
		keep, err := l.ask(conn, false)
		l.note(time.Now(), err)
		if (err != nil) != fails || keep == fails {
			t.Errorf("request %d: keep %v, %v", i, keep, err)
		}
	}
	if l.asked.Load() != 2 || l.failed.Load() != 1 || l.resets.Load() != 1 || l.answers["ok"] != 1 {
		t.Errorf("counted %d, %d failed, %d resets, answers %v", l.asked.Load(), l.failed.Load(), l.resets.Load(), l.answers)
	}
}
