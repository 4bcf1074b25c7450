package ingress

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestMain is the ingress itself when Ensure starts the test's program; its file's name is its version.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "ingress" {
		o := Options{Version: filepath.Base(os.Args[0]), Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
		f := flag.NewFlagSet("ingress", flag.ExitOnError)
		f.StringVar(&o.Listen, "listen", "", "")
		f.StringVar(&o.Socket, "socket", "", "")
		f.StringVar(&o.State, "state", "", "")
		_ = f.Parse(os.Args[2:])
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		if err := Run(ctx, o); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// running is an ingress inside the test.
type running struct {
	*Client
	t    testing.TB
	o    Options
	addr string
	stop func() error // once
	log  *lockedLog
}

type lockedLog struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func options(t testing.TB) Options {
	dir, err := os.MkdirTemp("", "ingress") // a test's own directory can be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return Options{Listen: "127.0.0.1:0", Socket: filepath.Join(dir, "ingress.sock"), State: filepath.Join(dir, "ingress.json"), Version: "v1"}
}

func start1(t testing.TB) *running { return startWith(t, options(t)) }

func startWith(t testing.TB, o Options) *running {
	t.Helper()
	r := &running{Client: NewClient(o.Socket), t: t, o: o, log: &lockedLog{}}
	r.o.Log = slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(r.log.String())
		}
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, r.o) }()
	r.stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() { _ = r.stop() })
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		h, err := r.Health(ctx)
		if err == nil && h.Version == o.Version {
			r.addr = h.Listen
			return r
		}
		if len(ended) > 0 || time.Now().After(deadline) {
			t.Fatalf("the ingress does not answer: %v\n%s", err, r.log)
		}
	}
}

func (r *running) set(a AppRoutes) {
	r.t.Helper()
	if err := r.Set(context.Background(), a); err != nil {
		r.t.Fatal(err)
	}
}

// app gives an app named hello the backends, at hello.localhost.
func hello(generation uint64, backends ...string) AppRoutes {
	return AppRoutes{App: "app-1", Name: "hello", Generation: generation, Hosts: []string{"hello.localhost"}, State: Serving,
		Routes: []Route{{Path: "/", Backends: backends}}}
}

// do asks the ingress for a URL such as "http://hello.localhost/x".
func (r *running) do(method, url string, body io.Reader, headers ...string) (*http.Response, string) {
	r.t.Helper()
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	c := r.client()
	defer c.CloseIdleConnections()
	res, err := c.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return res, string(text)
}

// client connects to the ingress whatever the URL's host is.
func (r *running) client() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableCompression: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", r.addr)
		}}}
}

func serve(t testing.TB, h http.HandlerFunc) (addr string) {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, text)
	}
}

// deadAddr is an address that refuses connections.
func deadAddr(t testing.TB) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}
