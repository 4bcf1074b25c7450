package main

import (
	"encoding/json"
	"net/http"

	"github.com/spf13/cobra"
)

func newCancelCommand(c *cli) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "cancel APP [DEPLOYMENT]",
		Short: "Stop a deployment that is not over; without an id the newest",
		Args:  args(1, 2),
		RunE: func(cmd *cobra.Command, given []string) error {
			app, id := given[0], ""
			if len(given) == 2 {
				id = given[1]
			} else {
				var answer struct{ App appAnswer }
				if err := c.call(cmd.Context(), http.MethodGet, appPath(app), nil, &answer); err != nil {
					return err
				}
				for _, d := range []*deploymentAnswer{answer.App.Pending, answer.App.InProgress} {
					if d != nil && id == "" && !over(d.Phase) {
						id = d.ID
					}
				}
				if id == "" {
					return &apiError{status: http.StatusConflict, message: "app " + app + " has no deployment under way: there is nothing to cancel"}
				}
			}
			var answer struct{ Deployment json.RawMessage }
			if err := c.call(cmd.Context(), http.MethodPost, appPath(app, "deployments", id, "cancel"), map[string]string{"reason": reason}, &answer); err != nil {
				return err
			}
			return c.finish(cmd, app, answer.Deployment, false)
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the history")
	return cmd
}
