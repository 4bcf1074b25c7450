package main

import (
	"bufio"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"shiplog/internal/api"
)

// pushTime is how long a build's log is waited for: a push becomes a deployment once its ref was resolved.
const pushTime = 10 * time.Second

// notYet reports whether the stage that a log is of was not reached.
func notYet(err error) bool {
	var refused *apiError
	return errors.As(err, &refused) && refused.status == http.StatusBadRequest
}

func newLogsCommand(c *cli) *cobra.Command {
	var build, deploy, runs, follow bool
	var deployment string
	var tail int
	cmd := &cobra.Command{
		Use:   "logs APP [COMPONENT]",
		Short: "Show what an app, its build or its rollout wrote",
		Args:  args(1, 2),
		RunE: func(cmd *cobra.Command, given []string) error {
			kind := "RUN"
			switch {
			case build && deploy || build && runs || deploy && runs:
				return usage("--build, --deploy and --run are three logs: choose one")
			case build:
				kind = "BUILD"
			case deploy:
				kind = "DEPLOY"
			}
			path := appPath(given[0], "logs")
			if deployment != "" {
				path = appPath(given[0], "deployments", deployment, "logs")
			}
			q := url.Values{"type": {kind}, "follow": {fmt.Sprint(follow)}, "tail_lines": {fmt.Sprint(tail)}}
			if len(given) == 2 {
				q.Set("component_name", given[1])
			}
			var urls struct {
				LiveURL      string   `json:"live_url"`
				HistoricURLs []string `json:"historic_urls"`
			}
			err := c.call(cmd.Context(), http.MethodGet, path+"?"+q.Encode(), nil, &urls)
			for patient := c.now().Add(pushTime); follow && deployment == "" && kind == "BUILD" && notYet(err) && c.now().Before(patient); {
				if !pauseFor(cmd.Context(), 300*time.Millisecond) { // a push was just made, and is being looked into
					return cmd.Context().Err()
				}
				err = c.call(cmd.Context(), http.MethodGet, path+"?"+q.Encode(), nil, &urls)
			}
			if kind == "RUN" && notYet(err) {
				return fmt.Errorf("%w (shiplog logs %s --build shows its build)", err, given[0])
			}
			if err != nil {
				return err
			}
			if follow {
				return c.followLog(cmd, urls.LiveURL)
			}
			for _, u := range urls.HistoricURLs {
				if err := c.copyLog(cmd, u); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&build, "build", false, "the log of the build")
	cmd.Flags().BoolVar(&deploy, "deploy", false, "the log of the rollout")
	cmd.Flags().BoolVar(&runs, "run", false, "what the running instances write (default)")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what comes; ends when the build or rollout does")
	cmd.Flags().StringVar(&deployment, "deployment", "", "id of the deployment (default: the newest)")
	cmd.Flags().IntVarP(&tail, "number", "n", 0, "only the last so many lines; 0: all")
	return cmd
}

// reached replaces the service's own idea of its address by the one that this client reaches it at: a tunnel or another
// name of the host may lie between them. The signature covers path and query alone.
func (c *cli) reached(signed string) (string, error) {
	u, err := url.Parse(signed)
	if err != nil {
		return "", fmt.Errorf("%s does not answer like a Shiplog service: %w", c.base(), err)
	}
	base, err := url.Parse(c.base())
	if err != nil {
		return "", usage("%s is not an address: %v", c.base(), err)
	}
	u.Scheme, u.Host = base.Scheme, base.Host
	return u.String(), nil
}

func (c *cli) followLog(cmd *cobra.Command, live string) error {
	u, err := c.reached(live)
	if err != nil {
		return err
	}
	stream := *c.http
	stream.Timeout = 0 // a log is followed for as long as it takes
	for line, err := range api.FollowLog(cmd.Context(), &stream, u) {
		if err != nil {
			return err
		}
		fmt.Fprintln(cmd.OutOrStdout(), clean(line))
	}
	return nil
}

func (c *cli) copyLog(cmd *cobra.Command, text string) error {
	u, err := c.reached(text)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(cmd.Context(), http.MethodGet, u, nil)
	if err != nil {
		return err
	}
	stream := *c.http
	stream.Timeout = 0
	resp, err := stream.Do(req)
	if err != nil {
		return &unreachableError{c.base(), err}
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the log cannot be read: %s", resp.Status)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		fmt.Fprintln(cmd.OutOrStdout(), clean(lines.Text()))
	}
	return lines.Err()
}
