package natslog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"shiplog/events"
)

// Log is an events.Log on one stream. It is safe for concurrent use. Use [Open].
type Log struct {
	conn   *Conn
	opts   Options
	epoch  uint64
	stream jetstream.Stream
	room   room

	requests chan *request
	closing  chan struct{} // closed by Close
	closed   chan struct{} // closed when the committer has ended
	once     sync.Once
}

var _ events.Log = (*Log)(nil)

func newLog(conn *Conn, o Options, epoch uint64, stream jetstream.Stream) *Log {
	l := &Log{
		conn: conn, opts: o, epoch: epoch, stream: stream,
		requests: make(chan *request, 1024),
		closing:  make(chan struct{}), closed: make(chan struct{}),
	}
	l.room.max = stream.CachedInfo().Config.MaxBytes
	go func() {
		defer close(l.closed)
		(&committer{log: l, heads: map[events.Subject]uint64{}}).run()
	}()
	return l
}

// Close waits for the append under way and refuses the others with [events.ErrUnavailable].
func (l *Log) Close() error {
	l.once.Do(func() { close(l.closing) })
	<-l.closed
	return nil
}

// Head implements events.Log: it asks the stream's leader.
func (l *Log) Head(ctx context.Context, subject events.Subject) (events.Head, error) {
	if err := subject.Check(); err != nil {
		return events.Head{}, err
	}
	var head events.Head
	err := l.patiently(ctx, func(ctx context.Context) error {
		msg, err := l.stream.GetLastMsgForSubject(ctx, l.wire(subject))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			head = events.Head{}
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the last event of %s: %w", subject, unavailable(err))
		}
		r, err := l.open(msg)
		head = r.Head()
		return err
	})
	return head, err
}

// Last implements events.Log.
func (l *Log) Last(ctx context.Context) (events.Position, error) {
	state, err := l.state(ctx)
	return events.Position{Epoch: l.epoch, Sequence: state.LastSeq}, err
}

// Health reports whether the log can be used: nil, or an error that wraps [events.ErrUnavailable] when it does not
// answer, [events.ErrCorrupt] when events are missing, [events.ErrFull] when only urgent events are taken.
func (l *Log) Health(ctx context.Context) error {
	state, err := l.state(ctx)
	if err != nil {
		return err
	}
	if s := l.conn.server; s != nil {
		if err := s.healthy(); err != nil {
			return err
		}
	}
	if missing := state.LastSeq - state.Msgs; missing > 0 {
		return fmt.Errorf("%w: stream %s should hold the sequences 1 to %d, but %d of them are missing: restore a backup, "+
			"or repair it into a new epoch", events.ErrCorrupt, l.name(), state.LastSeq, missing)
	}
	l.room.set(state.Bytes)
	return l.room.check(0, false)
}

func (l *Log) state(ctx context.Context) (jetstream.StreamState, error) {
	var state jetstream.StreamState
	err := l.patiently(ctx, func(ctx context.Context) error {
		info, err := l.stream.Info(ctx)
		if err != nil {
			return fmt.Errorf("read the state of the log: %w", unavailable(err))
		}
		state = info.State
		return nil
	})
	return state, err
}

// patiently makes a call that changes nothing until the server answers, for as long as one call may take: a server that
// restarts is back in less.
func (l *Log) patiently(ctx context.Context, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, l.opts.Timeout)
	defer cancel()
	for {
		bound, cancel := l.bound(ctx)
		err := call(bound)
		cancel()
		if !errors.Is(err, events.ErrUnavailable) || l.conn.write.IsClosed() {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// bound gives a call to the server its timeout.
func (l *Log) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	return l.conn.bound(ctx, l.opts.Timeout)
}

// name is the stream's.
func (l *Log) name() string { return streamName(l.opts.Stream, l.epoch) }

// wire is the NATS subject of a subject.
func (l *Log) wire(s events.Subject) string { return l.opts.Root + "." + string(s) }

// open reads a stored message.
func (l *Log) open(msg *jetstream.RawStreamMsg) (events.Recorded, error) {
	return l.decode(msg.Sequence, msg.Subject, msg.Header, msg.Data)
}

func (l *Log) decode(sequence uint64, subject string, header nats.Header, body []byte) (events.Recorded, error) {
	pos := events.Position{Epoch: l.epoch, Sequence: sequence}
	r, err := events.Open(pos, events.Subject(strings.TrimPrefix(subject, l.opts.Root+".")), header.Get, body)
	if err != nil {
		return events.Recorded{}, fmt.Errorf("%w: %w", events.ErrCorrupt, err)
	}
	return r, nil
}

// unavailable marks an error of the connection, the server or the context as [events.ErrUnavailable].
func unavailable(err error) error { return fmt.Errorf("%w: %w", events.ErrUnavailable, err) }
