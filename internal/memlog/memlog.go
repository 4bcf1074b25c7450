// Package memlog is an events.Log in memory, for tests. It keeps the whole contract but durability
// (internal/logtest checks it), and can be told to fail the ways a real log fails (see faults.go).
package memlog

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"

	"shiplog/events"
)

// Epoch is the epoch of every memlog.
const Epoch = 1

// Log is an events.Log in memory. Use [New]. It is safe for concurrent use.
type Log struct {
	mu       sync.Mutex
	messages []message // message i has sequence i+1
	heads    map[events.Subject]events.Head
	ids      map[events.ID]int // index of the message with that id
	grown    chan struct{}     // closed and replaced when messages are added
	faults   []fault
	before   func()
}

// message is an event as a log stores it: it is opened anew for every reader, so that none shares maps with another.
type message struct {
	subject events.Subject
	headers map[string]string
	body    []byte
}

var _ events.Log = (*Log)(nil)

// New returns an empty log.
func New() *Log {
	return &Log{
		heads: map[events.Subject]events.Head{},
		ids:   map[events.ID]int{},
		grown: make(chan struct{}),
	}
}

// Append implements events.Log.
func (l *Log) Append(ctx context.Context, batch ...events.Append) ([]events.Recorded, error) {
	sealed, err := events.SealBatch(batch)
	if err != nil {
		return nil, err
	}
	if err := unavailable(ctx); err != nil {
		return nil, err
	}
	l.runBefore()
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.nextFault()
	if f.err != nil && !f.written {
		return nil, f.err
	}
	recorded, err := l.commit(batch, sealed)
	if f.err != nil {
		return nil, f.err
	}
	return recorded, err
}

func (l *Log) commit(batch []events.Append, sealed []events.Recorded) ([]events.Recorded, error) {
	for _, r := range sealed {
		if _, known := l.ids[r.ID]; known {
			return l.again(sealed)
		}
	}
	for _, a := range batch {
		if head := l.heads[a.Subject]; head != a.Expect {
			return nil, fmt.Errorf("append to %s after %s, but its last event is %s: %w",
				a.Subject, a.Expect.Position, head.Position, events.ErrConflict)
		}
	}
	for i := range sealed {
		sealed[i].Position = l.add(sealed[i].Subject, sealed[i].Headers(), sealed[i].Body)
	}
	l.wake()
	return sealed, nil
}

// again answers a batch of which some id was written before: success only if it is wholly there, as it would be written now.
func (l *Log) again(sealed []events.Recorded) ([]events.Recorded, error) {
	for i, r := range sealed {
		at, known := l.ids[r.ID]
		if !known {
			return nil, fmt.Errorf("append to %s: only a part of the batch is in the log: %w", r.Subject, events.ErrConflict)
		}
		stored, err := l.open(at)
		if err != nil {
			return nil, err
		}
		if stored.Hash != r.Hash {
			return nil, fmt.Errorf("append to %s: the event id %s was used for something else: %w", r.Subject, r.ID, events.ErrConflict)
		}
		sealed[i] = stored
	}
	return sealed, nil
}

// add stores a message and returns its position.
func (l *Log) add(subject events.Subject, headers map[string]string, body []byte) events.Position {
	l.messages = append(l.messages, message{subject, headers, slices.Clone(body)})
	pos := events.Position{Epoch: Epoch, Sequence: uint64(len(l.messages))}
	if r, err := l.open(len(l.messages) - 1); err == nil {
		l.heads[subject] = r.Head()
		l.ids[r.ID] = len(l.messages) - 1
	}
	return pos
}

func (l *Log) wake() {
	close(l.grown)
	l.grown = make(chan struct{})
}

func (l *Log) open(i int) (events.Recorded, error) {
	m := l.messages[i]
	header := func(name string) string { return m.headers[name] }
	return events.Open(events.Position{Epoch: Epoch, Sequence: uint64(i) + 1}, m.subject, header, slices.Clone(m.body))
}

// Head implements events.Log.
func (l *Log) Head(ctx context.Context, subject events.Subject) (events.Head, error) {
	if err := unavailable(ctx); err != nil {
		return events.Head{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.heads[subject], nil
}

// Last implements events.Log.
func (l *Log) Last(ctx context.Context) (events.Position, error) {
	if err := unavailable(ctx); err != nil {
		return events.Position{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last(), nil
}

func (l *Log) last() events.Position {
	return events.Position{Epoch: Epoch, Sequence: uint64(len(l.messages))}
}

// Read implements events.Log.
func (l *Log) Read(ctx context.Context, subject events.Subject, after events.Position) iter.Seq2[events.Recorded, error] {
	return l.upToLast(ctx, after, func(m message) bool { return m.subject == subject })
}

// Replay implements events.Log.
func (l *Log) Replay(ctx context.Context, after events.Position) iter.Seq2[events.Recorded, error] {
	return l.upToLast(ctx, after, func(message) bool { return true })
}

func unavailable(ctx context.Context) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", events.ErrUnavailable, context.Cause(ctx))
	}
	return nil
}
