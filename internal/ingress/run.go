package ingress

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// Options say where an ingress listens and keeps its table.
type Options struct {
	Listen  string       // address of the apps' requests, "127.0.0.1:8000"
	Socket  string       // path of the control socket, at most 100 bytes; made with mode 0600
	State   string       // path of the saved table
	Version string       // of the program, to notice upgrades
	Log     *slog.Logger // default: nothing is logged
}

// stopTime is how long an ingress that ends waits for what is under way.
const stopTime = 10 * time.Second

// Run serves until ctx ends or it is told to quit, and then finishes what is under way, for at most 10 s.
//
// Where an ingress of another version or address answers at the socket, Run takes over from it: it inherits the very
// socket that requests come in at, so none is refused, and the other one ends. One of the same version and address is
// left alone, and Run fails.
func Run(ctx context.Context, o Options) error {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if len(o.Socket) > 100 {
		return fmt.Errorf("ingress: the socket's path is longer than 100 bytes, which the system does not take: %s", o.Socket)
	}
	ln, prev, err := listen(ctx, o)
	if err != nil {
		return fmt.Errorf("ingress: %w", err)
	}
	defer ln.Close()
	defer prev.close()
	router, err := openRouter(o.State, o.Log)
	if err != nil {
		return fmt.Errorf("ingress: %w", err)
	}
	s := &server{o: o, ln: ln, proxy: newProxy(router), started: time.Now(), over: make(chan struct{})}
	return s.run(ctx, prev)
}

type server struct {
	o       Options
	ln      net.Listener
	proxy   *proxy
	apps    *http.Server
	conns   atomic.Int64 // open connections of clients
	started time.Time
	over    chan struct{} // closed when told to quit or handed over
	once    sync.Once
	handed  atomic.Bool
	next    net.Conn // to the ingress that took over; closed when this one ends
}

func (s *server) quit() { s.once.Do(func() { close(s.over) }) }

func (s *server) run(ctx context.Context, prev *predecessor) error {
	var http1 http.Protocols
	http1.SetHTTP1(true)
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel() // ends upgraded connections
	errorLog := slog.NewLogLogger(s.o.Log.Handler(), slog.LevelDebug)
	s.apps = &http.Server{
		Handler: s.proxy, Protocols: &http1, ErrorLog: errorLog,
		ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
		BaseContext: func(net.Listener) context.Context { return base },
		ConnState:   s.connState,
	}
	control := &http.Server{Handler: s.control(), Protocols: &http1, ErrorLog: errorLog, ReadHeaderTimeout: 5 * time.Second}
	socket, err := listenControl(s.o.Socket)
	if err != nil {
		return fmt.Errorf("ingress: %w", err)
	}
	defer control.Close()

	failed := make(chan error, 2)
	go func() { failed <- s.apps.Serve(s.ln) }()
	go func() { failed <- control.Serve(socket) }()
	if err := prev.done(s.proxy); err != nil {
		return fmt.Errorf("ingress: take over: %w", err)
	}
	s.o.Log.Info("the ingress serves", "listen", s.ln.Addr().String(), "version", s.o.Version, "apps", len(s.proxy.router.list()))

	select {
	case <-ctx.Done():
	case <-s.over:
	case err := <-failed:
		return fmt.Errorf("ingress: %w", err)
	}
	s.finish()
	answering, cancelAnswers := context.WithTimeout(context.Background(), time.Second)
	_ = control.Shutdown(answering) // the answer to "quit" among them
	cancelAnswers()
	if s.handed.Load() {
		s.next.Close()
	} else {
		_ = os.Remove(s.o.Socket) // after a handover it is the next one's
	}
	s.o.Log.Info("the ingress ends", "handed_over", s.handed.Load())
	return nil
}

// finish stops taking connections and waits for what is under way.
func (s *server) finish() {
	s.proxy.retiring.Store(true)
	deadline := time.Now().Add(stopTime)
	if s.handed.Load() {
		// A client that keeps its connection hears "close" with its next answer, rather than finding the connection
		// gone; one that stays silent for 3 s loses it.
		s.ln.Close()
		s.wait(time.Now().Add(3*time.Second), &s.conns)
	}
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	_ = s.apps.Shutdown(ctx)
	s.wait(deadline, &s.proxy.open) // upgraded connections, which Shutdown does not know
	_ = s.apps.Close()
}

func (s *server) wait(deadline time.Time, n *atomic.Int64) {
	for n.Load() > 0 && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond)
	}
}

func (s *server) connState(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.conns.Add(1)
	case http.StateClosed, http.StateHijacked:
		s.conns.Add(-1)
	}
}

func (s *server) control() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", control(s.proxy, s.health, s.quit))
	mux.HandleFunc("POST /handover", s.handover)
	return mux
}

func (s *server) health() Health {
	return Health{os.Getpid(), s.o.Version, s.ln.Addr().String(), s.started, len(s.proxy.router.list())}
}

// listenControl makes the control socket. It appears with its mode, in the place of one that was left behind.
func listenControl(path string) (net.Listener, error) {
	temp := filepath.Join(filepath.Dir(path), fmt.Sprintf(".in%d", os.Getpid()))
	_ = os.Remove(temp)
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: temp, Net: "unix"})
	if err != nil {
		return nil, err
	}
	ln.SetUnlinkOnClose(false)
	if err = os.Chmod(temp, 0o600); err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		return nil, errors.Join(err, ln.Close(), os.Remove(temp))
	}
	return ln, nil
}
