package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

func newReleasesCommand(c *cli) *cobra.Command {
	var limit int
	cmd := &cobra.Command{Use: "releases APP", Short: "List what went live, the newest first", Args: args(1, 1), RunE: func(cmd *cobra.Command, given []string) error {
		releases, raw, err := bothLists[releaseAnswer](cmd.Context(), c, appPath(given[0], "releases"), "releases", limit)
		if err != nil {
			return err
		}
		if len(releases) == 0 {
			say(cmd, "App %s has no release yet.", given[0])
		}
		return c.show(cmd, raw, func(w io.Writer) {
			var rows [][]string
			for _, r := range releases {
				note := ""
				switch {
				case r.Active:
					note = "live"
				case len(r.Missing) > 0:
					note = "image removed"
				case r.RolledBackTo > 0:
					note = fmt.Sprintf("same as v%d", r.RolledBackTo)
				}
				rows = append(rows, []string{r.Name, what(r.Components), digests(r.Components), cleanLine(r.Change), r.By, c.ago(r.When), note})
			}
			if len(rows) > 0 {
				table(w, "RELEASE\tREVISION\tDIGEST\tCHANGE\tBY\tWHEN\t", rows)
			}
		})
	}}
	cmd.Flags().IntVarP(&limit, "number", "n", 20, "show the newest so many; 0: all")
	return cmd
}
