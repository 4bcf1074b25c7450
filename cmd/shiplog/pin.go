package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"
)

func newPinCommand(c *cli) *cobra.Command {
	var f pinFlags
	var wait bool
	cmd := &cobra.Command{
		Use:   "pin APP REF",
		Short: "Run exactly REF: a branch, commit, tag, image digest or release",
		Long: `Run exactly REF: a branch, a tag, a commit, an image digest (sha256:…) or a release (v3).

A pin to a branch follows that branch. Any other holds pushes until it is unpinned.
What was built before is not built again. A tag that looks like a release is written
tag:v3; branch:NAME is always a branch.`,
		Args: args(2, 2),
		RunE: func(cmd *cobra.Command, given []string) error {
			return c.pin(cmd, given[0], given[1], f, false, wait)
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until it is live")
	return cmd
}

func newUnpinCommand(c *cli) *cobra.Command {
	var component string
	var revert, commit, wait, yes bool
	cmd := &cobra.Command{
		Use:   "unpin APP",
		Short: "End a pin, and move on to the newest push that it held",
		Args:  args(1, 1),
		RunE: func(cmd *cobra.Command, given []string) error {
			app := given[0]
			if revert && commit {
				return usage("--revert and --keep are two ways to end a pin: choose one")
			}
			question := fmt.Sprintf("Unpin %s and move on to what was held?", app)
			if revert {
				question = fmt.Sprintf("Return %s to what it ran before it was pinned?", app)
			}
			if !confirmed(cmd, yes || commit, true, question) {
				return usage("nothing was done")
			}
			switch {
			case revert:
				return c.deployment(cmd, app, appPath(app, "rollback", "revert"), map[string]string{"component": component}, wait)
			case commit:
				if err := c.call(cmd.Context(), http.MethodPost, appPath(app, "rollback", "commit"), nil, nil); err != nil {
					return err
				}
				return c.show(cmd, map[string]bool{"unpinned": true}, func(w io.Writer) {
					fmt.Fprintf(w, "%s keeps what it runs and follows its source again\n", cleanLine(app))
				})
			}
			path := appPath(app, "pin")
			if component != "" {
				path += "?component=" + url.QueryEscape(component)
			}
			var answer struct{ Deployment json.RawMessage }
			if err := c.call(cmd.Context(), http.MethodDelete, path, nil, &answer); err != nil {
				return err
			}
			if len(answer.Deployment) == 0 {
				return c.show(cmd, map[string]bool{"unpinned": true}, func(w io.Writer) {
					fmt.Fprintf(w, "%s follows its source again; nothing was held\n", cleanLine(app))
				})
			}
			return c.finish(cmd, app, answer.Deployment, wait)
		},
	}
	cmd.Flags().StringVar(&component, "component", "", "unpin this component alone")
	cmd.Flags().BoolVar(&revert, "revert", false, "return to what ran before the pin")
	cmd.Flags().BoolVar(&commit, "keep", false, "keep running what was pinned, until the next push")
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until it is live")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}
