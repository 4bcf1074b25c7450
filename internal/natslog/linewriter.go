package natslog

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"shiplog/internal/logs"
)

const (
	recordBytes = 32 << 10               // of text in one message
	lineBytes   = 64 << 10               // of one line; a longer one is split
	logBytes    = 10 << 20               // of one writer
	flushEvery  = 200 * time.Millisecond // how long a line may wait
)

// lineWriter makes messages of what is written to it.
type lineWriter struct {
	store   *Lines
	subject string

	mu      sync.Mutex
	part    []byte // a line that has not ended yet
	lines   []logs.Line
	size    int // of lines' text, in bytes
	total   int // accepted so far, in bytes
	lost    int // lines that could not be stored
	capped  bool
	closed  bool
	waiting *time.Timer // flushes lines; nil when there are none
}

func newLineWriter(store *Lines, subject string) *lineWriter {
	return &lineWriter{store: store, subject: subject}
}

// Write takes text; it always takes all of it.
func (w *lineWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return 0, fmt.Errorf("the log %s is closed", w.subject)
	}
	for rest := p; len(rest) > 0 && !w.capped; {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			w.part = append(w.part, rest...)
			rest = nil
		} else {
			w.part = append(w.part, rest[:i]...)
			rest = rest[i+1:]
		}
		for len(w.part) > lineBytes {
			w.add(w.part[:lineBytes])
			w.part = w.part[lineBytes:]
		}
		if i >= 0 {
			w.add(bytes.TrimSuffix(w.part, []byte("\r")))
			w.part = w.part[:0]
		}
	}
	return len(p), nil
}

// add takes a whole line.
func (w *lineWriter) add(text []byte) {
	if w.capped {
		return
	}
	if w.total += len(text) + 1; w.total > logBytes {
		w.capped = true
		text = []byte("the log goes on, but only its first 10 MiB are kept")
	}
	w.lines = append(w.lines, logs.Line{At: time.Now().UTC(), Text: strings.ToValidUTF8(string(text), "\uFFFD")})
	if w.size += len(text); w.size >= recordBytes {
		w.flush()
		return
	}
	if w.waiting == nil {
		w.waiting = time.AfterFunc(flushEvery, func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.flush()
		})
	}
}

// flush stores the lines that wait. What cannot be stored is counted, and told when it can be again.
func (w *lineWriter) flush() {
	if w.waiting != nil {
		w.waiting.Stop()
		w.waiting = nil
	}
	if len(w.lines) == 0 {
		return
	}
	lines := w.lines
	if w.lost > 0 {
		lines = append([]logs.Line{{At: lines[0].At, Text: fmt.Sprintf("%d lines could not be stored", w.lost)}}, lines...)
	}
	body, err := json.Marshal(lines)
	if err == nil {
		err = w.publish(&nats.Msg{Subject: w.subject, Data: body})
	}
	if err == nil {
		w.lost = 0
	} else {
		w.store.opts.Log.Warn("lines of a log are lost", "log", w.subject, "lines", len(w.lines), "error", err)
		w.lost += len(w.lines)
	}
	w.lines, w.size = nil, 0
}

func (w *lineWriter) publish(msg *nats.Msg) error {
	if s := w.store.conn.server; s != nil {
		if err := s.checkDisk(int64(len(msg.Data))+diskReserve, false); err != nil { // lines stop well before events do
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), w.store.opts.Timeout)
	defer cancel()
	_, err := w.store.conn.reader.PublishMsg(ctx, msg)
	return err
}

// Close stores what waits and ends the stream. It may be called again.
func (w *lineWriter) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil
	}
	w.closed = true
	if len(w.part) > 0 {
		w.add(w.part)
		w.part = nil
	}
	w.flush()
	if err := w.publish(&nats.Msg{Subject: w.subject, Header: nats.Header{headerEnd: {"1"}}}); err != nil {
		return fmt.Errorf("end the log %s: %w", w.subject, unavailable(err))
	}
	return nil
}
