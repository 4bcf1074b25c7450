package natslog

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"shiplog/events"
)

// source is a feed of events, which checks that they hang together.
type source struct {
	feed
	log   *Log
	chain chain
}

// source reads the events after a sequence; filter is a NATS subject, or "" for all. endless: it waits for more.
func (l *Log) source(filter string, after uint64, endless bool) *source {
	return &source{
		log:  l,
		feed: feed{conn: l.conn, stream: l.name(), filter: filter, sequence: after, timeout: l.opts.Timeout, endless: endless},
		chain: chain{
			all: filter == "", fromStart: after == 0, sequence: after, hashes: map[events.Subject]events.Hash{},
		},
	}
}

// next returns the next event, waiting for it.
func (s *source) next(ctx context.Context) (events.Recorded, error) {
	msg, err := s.feed.next(ctx)
	if errors.Is(err, errQuiet) {
		if gone := s.look(ctx); gone != nil {
			err = gone
		}
	}
	if err != nil {
		return events.Recorded{}, err
	}
	r, err := s.log.decode(msg.sequence, msg.Subject(), msg.Headers(), msg.Data())
	if err != nil {
		return events.Recorded{}, err
	}
	if err := s.chain.check(r); err != nil {
		return events.Recorded{}, err
	}
	return r, nil
}

// look finds out why nothing came: the next event may be missing although the stream is longer.
func (s *source) look(ctx context.Context) error {
	ctx, cancel := s.log.bound(ctx)
	defer cancel()
	var opts []jetstream.GetMsgOpt
	if s.filter != "" {
		opts = append(opts, jetstream.WithGetMsgSubject(s.filter))
	}
	if _, err := s.log.stream.GetMsg(ctx, s.chain.sequence+1, opts...); errors.Is(err, jetstream.ErrMsgNotFound) {
		return missing(s.chain.sequence + 1)
	}
	return nil
}

// chain checks that what is read hangs together: no sequence is left out, and every event follows the one before it on
// its subject, as far as that was read too.
type chain struct {
	all       bool // every sequence is expected
	fromStart bool // a subject's first event read is its first
	sequence  uint64
	hashes    map[events.Subject]events.Hash
}

func (c *chain) check(r events.Recorded) error {
	if want := c.sequence + 1; c.all && r.Position.Sequence != want {
		return missing(want)
	}
	prev, known := c.hashes[r.Subject]
	if (known || c.fromStart) && r.Prev != prev {
		return fmt.Errorf("%w: event %s of %s does not follow the one before it: restore a backup, or repair the log into a new epoch",
			events.ErrCorrupt, r.Position, r.Subject)
	}
	c.sequence, c.hashes[r.Subject] = r.Position.Sequence, r.Hash
	return nil
}

func missing(sequence uint64) error {
	return fmt.Errorf("%w: sequence %d is missing: restore a backup, or repair the log into a new epoch", events.ErrCorrupt, sequence)
}
