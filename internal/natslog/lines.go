package natslog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"shiplog/events"
	"shiplog/internal/logs"
)

// headerEnd marks the message that ends a stream of lines; it has no body.
const headerEnd = "Shiplog-End"

// Lines is a logs.Store on a stream of its own. A message holds up to 32 KiB of lines as a JSON array; its subject is
// "<root>-logs.<app>.<deployment>.<component>.<kind>". It is safe for concurrent use.
type Lines struct {
	conn   *Conn
	opts   SideOptions
	stream jetstream.Stream
}

var _ logs.Store = (*Lines)(nil)

// OpenLines opens the store of lines, and creates its stream when it is missing.
func OpenLines(ctx context.Context, conn *Conn, o SideOptions) (*Lines, error) {
	o = o.withDefaults("SHIPLOG_LOGS", 1<<30)
	stream, err := openSide(ctx, conn, o, o.Root+"-logs.*.*.*.*")
	return &Lines{conn: conn, opts: o, stream: stream}, err
}

// Writer implements logs.Store. Its Write never fails and waits for the server only briefly: what cannot be stored is
// dropped, and a line says how much. After 10 MiB a line says that the rest is left out.
func (l *Lines) Writer(s logs.Stream) io.WriteCloser { return newLineWriter(l, l.subject(s)) }

// Read implements logs.Store. Following ends when the newest message is an end marker.
func (l *Lines) Read(ctx context.Context, s logs.Stream, follow bool) iter.Seq2[logs.Line, error] {
	return func(yield func(logs.Line, error) bool) {
		subject := l.subject(s)
		last, err := l.last(ctx, subject)
		if err != nil {
			yield(logs.Line{}, fmt.Errorf("read the log of %s: %w", s.Component, err))
			return
		}
		if last == 0 && !follow {
			return
		}
		f := &feed{conn: l.conn, stream: l.opts.Stream, filter: subject, timeout: l.opts.Timeout, endless: follow}
		defer f.close()
		for {
			msg, err := f.next(ctx)
			switch {
			case follow && ctx.Err() != nil, errors.Is(err, errQuiet): // the oldest lines may go while we read
				return
			case err != nil:
				yield(logs.Line{}, fmt.Errorf("read the log of %s: %w", s.Component, err))
				return
			}
			if !yieldLines(msg, yield) {
				return
			}
			ended := msg.Headers().Get(headerEnd) != ""
			if msg.pending == 0 && (ended || !follow) || !follow && msg.sequence >= last {
				return
			}
		}
	}
}

func yieldLines(msg message, yield func(logs.Line, error) bool) bool {
	if len(msg.Data()) == 0 {
		return true
	}
	var lines []logs.Line
	if err := json.Unmarshal(msg.Data(), &lines); err != nil {
		yield(logs.Line{}, fmt.Errorf("log record %d cannot be read: %w", msg.sequence, err))
		return false
	}
	for _, line := range lines {
		if !yield(line, nil) {
			return false
		}
	}
	return true
}

// last returns the sequence of a subject's newest message, 0 when there is none.
func (l *Lines) last(ctx context.Context, subject string) (uint64, error) {
	ctx, cancel := l.conn.bound(ctx, l.opts.Timeout)
	defer cancel()
	msg, err := l.stream.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, unavailable(err)
	}
	return msg.Sequence, nil
}

func (l *Lines) subject(s logs.Stream) string {
	return strings.Join([]string{l.opts.Root + "-logs", token(string(s.App)), token(string(s.Deployment)), token(s.Component), token(string(s.Kind))}, ".")
}

// token makes one part of a NATS subject of a name. Names of components are made of what it leaves alone.
func token(s string) string {
	if s == "" {
		return "_"
	}
	return strings.NewReplacer(".", "_", ":", "_").Replace(events.HeaderSafe(s))
}
