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
	prefetchEvents = 4096
	prefetchBytes  = 8 << 20
)

// patience is how long a follower tries to get on after the server went away.
const patience = time.Minute

// source reads events in order through an ordered consumer, and checks that they hang together. It makes itself a new
// consumer when the old one stops, which a restart of the server does.
type source struct {
	log    *Log
	filter string // NATS subject; "" for all
	last   uint64 // the sequence to read up to; 0: wait for more
	chain  chain

	consumer jetstream.Consumer
	messages jetstream.MessagesContext
}

func (l *Log) source(filter string, after uint64) *source {
	return &source{log: l, filter: filter, chain: chain{
		all: filter == "", fromStart: after == 0, epoch: l.epoch, sequence: after, hashes: map[events.Subject]events.Hash{},
	}}
}

// next returns the next event, waiting for it.
func (s *source) next(ctx context.Context) (events.Recorded, error) {
	var since time.Time // of the first failure in a row
	for {
		msg, err := s.fetch(ctx)
		if err == nil {
			return s.take(msg)
		}
		if ctx.Err() != nil {
			return events.Recorded{}, fmt.Errorf("read the log: %w", unavailable(context.Cause(ctx)))
		}
		s.close()
		if errors.Is(err, nats.ErrTimeout) {
			if err := s.look(ctx); err != nil {
				return events.Recorded{}, err
			}
		}
		if since.IsZero() {
			since = time.Now()
		}
		wait := patience
		if s.last > 0 {
			wait = s.log.opts.Timeout
		}
		if time.Since(since) > wait {
			return events.Recorded{}, fmt.Errorf("read the log after sequence %d: %w", s.chain.sequence, unavailable(err))
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (s *source) take(msg jetstream.Msg) (events.Recorded, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return events.Recorded{}, fmt.Errorf("%w: a message without a sequence: %w", events.ErrCorrupt, err)
	}
	r, err := s.log.decode(meta.Sequence.Stream, msg.Subject(), msg.Headers(), msg.Data())
	if err != nil {
		return events.Recorded{}, err
	}
	if err := s.chain.check(r); err != nil {
		return events.Recorded{}, err
	}
	return r, nil
}

// fetch returns the consumer's next message. It waits without end when following, else for the usual timeout.
func (s *source) fetch(ctx context.Context) (jetstream.Msg, error) {
	if s.messages == nil {
		if err := s.open(ctx); err != nil {
			return nil, err
		}
	}
	if s.last == 0 {
		return s.messages.Next(jetstream.NextContext(ctx))
	}
	stop := context.AfterFunc(ctx, s.messages.Stop)
	defer stop()
	return s.messages.Next(jetstream.NextMaxWait(s.log.opts.Timeout))
}

func (s *source) open(ctx context.Context) error {
	ctx, cancel := s.log.bound(ctx)
	defer cancel()
	o := jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: s.chain.sequence + 1,
		InactiveThreshold: 30 * time.Second, MaxResetAttempts: 1,
	}
	if s.filter != "" {
		o.FilterSubjects = []string{s.filter}
	}
	var err error
	if s.consumer, err = s.log.conn.reader.OrderedConsumer(ctx, s.log.stream.CachedInfo().Config.Name, o); err != nil {
		return err
	}
	s.messages, err = s.consumer.Messages(jetstream.PullMaxMessagesWithBytesLimit(prefetchEvents, prefetchBytes),
		jetstream.PullHeartbeat(time.Second))
	return err
}

// look finds out why nothing came: the next event may be missing although the stream is longer.
func (s *source) look(ctx context.Context) error {
	ctx, cancel := s.log.bound(ctx)
	defer cancel()
	var opts []jetstream.GetMsgOpt
	if s.filter != "" {
		opts = append(opts, jetstream.WithGetMsgSubject(s.filter))
	}
	_, err := s.log.stream.GetMsg(ctx, s.chain.sequence+1, opts...)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return s.chain.missing(s.chain.sequence + 1)
	}
	return nil
}

// close ends the consumer, on the server too.
func (s *source) close() {
	if s.messages != nil {
		s.messages.Stop()
	}
	if s.consumer != nil {
		if info := s.consumer.CachedInfo(); info != nil {
			ctx, cancel := context.WithTimeout(context.Background(), s.log.opts.Timeout)
			defer cancel()
			// A consumer that stays is ended by the server 30 s later.
			_ = s.log.conn.reader.DeleteConsumer(ctx, info.Stream, info.Name)
		}
	}
	s.messages, s.consumer = nil, nil
}
