package ingress

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// load asks without a pause, half of it POSTs with a body and half of it on kept connections, and counts what fails.
func load(t *testing.T, r *running, workers int) (stop func() (asked int64)) {
	done := make(chan struct{})
	var asked atomic.Int64
	var wg sync.WaitGroup
	payload := bytes.Repeat([]byte("x"), 20_000)
	for i := range workers {
		wg.Go(func() {
			c := r.client()
			defer c.CloseIdleConnections()
			c.Transport.(*http.Transport).DisableKeepAlives = i%4 == 3
			for {
				select {
				case <-done:
					return
				default:
				}
				method, body := "GET", io.Reader(nil)
				if i%2 == 1 {
					method, body = "POST", bytes.NewReader(payload)
				}
				req, _ := http.NewRequest(method, "http://hello.localhost/", body)
				res, err := c.Do(req)
				if err != nil {
					t.Errorf("worker %d: %v", i, err)
					return
				}
				text, err := io.ReadAll(res.Body)
				res.Body.Close()
				asked.Add(1)
				if err != nil || res.StatusCode != 200 || !bytes.HasPrefix(text, []byte("backend")) {
					t.Errorf("worker %d: %d %s %v", i, res.StatusCode, text, err)
					return
				}
			}
		})
	}
	return func() int64 { close(done); wg.Wait(); return asked.Load() }
}

// TestSwitchUnderLoad is a rollout's last part, many times: a new backend, the switch, the drain, and the old one is
// closed the moment the drain has answered.
func TestSwitchUnderLoad(t *testing.T) {
	r := start1(t)
	ctx := context.Background()
	backend := func(i int) *httptest.Server { return httptest.NewServer(says(fmt.Sprint("backend ", i))) }
	old := backend(0)
	r.set(hello(0, old.Listener.Addr().String()))
	stop := load(t, r, 8)
	for i := 1; i <= 60 && !t.Failed(); i++ {
		next := backend(i)
		r.set(hello(uint64(i), next.Listener.Addr().String()))
		if left, err := r.Drain(ctx, []string{old.Listener.Addr().String()}, 5*time.Second); left != 0 || err != nil {
			t.Errorf("drain %d: %d left, %v", i, left, err)
		}
		old.CloseClientConnections() // cuts what is in flight, if anything is
		old.Close()
		old = next
	}
	asked := stop()
	old.Close()
	if asked < 100 {
		t.Errorf("only %d requests: that is no load", asked)
	}
	t.Logf("%d requests, 60 switches", asked)
}

func TestDrainWaits(t *testing.T) {
	r := start1(t)
	ctx := context.Background()
	in, out := make(chan bool), make(chan bool)
	slow := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		in <- true
		<-out
		_, _ = io.WriteString(w, "done")
	})
	r.set(hello(1, slow))
	got := make(chan string)
	go func() {
		_, text := r.do("GET", "http://hello.localhost/", nil)
		got <- text
	}()
	<-in
	r.set(hello(2, serve(t, says("new"))))
	if left, err := r.Drain(ctx, []string{slow}, 30*time.Millisecond); left != 1 || err != nil {
		t.Errorf("with a request in flight: %d left, %v", left, err)
	}
	if _, text := r.do("GET", "http://hello.localhost/", nil); text != "new" {
		t.Errorf("a new request got %q", text)
	}
	drained := make(chan int64)
	go func() {
		left, _ := r.Drain(ctx, []string{slow, "127.0.0.1:1"}, 10*time.Second)
		drained <- left
	}()
	select {
	case left := <-drained:
		t.Errorf("it answered %d while the request was in flight", left)
	case <-time.After(50 * time.Millisecond):
	}
	close(out)
	if text := <-got; text != "done" {
		t.Errorf("the slow request got %q", text)
	}
	if left := <-drained; left != 0 {
		t.Errorf("%d left", left)
	}
}

func TestRefusedConnectionsGoElsewhere(t *testing.T) {
	r := start1(t)
	r.set(hello(1, deadAddr(t), deadAddr(t), serve(t, func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		_, _ = w.Write(body)
	})))
	for i := range 40 {
		body := bytes.Repeat([]byte{'a' + byte(i%26)}, 100_000)
		if res, got := r.do("POST", "http://hello.localhost/", bytes.NewReader(body)); res.StatusCode != 200 || got != string(body) {
			t.Fatalf("request %d: %d and %d bytes", i, res.StatusCode, len(got))
		}
	}
	if n := bytes.Count([]byte(r.log.String()), []byte("refused the connection")); n < 1 || n > 6 {
		t.Errorf("dead backends were tried %d times in 40 requests; they should be passed over", n)
	}
}

func TestPickIsFair(t *testing.T) {
	now := time.Now()
	a, b, c := &backend{addr: "a"}, &backend{addr: "b"}, &backend{addr: "c"}
	all := []*backend{a, b, c}
	hits := map[*backend]int{}
	for range 3000 {
		hits[pick(all, nil, now)]++
	}
	for _, k := range all {
		if hits[k] < 700 {
			t.Errorf("%s got %d of 3000", k.addr, hits[k])
		}
	}
	a.inFlight.Store(1)
	b.eject(now)
	for range 100 {
		if pick(all, nil, now) != c || pick(all, []*backend{c}, now) != a || pick(all, []*backend{a, c}, now) != b || pick(all, all, now) != nil {
			t.Fatal("the order is: idle, busy, ejected")
		}
	}
	if pick([]*backend{a, b}, nil, now.Add(ejection+1)) != b {
		t.Error("an ejection does not end")
	}
}

// TestKeptConnectionsThatTheAppCloses: an app that closes idle connections may do so just as a request goes out. A
// request that must not be repeated is not put on a connection that idled for long.
func TestKeptConnectionsThatTheAppCloses(t *testing.T) {
	r := start1(t)
	r.set(hello(1, touchy(t, 600*time.Millisecond)))
	for _, method := range []string{"POST", "DELETE", "GET"} {
		for i, pause := range []time.Duration{0, 0, 620 * time.Millisecond} {
			time.Sleep(pause)
			if res, _ := r.do(method, "http://hello.localhost/", bytes.NewReader([]byte("x"))); res.StatusCode != 200 {
				t.Errorf("%s %d: %d", method, i, res.StatusCode)
			}
		}
	}
}

// touchy answers requests, but closes a connection without an answer when the next request comes after the pause.
func touchy(t *testing.T, pause time.Duration) (addr string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				in := bufio.NewReader(conn)
				for last := time.Now(); ; last = time.Now() {
					req, err := http.ReadRequest(in)
					if err != nil || time.Since(last) > pause {
						return
					}
					_, _ = io.Copy(io.Discard, req.Body)
					fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
				}
			}()
		}
	}()
	return ln.Addr().String()
}

// TestAcquireAfterDrain is the race that a drain must win: a request that saw the old table and has not counted itself yet.
func TestAcquireAfterDrain(t *testing.T) {
	r, err := openRouter(filepath.Join(t.TempDir(), "state"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	put := func(addr string) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.apps = map[string]AppRoutes{"app-1": hello(1, addr)}
		r.swap()
	}
	put("b0:1")
	var gone sync.Map // *backend: it was drained and does not come back
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				x := &exchange{host: "hello.localhost", path: "/"}
				_, b, err := r.acquire(x, nil)
				if err != nil {
					t.Error(err)
					return
				}
				if _, drained := gone.Load(b); drained {
					t.Error("a drained backend got a request")
					b.inFlight.Add(-1)
					return
				}
				b.inFlight.Add(-1)
			}
		})
	}
	start := time.Now()
	for i := 1; time.Since(start) < 700*time.Millisecond && !t.Failed(); i++ {
		r.mu.Lock()
		old := r.backends[fmt.Sprintf("b%d:1", i-1)]
		r.mu.Unlock()
		put(fmt.Sprintf("b%d:1", i))
		for old.inFlight.Load() > 0 {
			runtime.Gosched()
		}
		gone.Store(old, true)
	}
	close(done)
	wg.Wait()
}
