package main

import (
	"io"
	"maps"
	"net/http"
	"slices"

	"github.com/spf13/cobra"
)

func newHookCommand(c *cli) *cobra.Command {
	var rotate bool
	cmd := &cobra.Command{
		Use:   "hook APP",
		Short: "Show the webhook address and secret to give to a forge",
		Args:  args(1, 1),
		RunE: func(cmd *cobra.Command, given []string) error {
			var answer struct {
				Webhook struct {
					Secret string
					URLs   map[string]string
				}
			}
			var raw struct {
				Webhook any `json:"webhook"`
			}
			method, path := http.MethodGet, appPath(given[0], "webhook")
			if rotate {
				method, path = http.MethodPost, appPath(given[0], "webhook", "rotate")
			}
			if err := c.both(cmd, method, path, nil, &answer, &raw); err != nil {
				return err
			}
			hook := answer.Webhook
			if err := c.show(cmd, raw.Webhook, func(w io.Writer) {
				rows := [][]string{{"secret", hook.Secret}}
				for _, provider := range slices.Sorted(maps.Keys(hook.URLs)) {
					rows = append(rows, []string{provider, hook.URLs[provider]})
				}
				table(w, "", rows)
			}); err != nil {
				return err
			}
			say(cmd, `
At GitHub: the repository's Settings, Webhooks, Add webhook.
  Payload URL   %s
  Content type  application/json
  Secret        the one above
  Events        just the push event
The forge must reach that address: shiplog serve --public-url says what it is called from outside.`, hook.URLs["github"])
			return nil
		},
	}
	cmd.Flags().BoolVar(&rotate, "rotate", false, "make a new secret; the old one stays good for a while")
	return cmd
}
