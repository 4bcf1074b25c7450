package natslog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
)

// ServerOptions configure the embedded server.
type ServerOptions struct {
	// Dir is where the streams are kept. It is created when missing. Required.
	Dir string
	// MaxStore is the most that all streams together may take on disk, in bytes. The sum of the streams' MaxBytes must
	// fit. Default: 16 GiB.
	MaxStore int64
	// Log gets what the server has to say. Default: nothing is logged.
	Log *slog.Logger

	// watch is how often the watchdog looks. Default: 1 s.
	watch time.Duration
	// unsynced turns SyncAlways off, to show in a test and a benchmark what it is for.
	unsynced bool
	// fillDisk turns the check for free room off, to show what happens on a full disk.
	fillDisk bool
}

const defaultMaxStore = 16 << 30

// Server is an embedded NATS server: JetStream, every write synced, no port, one account. It restarts itself when
// its store is stuck, which is what a full disk leaves behind even after space has returned.
type Server struct {
	opts ServerOptions
	log  *slog.Logger
	conn *Conn
	stop context.CancelFunc // ends the watchdog
	done chan struct{}      // closed when the watchdog has ended

	mu       sync.RWMutex
	embedded *natsserver.Server // nil while it is restarted

	disk    disk
	trouble atomic.Pointer[error] // what the watchdog saw last; nil when all is well
}

// Start starts the server and connects to it. It must be closed.
func Start(o ServerOptions) (*Server, error) {
	if o.Dir == "" {
		return nil, errors.New("natslog: no directory for the streams was given")
	}
	if o.MaxStore == 0 {
		o.MaxStore = defaultMaxStore
	}
	if o.watch == 0 {
		o.watch = time.Second
	}
	s := &Server{opts: o, log: orDiscard(o.Log), done: make(chan struct{})}
	if err := s.boot(); err != nil {
		return nil, err
	}
	conn, err := connect(s)
	if err != nil {
		s.shutdown()
		return nil, err
	}
	s.conn = conn
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	go s.watchdog(ctx)
	return s, nil
}

// Conn returns the connection to the server. It outlives restarts of the server and is closed with it.
func (s *Server) Conn() *Conn { return s.conn }

// boot starts a server on the directory.
func (s *Server) boot() error {
	embedded, err := natsserver.NewServer(&natsserver.Options{
		ServerName:         "shiplog",
		DontListen:         true,
		NoSigs:             true,
		NoSystemAccount:    true,
		JetStream:          true,
		StoreDir:           s.opts.Dir,
		SyncAlways:         !s.opts.unsynced,
		JetStreamMaxStore:  s.opts.MaxStore,
		JetStreamMaxMemory: 64 << 20, // consumers' state only: no stream is kept in memory
	})
	if err != nil {
		return fmt.Errorf("set up the embedded NATS server on %s: %w", s.opts.Dir, err)
	}
	embedded.SetLoggerV2(serverLogger{s.log}, false, false, false)
	embedded.Start()
	if !embedded.ReadyForConnections(30*time.Second) || !embedded.JetStreamEnabled() {
		embedded.Shutdown()
		embedded.WaitForShutdown()
		return fmt.Errorf("start the embedded NATS server: JetStream is not ready on %s: is another shiplog running there, "+
			"or is the disk full or read-only?", s.opts.Dir)
	}
	s.mu.Lock()
	s.embedded = embedded
	s.mu.Unlock()
	return nil
}

// shutdown stops the server and waits until its files are closed.
func (s *Server) shutdown() {
	s.mu.Lock()
	embedded := s.embedded
	s.embedded = nil
	s.mu.Unlock()
	if embedded != nil {
		embedded.Shutdown()
		embedded.WaitForShutdown()
	}
}

// current returns the running server; nil while there is none.
func (s *Server) current() *natsserver.Server {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.embedded
}

// InProcessConn gives the client a connection to whichever server runs now; nats.go asks again when it reconnects.
func (s *Server) InProcessConn() (net.Conn, error) {
	embedded := s.current()
	if embedded == nil {
		return nil, errors.New("the embedded NATS server is restarting")
	}
	return embedded.InProcessConn()
}

// Close drains and closes the connection, stops the server and waits until its files are closed. When ctx ends first it
// does not wait for the drain.
func (s *Server) Close(ctx context.Context) error {
	s.stop()
	<-s.done
	err := s.conn.Close(ctx)
	s.shutdown()
	return err
}

// orDiscard returns log, or one that drops everything.
func orDiscard(log *slog.Logger) *slog.Logger {
	if log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return log
}

// serverLogger hands the server's lines to slog: its notices are debug lines here.
type serverLogger struct{ log *slog.Logger }

func (l serverLogger) Noticef(f string, v ...any) { l.log.Debug(fmt.Sprintf(f, v...), "from", "nats") }
func (l serverLogger) Warnf(f string, v ...any)   { l.log.Warn(fmt.Sprintf(f, v...), "from", "nats") }
func (l serverLogger) Fatalf(f string, v ...any)  { l.log.Error(fmt.Sprintf(f, v...), "from", "nats") }
func (l serverLogger) Errorf(f string, v ...any)  { l.log.Error(fmt.Sprintf(f, v...), "from", "nats") }
func (l serverLogger) Debugf(string, ...any)      {}
func (l serverLogger) Tracef(string, ...any)      {}
