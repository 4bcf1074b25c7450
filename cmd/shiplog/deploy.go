package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"
)

func newDeployCommand(c *cli) *cobra.Command {
	var force, clean, wait bool
	cmd := &cobra.Command{
		Use:   "deploy APP",
		Short: "Deploy the newest revision of an app's sources",
		Long: `Deploy the newest revision of an app's sources.

An image that was built of the same commit and settings is used again; --force builds
all the same, and --no-cache builds without the layers of earlier builds.`,
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, given []string) error {
			body := map[string]bool{"force_build": force, "clear_build_cache": clean}
			return c.deployment(cmd, given[0], appPath(given[0], "deployments"), body, wait)
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "build even what was built before")
	cmd.Flags().BoolVar(&clean, "no-cache", false, "build without the layer cache")
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until it is live")
	return cmd
}

// deployment sends a command whose reply is a deployment, waits for it when told to, and shows it.
func (c *cli) deployment(cmd *cobra.Command, app, path string, body any, wait bool) error {
	var answer struct{ Deployment json.RawMessage }
	if err := c.call(cmd.Context(), http.MethodPost, path, body, &answer); err != nil {
		return err
	}
	return c.finish(cmd, app, answer.Deployment, wait)
}

// finish shows a deployment, after waiting for its end when told to.
func (c *cli) finish(cmd *cobra.Command, app string, raw json.RawMessage, wait bool) error {
	d, err := deploymentOf(raw)
	if err != nil {
		return fmt.Errorf("%s does not answer like a Shiplog service: %w", c.base(), err)
	}
	if d == nil {
		say(cmd, "There was nothing to deploy.")
		return c.show(cmd, nil, func(io.Writer) {})
	}
	var failure error
	if wait && !over(d.Phase) {
		ended, err := c.wait(cmd, app, d.ID)
		if ended == nil {
			return err
		}
		d, failure = ended, err
	}
	for _, part := range d.Components {
		if part.BuildSkipped {
			say(cmd, "%s: build skipped, its image was built from commit %s before; shiplog deploy %s --force builds it again", cleanLine(part.Name), part.Commit.Short(), app)
		}
	}
	if err := c.show(cmd, d.raw, func(w io.Writer) {
		paint := green
		if failure != nil {
			paint = red
		} else if !over(d.Phase) {
			paint = yellow
		}
		fmt.Fprintf(w, "%s  %s  %s\n", d.ID, c.color(w, paint, d.Phase), cleanLine(d.Cause))
	}); err != nil {
		return err
	}
	if !over(d.Phase) {
		say(cmd, "Watch it: shiplog logs %s --build -f", app)
	}
	return failure
}
