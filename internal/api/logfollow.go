package api

import (
	"context"
	"iter"
	"sync"
	"time"

	"shiplog/internal/logs"
)

const (
	// stageCheck is how often a followed log asks whether its stage is over, for streams that nobody ever opened.
	stageCheck = 250 * time.Millisecond
	// flushTime is more than a line takes to become readable.
	flushTime = 400 * time.Millisecond
)

type lineOrError struct {
	line string
	err  error
}

// coming yields lines as they are written, of all components as they come, and ends when the stage does: with the
// build, the deployment, or for RUN with ctx.
func (s *server) coming(ctx context.Context, req logRequest) iter.Seq2[string, error] {
	if req.kind == runKind {
		return s.runLines(ctx, req, true)
	}
	return func(yield func(string, error) bool) {
		components, d, err := s.logged(ctx, req)
		if err != nil {
			yield("", err)
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		lines := make(chan lineOrError)
		var wg sync.WaitGroup
		for _, c := range components {
			wg.Add(1)
			go func() {
				defer wg.Done()
				s.followOne(ctx, req, c, skipLine(req.kind, d, c), lines)
			}()
		}
		go func() {
			wg.Wait()
			close(lines)
		}()
		for l := range lines {
			if !yield(l.line, l.err) || l.err != nil {
				cancel()
				for range lines { // let the senders see that it is over
				}
				return
			}
		}
	}
}

// followOne sends a component's lines until its stage is over. The stream ends with each attempt of a build, and the
// lines of the next one come after its own: it is read again then, less what was sent.
func (s *server) followOne(ctx context.Context, req logRequest, component, first string, lines chan<- lineOrError) {
	send := func(l lineOrError) bool {
		select {
		case lines <- l:
			return true
		case <-ctx.Done():
			return false
		}
	}
	if first != "" && !send(lineOrError{line: first}) {
		return
	}
	sent, err := s.passed(ctx, req, component)
	for err == nil {
		over, since := s.stageOver(ctx, req, component)
		if over && s.Now().Sub(since) < flushTime && !sleep(ctx, flushTime) {
			return
		}
		read, stop := context.WithCancel(ctx)
		if !over {
			go s.stopWhenOver(read, stop, req, component)
		}
		n := 0
		for line, readErr := range s.Logs.Read(read, req.stream(component), !over) {
			if readErr != nil {
				if read.Err() == nil {
					err = readErr
				}
				break
			}
			if n++; n > sent && !send(lineOrError{line: logLine(component, line.At, line.Text)}) {
				stop()
				return
			}
		}
		stop()
		sent = max(sent, n)
		if over || !sleep(ctx, stageCheck) {
			break
		}
	}
	if err != nil {
		send(lineOrError{err: err})
	}
}

// passed is how many lines of a component are left out because only the last req.tail were asked for.
func (s *server) passed(ctx context.Context, req logRequest, component string) (n int, err error) {
	if req.tail <= 0 {
		return 0, nil
	}
	for _, err := range s.Logs.Read(ctx, req.stream(component), false) {
		if err != nil {
			return 0, err
		}
		n++
	}
	return max(0, n-req.tail), nil
}

// stopWhenOver ends a read some time after the component's stage is over.
func (s *server) stopWhenOver(ctx context.Context, stop func(), req logRequest, component string) {
	for sleep(ctx, stageCheck) {
		if over, _ := s.stageOver(ctx, req, component); over {
			sleep(ctx, flushTime)
			stop()
			return
		}
	}
}

// stageOver reports whether a component will write no more, and since when.
func (s *server) stageOver(ctx context.Context, req logRequest, component string) (over bool, since time.Time) {
	_, d, err := s.logged(ctx, req)
	if err != nil {
		return true, time.Time{}
	}
	if d.Phase.Final() {
		return true, d.Ended
	}
	if p := d.Parts[component]; req.kind == logs.Build && p != nil && p.Ready {
		return true, p.Ended
	}
	return false, time.Time{}
}

// sleep waits; it returns false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
