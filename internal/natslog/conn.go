package natslog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Conn is a connection to a NATS server. It reconnects for ever; what is sent while it is down fails at once.
//
// Inside are two: the answers to appends never wait behind a replay.
type Conn struct {
	write, read *nats.Conn
	leader      jetstream.JetStream // on write: streams, heads, single messages
	reader      jetstream.JetStream // on read: consumers
	server      *Server             // nil for an external server

	mu     sync.Mutex
	link   context.Context // ends when either connection breaks, then replaced
	unlink context.CancelFunc
}

// Dial connects to an external server. url is what nats.go takes ("nats://host:4222", several by commas);
// credentials is the path of a .creds file, or "" for none. The server must be run with sync_interval: always,
// which a client cannot see: without it an acknowledged event can be lost in a power cut.
func Dial(url, credentials string) (*Conn, error) {
	var opts []nats.Option
	if credentials != "" {
		opts = append(opts, nats.UserCredentials(credentials))
	}
	return dial(url, opts...)
}

// connect connects to the embedded server.
func connect(s *Server) (*Conn, error) {
	c, err := dial("", nats.InProcessServer(s))
	if err != nil {
		return nil, err
	}
	c.server = s
	return c, nil
}

func dial(url string, opts ...nats.Option) (*Conn, error) {
	c := &Conn{}
	c.link, c.unlink = context.WithCancel(context.Background())
	opts = append(opts,
		nats.DisconnectErrHandler(c.broke),
		nats.MaxReconnects(-1),
		nats.CustomReconnectDelay(func(int) time.Duration { return 50 * time.Millisecond }),
		nats.ReconnectBufSize(-1), // nothing is sent late: an append that failed has failed
		nats.Timeout(5*time.Second),
		nats.DrainTimeout(5*time.Second),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), // the callers see their own errors
	)
	write, err := nats.Connect(url, append(opts, nats.Name("shiplog append"))...)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	read, err := nats.Connect(url, append(opts, nats.Name("shiplog read"))...)
	if err != nil {
		write.Close()
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	leader, err1 := jetstream.New(write)
	reader, err2 := jetstream.New(read)
	if err := errors.Join(err1, err2); err != nil {
		write.Close()
		read.Close()
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	c.write, c.read, c.leader, c.reader = write, read, leader, reader
	return c, nil
}

// bound gives a call to the server its timeout. The call also ends when the connection breaks: its answer would not come.
func (c *Conn) bound(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	c.mu.Lock()
	link := c.link
	c.mu.Unlock()
	stop := context.AfterFunc(link, cancel)
	return ctx, func() { stop(); cancel() }
}

func (c *Conn) broke(*nats.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unlink()
	c.link, c.unlink = context.WithCancel(context.Background())
}

// Close lets what is on its way finish, until ctx ends, and closes the connection.
func (c *Conn) Close(ctx context.Context) error {
	err := errors.Join(flush(ctx, c.write), flush(ctx, c.read))
	c.write.Close()
	c.read.Close()
	return err
}

// flush waits until the server has seen everything that was sent.
func flush(ctx context.Context, nc *nats.Conn) error {
	if !nc.IsConnected() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := nc.FlushWithContext(ctx); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		return fmt.Errorf("drain the connection to NATS: %w", err)
	}
	return nil
}
