package main

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func newQueueCommand(c *cli) *cobra.Command {
	return &cobra.Command{Use: "queue", Short: "List work under way and waiting, in order", Args: args(0, 0), RunE: func(cmd *cobra.Command, _ []string) error {
		var answer struct {
			Queue []struct {
				Position              int
				App, Phase, Cause, By string
				Deployment            string    `json:"deployment_id"`
				WaitsFor              string    `json:"waits_for"`
				Since                 time.Time `json:"since"`
			}
		}
		var raw struct {
			Queue any `json:"queue"`
		}
		if err := c.both(cmd, http.MethodGet, "/v2/queue", nil, &answer, &raw); err != nil {
			return err
		}
		if len(answer.Queue) == 0 {
			say(cmd, "Nothing is under way.")
		}
		return c.show(cmd, raw.Queue, func(w io.Writer) {
			var rows [][]string
			for _, q := range answer.Queue {
				state := cmp.Or(q.WaitsFor, strings.ToLower(q.Phase))
				if q.WaitsFor != "" {
					state = "waits for " + state
				}
				rows = append(rows, []string{fmt.Sprint(q.Position), q.App, state, c.ago(q.Since), cleanLine(q.Cause), q.By, q.Deployment})
			}
			if len(rows) > 0 {
				table(w, "#\tAPP\tSTATE\tSINCE\tCAUSE\tBY\tDEPLOYMENT", rows)
			}
		})
	}}
}
