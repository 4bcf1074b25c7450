package api

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"time"

	"shiplog/internal/deploy"
	"shiplog/internal/logs"
)

// maxLine bounds a line with its break: readers use buffers of 64 KiB.
const maxLine = 64<<10 - 1

// logLine is "<component> <timestamp> <message>" and a line break. What is of no component alone is the rollout's.
func logLine(component string, at time.Time, text string) string {
	component = cmp.Or(component, "rollout")
	line := component + " " + at.UTC().Format("2006-01-02T15:04:05.000000Z") + " " + text
	return line[:min(len(line), maxLine-1)] + "\n"
}

// kept yields the lines there are: all components one after the other, and of these the last req.tail.
func (s *server) kept(ctx context.Context, req logRequest) iter.Seq2[string, error] {
	if req.kind == runKind {
		return s.runLines(ctx, req, false)
	}
	all := func(yield func(string, error) bool) {
		components, d, err := s.logged(ctx, req)
		if err != nil {
			yield("", err)
			return
		}
		for _, c := range components {
			if line := skipLine(req.kind, d, c); line != "" && !yield(line, nil) {
				return
			}
			for line, err := range s.Logs.Read(ctx, req.stream(c), false) {
				if !yield(logLine(c, line.At, line.Text), err) || err != nil {
					return
				}
			}
		}
	}
	if req.tail <= 0 {
		return all
	}
	return lastOf(all, req.tail)
}

// lastOf yields the last n lines.
func lastOf(lines iter.Seq2[string, error], n int) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		var ring []string
		next := 0
		for line, err := range lines {
			switch {
			case err != nil:
				yield("", err)
				return
			case len(ring) < n:
				ring = append(ring, line)
			default:
				ring[next], next = line, (next+1)%n
			}
		}
		for i := range ring {
			if !yield(ring[(next+i)%len(ring)], nil) {
				return
			}
		}
	}
}

func (s *server) runLines(ctx context.Context, req logRequest, follow bool) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if s.RunLogs == nil {
			return
		}
		for line, err := range s.RunLogs.Logs(ctx, req.app, req.component, follow, req.tail) {
			if !yield(logLine(line.Component, line.At, line.Text), err) || err != nil {
				return
			}
		}
	}
}

func (r logRequest) stream(component string) logs.Stream {
	return logs.Stream{App: r.app, Deployment: r.deployment, Component: component, Kind: r.kind}
}

// logged returns the components whose lines are meant, and their deployment as it is now.
func (s *server) logged(ctx context.Context, req logRequest) ([]string, *deploy.Deployment, error) {
	a, err := s.Desk.State(ctx, req.app)
	if err != nil {
		return nil, nil, err
	}
	d, err := s.deployment(a, req.deployment)
	if err != nil {
		return nil, nil, err
	}
	switch {
	case req.kind == logs.Deploy:
		return []string{""}, d, nil // components roll out together, and have one log
	case req.component != "":
		return []string{req.component}, d, nil
	}
	var names []string
	for _, p := range componentsOf(a, d) {
		names = append(names, p.name)
	}
	return names, d, nil
}

// skipLine is the build log of a component that needed no build.
func skipLine(kind logs.Kind, d *deploy.Deployment, component string) string {
	p := d.Parts[component]
	if kind != logs.Build || p == nil || p.Build || !p.Ready {
		return ""
	}
	return logLine(component, d.Requested, fmt.Sprint(skipReason(p).Message))
}
