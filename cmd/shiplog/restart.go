package main

import (
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"
)

func newRestartCommand(c *cli) *cobra.Command {
	var wait bool
	cmd := &cobra.Command{
		Use:   "restart APP [COMPONENT…]",
		Short: "Restart an app from the very images that run, one instance after the other",
		Args:  args(1, -1),
		RunE: func(cmd *cobra.Command, given []string) error {
			body := map[string]any{"components": given[1:]}
			return c.deployment(cmd, given[0], appPath(given[0], "restart"), body, wait)
		},
	}
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until it is live")
	return cmd
}

func newStopCommand(c *cli) *cobra.Command {
	var reason string
	cmd := &cobra.Command{Use: "stop APP", Short: "Stop an app until it is started", Args: args(1, 1), RunE: func(cmd *cobra.Command, given []string) error {
		if err := c.command(cmd, given[0], "stop", map[string]string{"reason": reason}, "is stopped"); err != nil {
			return err
		}
		say(cmd, "Start it again: shiplog start %s", given[0])
		return nil
	}}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the history")
	return cmd
}

func newStartCommand(c *cli) *cobra.Command {
	return &cobra.Command{Use: "start APP", Short: "Start an app that was stopped", Args: args(1, 1), RunE: func(cmd *cobra.Command, given []string) error {
		return c.command(cmd, given[0], "start", nil, "starts")
	}}
}

// command sends a command whose reply is the app.
func (c *cli) command(cmd *cobra.Command, app, verb string, body any, done string) error {
	var answer struct {
		App any `json:"app"`
	}
	if err := c.call(cmd.Context(), http.MethodPost, appPath(app, verb), body, &answer); err != nil {
		return err
	}
	return c.show(cmd, answer.App, func(w io.Writer) { fmt.Fprintf(w, "%s %s\n", cleanLine(app), done) })
}
