// Package logs is the vocabulary of build and deploy logs: where lines go and how they are read back. The lines of
// running instances are the engine's and are not kept here.
package logs

import (
	"context"
	"io"
	"iter"
	"time"

	"shiplog/events"
)

// Kind is what wrote the lines.
type Kind string

// The kinds, named as App Platform names them.
const (
	Build  Kind = "BUILD"
	Deploy Kind = "DEPLOY"
)

// Stream is one writer's log.
type Stream struct {
	App        events.ID
	Deployment events.ID
	Component  string
	Kind       Kind
}

// Line is one line, without its line break, at most 64 KiB.
type Line struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

// Store keeps logs for a limited time and size. It is not durable over a power cut: logs are a convenience, the log of
// events is the record.
type Store interface {
	// Writer returns a writer that splits what it gets into lines. Lines become readable within 250 ms. Close ends the
	// stream: its followers end too. A stream may be opened again (a second attempt); its lines follow.
	Writer(s Stream) io.WriteCloser
	// Read yields the stream's lines, oldest first. With follow it waits for more until the stream is closed or ctx ends.
	Read(ctx context.Context, s Stream, follow bool) iter.Seq2[Line, error]
}
