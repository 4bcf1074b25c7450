package main

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func newAtCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "at APP TIME",
		Short: "Show what ran at a time: 2h (ago), 15:04, 2006-01-02 15:04, or RFC 3339",
		Args:  args(2, 3),
		RunE: func(cmd *cobra.Command, given []string) error {
			t, err := c.moment(strings.TrimSuffix(strings.Join(given[1:], " "), " ago"), -1)
			if err != nil {
				return err
			}
			var answer struct {
				At struct {
					Stopped    bool
					Release    *releaseAnswer
					Components map[string]targetAnswer
					Pins       []pinAnswer
					Actor      string
					Since      time.Time
				}
			}
			var raw struct {
				At any `json:"at"`
			}
			path := appPath(given[0], "at") + "?time=" + url.QueryEscape(t.UTC().Format(time.RFC3339))
			if err := c.both(cmd, http.MethodGet, path, nil, &answer, &raw); err != nil {
				return err
			}
			then := answer.At
			return c.show(cmd, raw.At, func(w io.Writer) {
				rows := [][]string{{"at", t.Local().Format("2006-01-02 15:04:05 MST")}}
				if then.Release != nil {
					rows = append(rows, []string{"release", fmt.Sprintf("%s, %s by %s", then.Release.Name, then.Release.Change, then.Release.By)})
				}
				if then.Stopped {
					rows = append(rows, []string{"state", "stopped"})
				}
				for _, name := range slices.Sorted(maps.Keys(then.Components)) {
					t := then.Components[name]
					rows = append(rows, []string{name + " ran", strings.TrimSpace(t.Revision + " " + string(t.Digest))})
				}
				for _, p := range then.Pins {
					rows = append(rows, []string{"pinned", c.pinLine(p)})
				}
				rows = append(rows, []string{"since", then.Since.Local().Format("2006-01-02 15:04:05 MST") + ", by " + then.Actor})
				table(w, "", rows)
			})
		},
	}
}
