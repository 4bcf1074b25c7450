package engine

import (
	"context"
	"errors"
	"fmt"
	"time"
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
			return i, context.Cause(ctx)
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
			return i, context.Cause(ctx)
		case <-time.After(min(max(waited/10, firstPause), time.Second, p.limit-waited)):
		}
	}
}

// ended describes an instance that did not keep running.
func (r *rolling) ended(ctx context.Context, i Instance, begin time.Time) error {
	reason := fmt.Sprintf("it exited with code %d", i.ExitCode)
	switch {
	case i.OOMKilled:
		reason = "it was killed for using more memory than its limit"
	case i.Running():
		reason = "it exited and was started again"
	case i.ExitCode == 0:
		reason = "it ended by itself (exit code 0), and is expected to go on running"
	}
	reason += fmt.Sprintf(", within %v", time.Since(begin).Round(10*time.Millisecond))
	return &Unhealthy{Instance: i.Name, Step: "healthy", Reason: reason, Log: r.tail(ctx, i.ID)}
}

func (r *rolling) neverReady(ctx context.Context, i Instance, waited time.Duration, last error) error {
	reason := fmt.Sprintf("it runs but is not ready after %v", waited.Round(100*time.Millisecond))
	if r.Port == 0 {
		reason = "it does not keep running"
	}
	if last != nil {
		reason += fmt.Sprintf(": %v (does it listen on 0.0.0.0:$PORT, with PORT=%d?)", last, r.Port)
	}
	return &Unhealthy{Instance: i.Name, Step: "healthy", Reason: reason, Log: r.tail(ctx, i.ID), Err: last}
}
