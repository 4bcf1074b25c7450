package main

import (
	"context"
	"embed"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"shiplog/events"
)

//go:embed sample
var sample embed.FS

func newDemoCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "demo [NAME]",
		Short: "Show the service with a sample app: two pushes, and a rollback to the first",
		Long: `Make an app (default: demo), push two versions of a sample server to it with git, roll back to the first by the digest
of its image, and print what the log has of it. It needs git and the Go toolchain, and no network.`,
		Args: args(0, 1),
		RunE: func(cmd *cobra.Command, given []string) error {
			name := "demo"
			if len(given) > 0 {
				name = given[0]
			}
			dir, err := os.MkdirTemp("", "shiplog-demo-")
			if err != nil {
				return err
			}
			defer os.RemoveAll(dir)
			d := &demo{c: c, cmd: cmd, app: name, dir: dir}
			return d.run(cmd.Context())
		},
	}
}

// demo is the sample app's life.
type demo struct {
	c      *cli
	cmd    *cobra.Command
	app    string
	dir    string // clone of the sample's author
	remote string
	url    string // where the app answers
}

func (d *demo) run(ctx context.Context) error {
	for _, tool := range []string{"git", "go"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("the demo needs %s, which is not installed", tool)
		}
	}
	say(d.cmd, "1. An app, and a git remote for it: shiplog apps create %s", d.app)
	if err := d.create(ctx); err != nil {
		return err
	}
	say(d.cmd, "\n2. The first version: git push shiplog main")
	first, err := d.ship(ctx, "Hello from the first version")
	if err != nil {
		return err
	}
	say(d.cmd, "\n3. The second version: git push shiplog main")
	if _, err := d.ship(ctx, "Hello from the second version"); err != nil {
		return err
	}
	say(d.cmd, "\n4. Back to the first, by the digest of its image: shiplog rollback %s %s", d.app, first)
	if err := d.rollback(ctx, first); err != nil {
		return err
	}
	say(d.cmd, "\n5. What the log has of it: shiplog history %s", d.app)
	history := newHistoryCommand(d.c)
	history.SetArgs([]string{d.app})
	history.SetOut(d.cmd.OutOrStdout())
	history.SetErr(d.cmd.ErrOrStderr())
	if err := history.ExecuteContext(ctx); err != nil {
		return err
	}
	fmt.Fprintf(d.cmd.OutOrStdout(), "\nThe app answers at  %s\nIts git remote is   %s\n", d.url, d.remote)
	say(d.cmd, "It is pinned to the first version: a push is held until `shiplog unpin %s`. `shiplog apps delete %s` removes it.", d.app, d.app)
	return nil
}

func (d *demo) create(ctx context.Context) error {
	spec, err := d.c.specFor(d.cmd, d.app, "")
	if err != nil {
		return err
	}
	spec.Services[0].Termination = quickEnd
	var answer struct{ App appAnswer }
	if err := d.c.call(ctx, http.MethodPost, "/v2/apps", map[string]any{"spec": spec}, &answer); err != nil {
		return fmt.Errorf("%w (another demo: shiplog demo NAME; or shiplog apps delete %s)", err, d.app)
	}
	d.remote, d.url = d.c.remoteOf(answer.App.Spec), answer.App.URL
	for name, content := range map[string]string{"go.mod": "module sample\n\ngo 1.26\n", ".gitignore": "/.git\n"} {
		if err := os.WriteFile(filepath.Join(d.dir, name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return d.git(ctx, "init", "-q", "-b", "main")
}

// ship commits and pushes a version, waits until it answers, and returns the digest of its image.
func (d *demo) ship(ctx context.Context, greeting string) (digest string, err error) {
	source, err := sample.ReadFile("sample/main.go.txt")
	if err != nil {
		return "", err
	}
	dockerfile, err := sample.ReadFile("sample/Dockerfile")
	if err != nil {
		return "", err
	}
	main := strings.Replace(string(source), "GREETING", greeting, 1)
	for name, content := range map[string]string{"main.go": main, "Dockerfile": string(dockerfile)} {
		if err := os.WriteFile(filepath.Join(d.dir, name), []byte(content), 0o644); err != nil {
			return "", err
		}
	}
	build := exec.CommandContext(ctx, "go", "build", "-ldflags", "-s -w", "-o", "hello", ".")
	build.Dir, build.Env = d.dir, append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("compile the sample: %w: %s", err, out)
	}
	for _, step := range [][]string{{"add", "-A"}, {"commit", "-q", "-m", greeting}, {"push", "-q", d.remote, "HEAD:refs/heads/main"}} {
		if err := d.git(ctx, step...); err != nil {
			return "", err
		}
	}
	began := time.Now()
	for {
		if text, err := d.get(ctx); err == nil && text == greeting {
			say(d.cmd, "%6s  it answers: %s", span(time.Since(began)), text)
			break
		}
		if !pauseFor(ctx, 100*time.Millisecond) {
			return "", ctx.Err()
		}
		if time.Since(began) > 3*time.Minute {
			return "", fmt.Errorf("%s does not answer with the new version: shiplog history %s, shiplog logs %s --build", d.url, d.app, d.app)
		}
	}
	return d.digest(ctx)
}

// digest returns the image that the newest release runs. The release is in the log a moment after it answers.
func (d *demo) digest(ctx context.Context) (string, error) {
	for {
		var answer struct{ App appAnswer }
		if err := d.c.call(ctx, http.MethodGet, appPath(d.app), nil, &answer); err != nil {
			return "", err
		}
		if a := answer.App; a.InProgress == nil && a.Active != nil && len(a.Active.Components) > 0 {
			return string(a.Active.Components[0].Digest), nil
		}
		if !pauseFor(ctx, 50*time.Millisecond) {
			return "", ctx.Err()
		}
	}
}

func (d *demo) rollback(ctx context.Context, digest string) error {
	roll := newRollbackCommand(d.c)
	roll.SetArgs([]string{d.app, digest, "--yes", "--reason", "the demo goes back"})
	roll.SetOut(d.cmd.OutOrStdout())
	roll.SetErr(d.cmd.ErrOrStderr())
	if err := roll.ExecuteContext(ctx); err != nil {
		return err
	}
	text, err := d.get(ctx)
	if err != nil {
		return err
	}
	say(d.cmd, "        it answers: %s", text)
	return nil
}

// git runs git as the sample's author. The token goes by the environment, where no list of processes shows it.
func (d *demo) git(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = d.dir
	cmd.Env = append(os.Environ(),
		"GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=Shiplog demo", "GIT_AUTHOR_EMAIL=demo@localhost", "GIT_COMMITTER_NAME=Shiplog demo", "GIT_COMMITTER_EMAIL=demo@localhost",
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=http."+d.c.base()+".extraHeader", "GIT_CONFIG_VALUE_0="+basic("demo", d.c.token()),
	)
	cmd.Stdout, cmd.Stderr = d.cmd.ErrOrStderr(), d.cmd.ErrOrStderr()
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("git %s: %w", args[0], err)
	}
	return nil
}

// get asks the app through the ingress. A name under .localhost is this machine, whatever the resolver says.
func (d *demo) get(ctx context.Context) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url, nil)
	if err != nil {
		return "", err
	}
	if host := req.URL.Hostname(); strings.HasSuffix(host, ".localhost") {
		req.Host = req.URL.Host
		req.URL.Host = strings.Replace(req.URL.Host, host, "127.0.0.1", 1)
	}
	res, err := d.c.http.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 1<<10))
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %s", d.url, res.Status)
	}
	return strings.TrimSpace(string(b)), err
}

// basic is the header of a user name and a password.
func basic(user, password string) string {
	req := http.Request{Header: http.Header{}}
	req.SetBasicAuth(user, password)
	return "Authorization: " + req.Header.Get("Authorization")
}

// quickEnd lets the sample's old instances go fast: nobody has long requests under way.
var quickEnd = &events.Termination{DrainSeconds: 1, GracePeriodSeconds: 2}
