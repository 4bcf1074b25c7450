package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// deploymentError is a deployment that ended otherwise than by going live.
type deploymentError struct{ message string }

func (e *deploymentError) Error() string { return e.message }

// wait follows a deployment to its end, telling each step on stderr, and returns it as it ended. A service that
// restarts meanwhile is waited for.
func (c *cli) wait(cmd *cobra.Command, app, id string) (*deploymentAnswer, error) {
	ctx := cmd.Context()
	begun, last, lost := c.now(), "", time.Time{}
	pause := 100 * time.Millisecond
	for {
		var answer struct{ Deployment json.RawMessage }
		err := c.call(ctx, http.MethodGet, appPath(app, "deployments", id), nil, &answer)
		var unreachable *unreachableError
		switch {
		case errors.As(err, &unreachable):
			if lost.IsZero() {
				lost = c.now()
				say(cmd, "%s does not answer; the deployment goes on, waiting for it", c.base())
			}
			if c.now().Sub(lost) > patience {
				return nil, err
			}
		case err != nil:
			return nil, err
		default:
			lost = time.Time{}
			d, err := deploymentOf(answer.Deployment)
			if err != nil || d == nil {
				return nil, fmt.Errorf("%s does not answer like a Shiplog service: %w", c.base(), err)
			}
			if d.Phase != last {
				last = d.Phase
				say(cmd, "%6s  %s", span(c.now().Sub(begun)), phaseText(d))
			}
			if over(d.Phase) {
				return d, outcome(app, d)
			}
		}
		if !pauseFor(ctx, pause) {
			return nil, ctx.Err()
		}
		pause = min(pause*3/2, time.Second)
	}
}

func pauseFor(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

func over(phase string) bool {
	return phase == "ACTIVE" || phase == "ERROR" || phase == "CANCELED" || phase == "SUPERSEDED"
}

// phaseText says a phase as a person would.
func phaseText(d *deploymentAnswer) string {
	switch d.Phase {
	case "PENDING_BUILD":
		return "waiting to be built"
	case "BUILDING":
		return "building"
	case "PENDING_DEPLOY":
		return "waiting to be started"
	case "DEPLOYING":
		return "starting, and waiting until it is healthy"
	case "ACTIVE":
		if d.Release > 0 {
			return fmt.Sprintf("live as v%d", d.Release)
		}
		return "live"
	}
	return strings.ToLower(d.Phase)
}

// outcome is the error of a deployment that is over, nil when it went live.
func outcome(app string, d *deploymentAnswer) error {
	switch d.Phase {
	case "ERROR":
		message := fmt.Sprintf("deployment %s failed; what served before still does", d.ID)
		if f := d.Failure; f != nil {
			where := f.Step
			if f.Component != "" {
				where += " of " + f.Component
			}
			message = fmt.Sprintf("deployment %s failed at %s: %s\n  what served before still does; the log: shiplog logs %s %s --deployment %s",
				d.ID, where, f.Reason, app, logFlag(f.Step), d.ID)
			if f.Log != "" {
				message += "\n\n" + strings.TrimRight(f.Log, "\n")
			}
		}
		return &deploymentError{message}
	case "CANCELED":
		return &deploymentError{strings.TrimSuffix(fmt.Sprintf("deployment %s was canceled: %s", d.ID, d.CancelReason), ": ")}
	case "SUPERSEDED":
		return &deploymentError{fmt.Sprintf("deployment %s was superseded by %s", d.ID, d.SupersededBy)}
	}
	return nil
}

func logFlag(step string) string {
	if step == "build" {
		return "--build"
	}
	return "--deploy"
}
