package ingress

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestHeaders(t *testing.T) {
	r := start1(t)
	var got *http.Request
	r.set(hello(1, serve(t, func(w http.ResponseWriter, q *http.Request) {
		got = q.Clone(context.Background())
		w.Header().Set("Connection", "X-Hop")
		w.Header().Set("X-Hop", "1")
		w.Header().Set("X-App", "kept")
		w.WriteHeader(http.StatusTeapot)
	})))
	res, _ := r.do("GET", "http://hello.localhost:8000/", nil,
		"X-Forwarded-For", "6.6.6.6", "X-Forwarded-Host", "evil.example", "X-Forwarded-Proto", "https", "X-Forwarded-Port", "1",
		"X-Forwarded-Prefix", "/evil", "Forwarded", "for=6.6.6.6", "X-Real-IP", "6.6.6.6",
		"Connection", "X-Secret-Hop", "X-Secret-Hop", "1", "Proxy-Authorization", "x", "Te", "trailers", "X-Mine", "kept")
	if got == nil || res.StatusCode != http.StatusTeapot || res.Header.Get("X-App") != "kept" || res.Header.Get("X-Hop") != "" {
		t.Fatalf("got %d %v", res.StatusCode, res.Header)
	}
	for name, want := range map[string]string{
		"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "hello.localhost:8000", "X-Forwarded-Proto": "http", "X-Forwarded-Port": "",
		"X-Forwarded-Prefix": "", "Forwarded": "", "X-Real-Ip": "", "X-Secret-Hop": "", "Proxy-Authorization": "", "X-Mine": "kept",
	} {
		if values := got.Header.Values(name); strings.Join(values, ",") != want {
			t.Errorf("%s = %q, want %q", name, values, want)
		}
	}
	if got.Host != "hello.localhost:8000" {
		t.Errorf("the app sees the host %q", got.Host)
	}
}

func TestStreams(t *testing.T) {
	r := start1(t)
	next := make(chan string)
	r.set(hello(1, serve(t, func(w http.ResponseWriter, q *http.Request) {
		switch q.URL.Path {
		case "/events":
			w.Header().Set("Content-Type", "text/event-stream")
			for text := range next {
				fmt.Fprintf(w, "data: %s\n\n", text)
				w.(http.Flusher).Flush()
			}
		case "/slow":
			w.Header().Set("Content-Length", "6")
			_, _ = io.WriteString(w, "one")
			w.(http.Flusher).Flush()
			select {
			case text := <-next:
				_, _ = io.WriteString(w, text)
			case <-q.Context().Done():
			}
		case "/upload":
			line, _ := bufio.NewReader(q.Body).ReadString('\n')
			next <- line
			_, _ = io.Copy(io.Discard, q.Body)
		case "/trailer":
			w.Header().Set("Trailer", "X-Sum")
			_, _ = io.WriteString(w, "body")
			w.Header().Set("X-Sum", "42")
			w.Header().Set(http.TrailerPrefix+"X-Late", "43")
		}
	})))
	c := r.client()
	c.Timeout = 10 * time.Second
	defer c.CloseIdleConnections()

	go func() { next <- "one" }()
	res, err := c.Get("http://hello.localhost/events")
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(res.Body)
	for _, want := range []string{"one", "two", "three"} { // each is read before the next is sent
		if line, err := lines.ReadString('\n'); line != "data: "+want+"\n" {
			t.Fatalf("got %q, %v", line, err)
		}
		_, _ = lines.ReadString('\n')
		switch want {
		case "one":
			next <- "two"
		case "two":
			next <- "three"
		}
	}
	close(next)
	res.Body.Close()

	next = make(chan string)
	res, err = c.Get("http://hello.localhost/slow")
	if err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 3)
	if _, err := io.ReadFull(res.Body, first); string(first) != "one" { // though the length says there is more
		t.Errorf("got %q, %v", first, err)
	}
	next <- "two"
	if rest, err := io.ReadAll(res.Body); string(rest) != "two" {
		t.Errorf("got %q, %v", rest, err)
	}
	res.Body.Close()

	body, w := io.Pipe()
	answered := make(chan int)
	go func() {
		res, err := c.Post("http://hello.localhost/upload", "", body)
		if err != nil {
			t.Error(err)
			answered <- 0
			return
		}
		res.Body.Close()
		answered <- res.StatusCode
	}()
	fmt.Fprintln(w, "first")
	if got := <-next; got != "first\n" { // the app has it while the client still sends
		t.Errorf("the app read %q", got)
	}
	w.Close()
	if status := <-answered; status != 200 {
		t.Errorf("upload: %d", status)
	}

	if res, text := r.do("GET", "http://hello.localhost/trailer", nil); text != "body" || res.Trailer.Get("X-Sum") != "42" || res.Trailer.Get("X-Late") != "43" {
		t.Errorf("trailers: %q %v", text, res.Trailer)
	}
}

// TestAnswerBeforeTheBodyIsRead: an app may answer, at length, while the client still sends.
func TestAnswerBeforeTheBodyIsRead(t *testing.T) {
	r := start1(t)
	big := strings.Repeat("no ", 200_000)
	r.set(hello(1, serve(t, func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path == "/early" {
			_ = http.NewResponseController(w).EnableFullDuplex()
			w.WriteHeader(413)
			_, _ = io.WriteString(w, big)
			_, _ = io.Copy(io.Discard, q.Body)
			return
		}
		body, _ := io.ReadAll(q.Body)
		_, _ = w.Write(body)
	})))
	for range 5 {
		if res, text := r.do("POST", "http://hello.localhost/early", strings.NewReader(strings.Repeat("x", 3<<20))); res.StatusCode != 413 || text != big {
			t.Fatalf("got %d and %d bytes", res.StatusCode, len(text))
		}
	}
	for i := range 200 {
		body := strings.Repeat("x", 1000*(i+1))
		if res, text := r.do("POST", "http://hello.localhost/echo", strings.NewReader(body)); res.StatusCode != 200 || text != body {
			t.Fatalf("got %d and %d of %d bytes", res.StatusCode, len(text), len(body))
		}
	}
}

// upgraded opens a connection that the app switches to an echo.
func upgraded(t *testing.T, r *running) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprint(conn, "GET /ws HTTP/1.1\r\nHost: hello.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n")
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, nil)
	if err != nil || res.StatusCode != 101 || res.Header.Get("Upgrade") != "websocket" {
		t.Fatalf("got %v, %v", res, err)
	}
	return conn, in
}

func echoUpgrade(w http.ResponseWriter, q *http.Request) {
	if q.Header.Get("Upgrade") != "websocket" || q.Header.Get("Sec-WebSocket-Key") != "x" {
		http.Error(w, "no upgrade came", 400)
		return
	}
	conn, in, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	_, _ = io.Copy(conn, in)
}

func TestUpgrade(t *testing.T) {
	r := start1(t)
	ws := serve(t, echoUpgrade)
	r.set(hello(1, ws))
	conn, in := upgraded(t, r)
	for _, text := range []string{"hello\n", strings.Repeat("x", 100_000) + "\n"} {
		go fmt.Fprint(conn, text)
		if got, err := in.ReadString('\n'); got != text {
			t.Fatalf("%d bytes came back, %v", len(got), err)
		}
	}
	r.set(hello(2, serve(t, says("new"))))
	if left, _ := r.Drain(context.Background(), []string{ws}, 20*time.Millisecond); left != 1 {
		t.Errorf("an open web socket does not count as in flight: %d", left)
	}
	conn.Close()
	if left, _ := r.Drain(context.Background(), []string{ws}, 5*time.Second); left != 0 {
		t.Errorf("a closed one does: %d", left)
	}
}

func TestLimits(t *testing.T) {
	r := start1(t)
	r.set(hello(1, serve(t, says("ok"))))
	for name, c := range map[string]struct{ request, want string }{
		"long headers":  {"GET / HTTP/1.1\r\nHost: hello.localhost\r\nX: " + strings.Repeat("x", 30<<10) + "\r\n\r\n", "HTTP/1.1 431"},
		"h2c":           {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 505"},
		"CONNECT":       {"CONNECT hello.localhost:80 HTTP/1.1\r\nHost: hello.localhost:80\r\n\r\n", "HTTP/1.1 405"},
		"two lengths":   {"POST / HTTP/1.1\r\nHost: hello.localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", "HTTP/1.1 400"},
		"smuggling":     {"POST / HTTP/1.1\r\nHost: hello.localhost\r\nTransfer-Encoding: chunked, x\r\n\r\n0\r\n\r\n", "HTTP/1.1 501"},
		"no host":       {"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400"},
		"absolute form": {"GET http://hello.localhost HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n", "HTTP/1.1 200"},
		"HTTP/1.0":      {"GET / HTTP/1.0\r\nHost: hello.localhost\r\n\r\n", "HTTP/1.0 200"},
	} {
		conn, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		go fmt.Fprint(conn, c.request)
		line, err := bufio.NewReader(conn).ReadString('\n')
		if !strings.HasPrefix(line, c.want) {
			t.Errorf("%s: got %q, %v", name, line, err)
		}
		conn.Close()
	}
}

func TestClientThatLeaves(t *testing.T) {
	r := start1(t)
	in, gone := make(chan bool), make(chan bool)
	r.set(hello(1, serve(t, func(_ http.ResponseWriter, q *http.Request) {
		in <- true
		<-q.Context().Done()
		close(gone)
	})))
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-in; cancel() }()
	req, _ := http.NewRequestWithContext(ctx, "GET", "http://hello.localhost/", nil)
	if _, err := r.client().Do(req); err == nil {
		t.Fatal("it was answered")
	}
	select {
	case <-gone:
	case <-time.After(5 * time.Second):
		t.Error("the app is not told that its client has gone")
	}
	if left, _ := r.Drain(context.Background(), r.backends(), 5*time.Second); left != 0 {
		t.Errorf("%d left in flight", left)
	}
}

func (r *running) backends() (addrs []string) {
	apps, err := r.Table(context.Background())
	if err != nil {
		r.t.Fatal(err)
	}
	for _, a := range apps {
		for _, rt := range a.Routes {
			addrs = append(addrs, rt.Backends...)
		}
	}
	return addrs
}
