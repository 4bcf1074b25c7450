package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"shiplog/events"
	"shiplog/internal/spec"
)

func newAppsCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "apps", Short: "Make, show, change and delete apps", Args: func(cmd *cobra.Command, given []string) error {
		if len(given) > 0 {
			return usage("unknown command %q for apps; `shiplog apps --help` lists them", given[0])
		}
		return nil
	}, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(newAppsCreateCommand(c), newAppsListCommand(c), newAppsGetCommand(c), newAppsUpdateCommand(c), newAppsDeleteCommand(c))
	return cmd
}

func newAppsCreateCommand(c *cli) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "create [NAME] [--spec FILE]",
		Short: "Make an app; without a spec one service, web, from the service's own git remote",
		Args:  args(0, 1),
		RunE: func(cmd *cobra.Command, given []string) error {
			name := ""
			if len(given) > 0 {
				name = given[0]
			}
			sp, err := c.specFor(cmd, name, file)
			if err != nil {
				return err
			}
			var answer struct {
				App appAnswer
			}
			var raw struct {
				App any `json:"app"`
			}
			if err := c.both(cmd, http.MethodPost, "/v2/apps", map[string]any{"spec": sp}, &answer, &raw); err != nil {
				return err
			}
			a := answer.App
			err = c.show(cmd, raw.App, func(w io.Writer) {
				rows := [][]string{{"app", a.Spec.Name}, {"id", a.ID}}
				if r := c.remoteOf(a.Spec); r != "" {
					rows = append(rows, []string{"git remote", r})
				}
				if a.URL != "" {
					rows = append(rows, []string{"answers at", a.URL})
				}
				table(w, "", rows)
			})
			if r := c.remoteOf(a.Spec); r != "" {
				say(cmd, "\nPush to it and it is built and started:\n  git remote add shiplog %s\n  git push shiplog %s\n(any user name; the password is the token)", r, branchOf(a.Spec))
			} else if a.Pending != nil {
				say(cmd, "\nIts first deployment is on its way: shiplog logs %s --build -f", a.Spec.Name)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&file, "spec", "", "file with the app's spec, YAML or JSON; - is stdin")
	return cmd
}

// specFor returns the spec of a new app: from a file, or the default for its name.
func (c *cli) specFor(cmd *cobra.Command, name, file string) (events.Spec, error) {
	if file == "" {
		if name == "" {
			return events.Spec{}, usage("give the app a name, or a spec that has one: shiplog apps create NAME, or shiplog apps create --spec FILE")
		}
		return events.Spec{Name: name, Services: []events.Component{{
			Name: "web", Git: &events.GitSource{RepoCloneURL: c.base() + "/git/" + name + ".git", Branch: "main"},
		}}}, nil
	}
	sp, err := readSpec(cmd, file)
	if err == nil && name != "" && sp.Name != name {
		err = usage("the spec in %s is of an app named %s, not %s", file, sp.Name, name)
	}
	return sp, err
}

func readSpec(cmd *cobra.Command, file string) (events.Spec, error) {
	var text []byte
	var err error
	if file == "-" {
		text, err = io.ReadAll(cmd.InOrStdin())
	} else {
		text, err = os.ReadFile(file)
	}
	if err != nil {
		return events.Spec{}, fmt.Errorf("read the spec: %w", err)
	}
	sp, err := spec.Parse(text)
	if err != nil {
		return events.Spec{}, fmt.Errorf("%s: %w", file, err)
	}
	return sp, nil
}

// remoteOf returns the service's own git remote that a spec builds from, or "".
func (c *cli) remoteOf(s events.Spec) string {
	for _, comp := range s.Components() {
		if url, _, ok := comp.Repository(); ok && strings.HasSuffix(url, "/git/"+s.Name+".git") {
			return url
		}
	}
	return ""
}

func branchOf(s events.Spec) string {
	for _, comp := range s.Components() {
		if _, branch, ok := comp.Repository(); ok {
			return branch
		}
	}
	return "main"
}

func newAppsListCommand(c *cli) *cobra.Command {
	return &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List the apps", Args: args(0, 0), RunE: func(cmd *cobra.Command, _ []string) error {
		apps, raw, err := bothLists[appAnswer](cmd.Context(), c, "/v2/apps", "apps", 0)
		if err != nil {
			return err
		}
		if len(apps) == 0 {
			say(cmd, "There is no app yet: shiplog apps create NAME makes one.")
		}
		return c.show(cmd, raw, func(w io.Writer) {
			var rows [][]string
			for _, a := range apps {
				rows = append(rows, []string{a.Spec.Name, release(a.Release), stateOf(a), pinText(a), a.URL, c.ago(a.UpdatedAt)})
			}
			if len(rows) > 0 {
				table(w, "NAME\tRELEASE\tSTATE\tPINNED TO\tURL\tCHANGED", rows)
			}
		})
	}}
}

func newAppsGetCommand(c *cli) *cobra.Command {
	return &cobra.Command{Use: "get APP", Short: "Show an app", Args: args(1, 1), RunE: func(cmd *cobra.Command, given []string) error {
		var answer struct{ App appAnswer }
		var raw struct {
			App any `json:"app"`
		}
		if err := c.both(cmd, http.MethodGet, appPath(given[0]), nil, &answer, &raw); err != nil {
			return err
		}
		a := answer.App
		return c.show(cmd, raw.App, func(w io.Writer) {
			rows := [][]string{
				{"app", a.Spec.Name}, {"id", a.ID}, {"state", stateOf(a)}, {"release", release(a.Release)}, {"answers at", a.URL},
				{"created", c.ago(a.CreatedAt)}, {"changed", c.ago(a.UpdatedAt)},
			}
			if a.Active != nil {
				for _, comp := range a.Active.Components {
					rows = append(rows, []string{comp.Name + " runs", strings.TrimSpace(comp.Revision + " sha256:" + comp.Digest.Short())})
				}
			}
			for _, p := range a.Pins {
				rows = append(rows, []string{"pinned", c.pinLine(p)})
			}
			for _, h := range a.Held {
				rows = append(rows, []string{"held", fmt.Sprintf("%s for %s, pushed %s (%d held)", h.Commit.Short(), h.Component, c.ago(h.At), h.Count)})
			}
			for _, q := range a.Quarantined {
				rows = append(rows, []string{"quarantined", strings.TrimSpace(q.Commit.Short() + q.Digest.Short() + " " + q.Reason)})
			}
			if a.ReadOnly != "" {
				rows = append(rows, []string{"read-only", a.ReadOnly})
			}
			table(w, "", rows)
		})
	}}
}

func newAppsUpdateCommand(c *cli) *cobra.Command {
	var file string
	var sources, wait bool
	cmd := &cobra.Command{
		Use:   "update APP --spec FILE",
		Short: "Change an app's spec, and deploy it; commits stay as they are",
		Args:  args(1, 1),
		RunE: func(cmd *cobra.Command, given []string) error {
			if file == "" {
				return usage("say which spec: shiplog apps update %s --spec FILE", given[0])
			}
			sp, err := readSpec(cmd, file)
			if err != nil {
				return err
			}
			var answer struct{ App appAnswer }
			var raw struct {
				App any `json:"app"`
			}
			if err := c.both(cmd, http.MethodPut, appPath(given[0]), map[string]any{"spec": sp, "update_all_source_versions": sources}, &answer, &raw); err != nil {
				return err
			}
			if wait && answer.App.Pending != nil {
				if _, err := c.wait(cmd, given[0], answer.App.Pending.ID); err != nil {
					return err
				}
			}
			return c.show(cmd, raw.App, func(w io.Writer) { fmt.Fprintf(w, "%s is changed\n", clean(answer.App.Spec.Name)) })
		},
	}
	cmd.Flags().StringVar(&file, "spec", "", "file with the app's spec, YAML or JSON; - is stdin")
	cmd.Flags().BoolVar(&sources, "update-sources", false, "also take the newest revision of every component")
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until it is live")
	return cmd
}

func newAppsDeleteCommand(c *cli) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{Use: "delete APP", Short: "Delete an app; its history stays in the log", Args: args(1, 1), RunE: func(cmd *cobra.Command, given []string) error {
		if !confirmed(cmd, yes, false, fmt.Sprintf("Delete app %s? It stops at once.", given[0])) {
			return usage("app %s was not deleted: --yes says that you mean it", given[0])
		}
		var raw map[string]any
		if err := c.call(cmd.Context(), http.MethodDelete, appPath(given[0]), nil, &raw); err != nil {
			return err
		}
		return c.show(cmd, raw, func(w io.Writer) { fmt.Fprintf(w, "%s is deleted\n", clean(given[0])) })
	}}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

func release(n int) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprintf("v%d", n)
}

// stateOf says in a word or two how an app is.
func stateOf(a appAnswer) string {
	switch {
	case a.ReadOnly != "":
		return "read-only"
	case a.Stopped:
		return "stopped"
	case a.InProgress != nil:
		return strings.ToLower(a.InProgress.Phase)
	case a.Pending != nil && !over(a.Pending.Phase):
		return "queued"
	case a.Active != nil:
		return "live"
	}
	return "waits for a push"
}

func pinText(a appAnswer) string {
	var refs []string
	for _, p := range a.Pins {
		p.Ref = refText(p.Ref)
		if p.Component != "" {
			p.Ref = p.Component + ":" + p.Ref
		}
		refs = append(refs, p.Ref)
	}
	return strings.Join(refs, " ")
}

// refText is a ref as a table shows it: a digest by its first digits.
func refText(ref string) string {
	if d, err := events.ParseDigest(ref); err == nil {
		return "sha256:" + d.Short()
	}
	return ref
}

func (c *cli) pinLine(p pinAnswer) string {
	line := refText(p.Ref)
	if p.Component != "" {
		line = p.Component + " to " + line
	}
	line += fmt.Sprintf(" by %s %s", p.By, c.ago(p.At))
	if p.Reason != "" {
		line += ": " + p.Reason
	}
	if !p.ExpiresAt.IsZero() {
		line += ", expires " + c.ago(p.ExpiresAt)
	}
	return line
}
