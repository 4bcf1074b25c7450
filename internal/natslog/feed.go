package natslog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"shiplog/events"
)

// How far a reader is ahead of its caller.
const (
	prefetchMessages = 4096
	prefetchBytes    = 8 << 20
)

// patience is how long a follower tries to get on after the server went away.
const patience = time.Minute

// feed yields the messages of a stream in order, through an ordered consumer. It makes itself a new consumer when the old
// one stops, which a restart of the server does, and goes on after the last message it gave.
type feed struct {
	conn     *Conn
	stream   string        // name
	filter   string        // NATS subject; "" for all
	sequence uint64        // of the last message it gave, or what to begin after
	timeout  time.Duration // of calls to the server
	endless  bool          // the next message may be long in coming

	consumer jetstream.Consumer
	messages jetstream.MessagesContext
}

// message is what a feed gives.
type message struct {
	jetstream.Msg
	sequence uint64
	pending  uint64 // messages after this one, when it was sent
}

// errQuiet means that no message came within the timeout. An endless feed does not say so.
var errQuiet = errors.New("no message came")

// next waits for the next message. Its errors wrap [events.ErrUnavailable]; one may be errQuiet too.
func (f *feed) next(ctx context.Context) (message, error) {
	var since time.Time // of the first failure in a row
	for {
		m, err := f.fetch(ctx)
		if err == nil {
			return m, nil
		}
		if ctx.Err() != nil {
			return message{}, fmt.Errorf("read from %s: %w", f.stream, unavailable(context.Cause(ctx)))
		}
		f.close()
		if since.IsZero() {
			since = time.Now()
		}
		wait := patience
		if !f.endless {
			wait = f.timeout
			if errors.Is(err, nats.ErrTimeout) {
				err = errQuiet
			}
		}
		if time.Since(since) > wait || err == errQuiet {
			return message{}, fmt.Errorf("read from %s after sequence %d: %w", f.stream, f.sequence, unavailable(err))
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (f *feed) fetch(ctx context.Context) (message, error) {
	if f.messages == nil {
		if err := f.open(ctx); err != nil {
			return message{}, err
		}
	}
	msg, err := f.receive(ctx)
	if err != nil {
		return message{}, err
	}
	meta, err := msg.Metadata()
	if err != nil {
		return message{}, fmt.Errorf("%w: a message without a sequence: %w", events.ErrCorrupt, err)
	}
	f.sequence = meta.Sequence.Stream
	return message{msg, meta.Sequence.Stream, meta.NumPending}, nil
}

func (f *feed) receive(ctx context.Context) (jetstream.Msg, error) {
	if f.endless {
		return f.messages.Next(jetstream.NextContext(ctx))
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return f.messages.Next(jetstream.NextMaxWait(f.timeout))
}

func (f *feed) open(ctx context.Context) error {
	ctx, cancel := f.conn.bound(ctx, f.timeout)
	defer cancel()
	o := jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: f.sequence + 1,
		InactiveThreshold: 30 * time.Second, MaxResetAttempts: 1,
	}
	if f.filter != "" {
		o.FilterSubjects = []string{f.filter}
	}
	var err error
	if f.consumer, err = f.conn.reader.OrderedConsumer(ctx, f.stream, o); err != nil {
		return err
	}
	f.messages, err = f.consumer.Messages(
		jetstream.PullMaxMessagesWithBytesLimit(prefetchMessages, prefetchBytes), jetstream.PullHeartbeat(time.Second))
	return err
}

// close ends the consumer, on the server too. The feed may be used again.
func (f *feed) close() {
	if f.messages != nil {
		f.messages.Stop()
	}
	if f.consumer != nil {
		if info := f.consumer.CachedInfo(); info != nil {
			// Nobody waits for the answer: a consumer that stays is ended by the server 30 s later.
			_ = f.conn.read.Publish("$JS.API.CONSUMER.DELETE."+info.Stream+"."+info.Name, nil)
		}
	}
	f.messages, f.consumer = nil, nil
}
