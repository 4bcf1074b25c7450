package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/moby/moby/client"
)

// await waits until an instance is healthy. It fails at once when the instance ends or is started again by the engine,
// and when the health check has failed for as long as it may.
func (r *rolling) await(ctx context.Context, i Instance) (Instance, error) {
	p := newProbe(r.Health, r.Port)
	restarts, begin := i.Restarts, time.Now()
	if end, ok := ctx.Deadline(); ok { // be first, to say what was wrong
		p.limit = min(p.limit, time.Until(end)-firstPause)
	}
	var lastErr error // of a probe, or of the engine
	var next time.Time
	for good := 0; ; {
		now, err := r.inspect(ctx, i.ID)
		switch {
		case ctx.Err() != nil:
			return i, r.interrupted(ctx, i, lastErr)
		case errors.Is(err, errGone):
			return i, &Unhealthy{Instance: i.Name, Step: "healthy", Reason: "it was removed from outside"}
		case err != nil:
			lastErr = err // the engine may come back
		case !now.Running() || now.Restarts > restarts:
			return i, r.ended(ctx, now, begin)
		case r.Port == 0:
			if time.Since(now.Started) >= WorkerProof {
				return now, nil
			}
		case time.Since(now.Started) >= p.initial && !time.Now().Before(next):
			if lastErr = p.try(ctx, now.Address); lastErr != nil {
				good, next = 0, time.Now().Add(p.pause(time.Since(begin)))
			} else if good++; good >= p.successes {
				return now, nil
			} else {
				next = time.Now().Add(min(p.period, time.Second))
			}
		}
		waited := time.Since(begin)
		if waited >= p.limit {
			return i, r.neverReady(ctx, i, waited, lastErr)
		}
		select {
		case <-ctx.Done():
			return i, r.interrupted(ctx, i, lastErr)
		case <-time.After(min(max(waited/10, firstPause), time.Second, p.limit-waited)):
		}
	}
}

// interrupted describes an instance that could not be waited for any longer: for another one's failure, the deadline's or
// the caller's sake.
func (r *rolling) interrupted(ctx context.Context, i Instance, last error) error {
	cause := context.Cause(ctx)
	if other := (*failure)(nil); errors.As(cause, &other) {
		return other.error
	}
	reason := "it was not ready when the rollout was ended: " + cause.Error()
	if last != nil {
		reason += "; " + last.Error()
	}
	return &Unhealthy{Instance: i.Name, Step: "healthy", Reason: reason, Log: r.tail(ctx, i.ID), Err: cause}
}

// ended describes an instance that did not keep running.
func (r *rolling) ended(ctx context.Context, i Instance, begin time.Time) error {
	code, known := i.ExitCode, true
	if i.Running() { // again: the container has forgotten how the run before ended
		code, known = r.exitCode(ctx, i, begin)
	}
	un := &Unhealthy{Instance: i.Name, Step: "healthy", Reason: fmt.Sprintf("it exited with code %d", code), Log: r.lastWords(ctx, i.ID)}
	switch {
	case !known:
		un.Reason = "it exited"
	case code == 126 || code == 127 || strings.Contains(un.Log, "failed to exec pid1"): // which is what Podman's init says
		un.Step, un.Reason = "start", fmt.Sprintf("its command cannot be run (exit code %d)%s", code, lastWords(un.Log))
	case i.OOMKilled || code == 137:
		un.Reason = fmt.Sprintf("it was killed, most likely for using more memory than its limit of %d MiB", r.memory()>>20)
	case code == 0:
		un.Reason = "it ended by itself (exit code 0), and is expected to go on running"
	}
	un.Reason += fmt.Sprintf(", within %v", time.Since(begin).Round(10*time.Millisecond))
	return un
}

// lastWords is tail for an instance that has just ended: what it wrote reaches the engine's log a moment later.
func (r *rolling) lastWords(ctx context.Context, id string) (text string) {
	for range 5 {
		time.Sleep(firstPause)
		if text = r.tail(ctx, id); text != "" {
			break
		}
	}
	return text
}

// lastWords is the last line of an instance's log, which says what could not be run.
func lastWords(log string) string {
	lines := strings.Split(strings.TrimSpace(log), "\n")
	if last := strings.TrimSpace(lines[len(lines)-1]); last != "" {
		return ": " + clip(last)
	}
	return ""
}

// exitCode asks the engine's memory of events how an instance first ended after begin.
func (d *Docker) exitCode(ctx context.Context, i Instance, begin time.Time) (code int, known bool) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	events := d.api.Events(ctx, client.EventsListOptions{
		Since:   begin.Add(-time.Second).Format(time.RFC3339),
		Until:   time.Now().Add(2 * time.Second).Format(time.RFC3339),
		Filters: make(client.Filters).Add("container", i.ID),
	})
	for {
		select {
		case m := <-events.Messages:
			if code, err := strconv.Atoi(m.Actor.Attributes["exitCode"]); err == nil && m.Action == "die" {
				return code, true
			}
		case <-events.Err:
			return 0, false
		}
	}
}

func (r *rolling) neverReady(ctx context.Context, i Instance, waited time.Duration, last error) error {
	reason := fmt.Sprintf("it runs but is not ready after %v", waited.Round(100*time.Millisecond))
	if last != nil {
		reason += ": " + last.Error()
	}
	if errors.Is(last, syscall.ECONNREFUSED) {
		reason += fmt.Sprintf(" (does it listen on 0.0.0.0, port %d?)", cmp.Or(r.Health.Port, r.Port))
	}
	return &Unhealthy{Instance: i.Name, Step: "healthy", Reason: reason, Log: r.tail(ctx, i.ID), Err: last}
}
