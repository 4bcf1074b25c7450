package apitest

import (
	"context"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"shiplog/internal/logs"
)

// Logs holds lines; an open stream's followers wait.
type Logs struct {
	mu    sync.Mutex
	lines map[logs.Stream][]string
	open  map[logs.Stream]bool
}

func (f *Logs) Writer(s logs.Stream) io.WriteCloser {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open[s] = true
	return &writer{f, s}
}

type writer struct {
	f *Logs
	s logs.Stream
}

func (w *writer) Write(b []byte) (int, error) {
	w.f.mu.Lock()
	defer w.f.mu.Unlock()
	w.f.lines[w.s] = append(w.f.lines[w.s], strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")...)
	return len(b), nil
}

func (w *writer) Close() error {
	w.f.mu.Lock()
	defer w.f.mu.Unlock()
	w.f.open[w.s] = false
	return nil
}

func (f *Logs) Read(ctx context.Context, s logs.Stream, follow bool) iter.Seq2[logs.Line, error] {
	return func(yield func(logs.Line, error) bool) {
		for i := 0; ; {
			f.mu.Lock()
			lines := slices.Clone(f.lines[s])
			isOpen, known := f.open[s]
			f.mu.Unlock()
			for ; i < len(lines); i++ {
				if !yield(logs.Line{At: time.Unix(1, 0), Text: lines[i]}, nil) {
					return
				}
			}
			if !follow || known && !isOpen {
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}
}
