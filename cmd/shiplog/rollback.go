package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

// pinFlags are the flags of pin and rollback.
type pinFlags struct {
	component, reason, expires string
}

func (f *pinFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.component, "component", "", "pin this component alone")
	cmd.Flags().StringVar(&f.reason, "reason", "", "why, for whoever finds it pinned")
	cmd.Flags().StringVar(&f.expires, "expires", "", "when the pin ends by itself: 2h, or a time")
}

func newRollbackCommand(c *cli) *cobra.Command {
	var f pinFlags
	var yes, noWait bool
	cmd := &cobra.Command{
		Use:   "rollback APP [REF]",
		Short: "Go back to what ran before, and stay there",
		Long: `Go back to what ran before, and stay there: pushes are held until the pin ends.

REF is a release (v3), a commit (7 digits are enough), a tag, a branch or an image
digest (sha256:…); a tag that looks like a release is written tag:v3. Without REF it
is the release before the one that serves. What was built before is not built again;
a commit that never was is built first, and the answer says so.`,
		Args: args(1, 2),
		RunE: func(cmd *cobra.Command, given []string) error {
			ref := ""
			if len(given) == 2 {
				ref = given[1]
			}
			if !confirmed(cmd, yes, true, fmt.Sprintf("Roll %s back to %s, and hold pushes until it is unpinned?", given[0], cmp.Or(ref, "the release before"))) {
				return usage("nothing was done")
			}
			return c.pin(cmd, given[0], ref, f, true, !noWait)
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "do not wait until it is live")
	return cmd
}

// pin pins an app and tells what that did and how to undo it.
func (c *cli) pin(cmd *cobra.Command, app, ref string, f pinFlags, rollback, wait bool) error {
	body := map[string]any{"ref": ref, "rollback": rollback, "component": f.component, "reason": f.reason}
	if f.expires != "" {
		t, err := c.moment(f.expires, +1)
		if err != nil {
			return err
		}
		body["expires_at"] = t
	}
	var p pinned
	var raw map[string]json.RawMessage
	if err := c.both(cmd, http.MethodPost, appPath(app, "pin"), body, &p, &raw); err != nil {
		return err
	}
	if p.Note != "" {
		say(cmd, "Note: %s", p.Note)
	}
	d, err := deploymentOf(p.Deployment)
	if err != nil {
		return fmt.Errorf("%s does not answer like a Shiplog service: %w", c.base(), err)
	}
	var failure error
	if d != nil && wait {
		ended, err := c.wait(cmd, app, d.ID)
		if ended == nil {
			c.sayUndo(cmd, app, p)
			return err
		}
		raw["deployment"], failure = ended.raw, err
	}
	err = c.show(cmd, raw, func(w io.Writer) { fmt.Fprintln(w, c.pinnedLine(app, p, d, wait && failure == nil)) })
	if p.Pin.Holds {
		say(cmd, "Pushes are held until `shiplog unpin %s`.", app)
	}
	c.sayUndo(cmd, app, p)
	return cmp.Or(failure, err)
}

func (c *cli) pinnedLine(app string, p pinned, d *deploymentAnswer, live bool) string {
	subject := app
	if p.Pin.Component != "" {
		subject += " " + p.Pin.Component
	}
	line := fmt.Sprintf("%s is pinned to %s (%s)", subject, p.Pin.Ref, what(p.Pin.Resolved))
	switch {
	case d == nil:
		line += ", which runs already"
	case live:
		line += " and live"
	default:
		line += ", deployment " + d.ID
	}
	if !p.Pin.ExpiresAt.IsZero() {
		line += ", until " + p.Pin.ExpiresAt.Local().Format("2006-01-02 15:04:05")
	}
	return cleanLine(line)
}

// sayUndo prints the command that takes a pin back.
func (c *cli) sayUndo(cmd *cobra.Command, app string, p pinned) {
	if p.Undo == nil {
		return
	}
	undo := "shiplog unpin " + quoted(app) + " --revert"
	if p.Undo.Action == "pin" {
		undo = "shiplog pin " + quoted(app) + " " + quoted(p.Undo.Ref)
	}
	if p.Undo.Component != "" {
		undo += " --component " + quoted(p.Undo.Component)
	}
	say(cmd, "Undo: %s", undo)
}

// moment reads a time as people give it: 2h (from now, or before now), 15:04 today, a date, a date and time, RFC 3339.
func (c *cli) moment(s string, direction int) (time.Time, error) {
	now := c.now()
	if d, err := time.ParseDuration(s); err == nil && d > 0 {
		return now.Add(time.Duration(direction) * d), nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, s, now.Location()); err == nil {
			return t, nil
		}
	}
	if t, err := time.Parse("15:04", s); err == nil {
		return time.Date(now.Year(), now.Month(), now.Day(), t.Hour(), t.Minute(), 0, 0, now.Location()), nil
	}
	return time.Time{}, usage("%q is not a time: write 2h, 15:04, 2006-01-02 15:04 or 2006-01-02T15:04:05Z", s)
}
