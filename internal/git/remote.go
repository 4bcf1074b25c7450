package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"shiplog/events"
)

// RemoteOptions are what the built-in remote asks of its neighbours.
type RemoteOptions struct {
	// Authenticate says who a user name and a password (a token) are. nil refuses everybody.
	Authenticate func(user, token string) (events.Actor, bool)
	// Missing is called for a repository that is not there, when somebody who may asks for it. It may make it. May be nil.
	Missing func(ctx context.Context, name string) error
	// BeforePush is called when a client asks to push. An error refuses the push, with the error's text, before anything
	// is sent: when the log is down, say. May be nil.
	BeforePush func(ctx context.Context, name string) error
	// AfterPush is called when git has stored a push and before the client hears of it, one push of a repository at a time.
	// say is shown to the person who pushed. On an error git reports the push as refused, with the error's text; the
	// repository has it all the same, and a later comparison finds it. It runs for at most a minute and goes on when the
	// client has gone. May be nil.
	AfterPush func(ctx context.Context, name string, actor events.Actor) (say string, err error)
	MaxPush   int64        // bytes of one push; default 1 GiB
	Spool     string       // directory for bodies of requests, while they last; default the system's
	Slog      *slog.Logger // default none
}

// Remote is the built-in git remote: bare repositories in one folder, and their HTTP server. It is safe for concurrent
// use. Nothing that was pushed is ever cleaned away, short of Remove.
type Remote struct {
	RemoteOptions
	dir  string
	git  string // path of the program
	mu   sync.Mutex
	busy map[string]chan struct{} // by name: holds one token while a push is taken
	open sync.WaitGroup
}

// oldestGit is the first git with core.fsync.
var oldestGit = [2]int{2, 36}

// OpenRemote opens the built-in remote whose repositories are in dir, which it makes. It fails when there is no git
// program, or one older than 2.36. Close it when its server has stopped.
func OpenRemote(dir string, o RemoteOptions) (*Remote, error) {
	if o.MaxPush == 0 {
		o.MaxPush = defaultLimits.Bytes
	}
	if o.Slog == nil {
		o.Slog = slog.New(slog.DiscardHandler)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the built-in git remote: %w", err)
	}
	program, err := exec.LookPath("git")
	if err != nil {
		return nil, fmt.Errorf("the built-in git remote needs git 2.36 or newer: install it (apt install git): %w", err)
	}
	r := &Remote{RemoteOptions: o, dir: dir, git: program, busy: map[string]chan struct{}{}}
	version, err := r.run(context.Background(), dir, "version")
	if err != nil {
		return nil, err
	}
	var have [2]int
	if n, _ := fmt.Sscanf(version, "git version %d.%d", &have[0], &have[1]); n != 2 || have[0] < oldestGit[0] || have[0] == oldestGit[0] && have[1] < oldestGit[1] {
		return nil, fmt.Errorf("the built-in git remote needs git 2.36 or newer, and %s says %q: install a newer one", program, version)
	}
	return r, r.clearUnfinished()
}

// Close waits for pushes that are being taken.
func (r *Remote) Close() error {
	r.open.Wait()
	return nil
}

// appName is what a repository can be called: an app's name.
var appName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,30}[a-z0-9]$`)

// Path returns where the repository of an app is, or would be; "" when that is no app's name.
func (r *Remote) Path(name string) string {
	if !appName.MatchString(name) {
		return ""
	}
	return filepath.Join(r.dir, name+".git")
}

// Source returns the repository as a source to check out from.
func (r *Remote) Source(name string) Source { return Source{Local: r.Path(name)} }

// settings are a repository's config file: whole, so that nothing else is in force.
const settings = `# Written by Shiplog, which replaces it at every start.
[core]
	repositoryformatversion = 0
	filemode = true
	bare = true
	fsync = all
	hooksPath = /dev/null
	logAllRefUpdates = false
[init]
	defaultBranch = main
[gc]
	auto = 0
	pruneExpire = never
[maintenance]
	auto = false
[receive]
	autogc = false
	fsckObjects = true
	denyDeleteCurrent = true
	unpackLimit = 1
	maxInputSize = %d
[uploadpack]
	allowReachableSHA1InWant = true
	allowFilter = true
[transfer]
	hideRefs = refs/shiplog
[http]
	receivepack = true
	uploadpack = true
	getanyfile = false
`

// Ensure makes the repository of an app, with main as its first branch. One that is there keeps what it holds and gets the
// settings of this version.
func (r *Remote) Ensure(name string) error {
	path := r.Path(name)
	if path == "" {
		return fmt.Errorf("%q is not an app's name", clip(name))
	}
	fail := func(err error) error { return fmt.Errorf("make the git repository of %s: %w", name, err) }
	config := []byte(fmt.Sprintf(settings, r.MaxPush))
	if old, err := os.ReadFile(filepath.Join(path, "config")); err == nil {
		if bytes.Equal(old, config) {
			return nil
		}
		return replaceFile(filepath.Join(path, "config"), config)
	}
	fresh, err := os.MkdirTemp(r.dir, unfinished)
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(fresh)
	if _, err := r.run(context.Background(), fresh, "init", "--quiet", "--bare", "--template=", "--initial-branch=main", "."); err != nil {
		return fail(err)
	}
	if err := replaceFile(filepath.Join(fresh, "config"), config); err != nil {
		return fail(err)
	}
	if err := os.Rename(fresh, path); err != nil && !errors.Is(err, os.ErrExist) { // somebody else was faster
		return fail(err)
	}
	return syncDir(r.dir)
}

// unfinished begins the name of a repository that is being made.
const unfinished = ".making-"

func (r *Remote) clearUnfinished() error {
	left, _ := filepath.Glob(filepath.Join(r.dir, unfinished+"*"))
	for _, dir := range left {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}

// Archive takes a repository away from clients and keeps it, under DIR/git/.archive. One that is not there is no error.
func (r *Remote) Archive(name string) error {
	path := r.Path(name)
	if _, err := os.Stat(path); path == "" || errors.Is(err, os.ErrNotExist) {
		return nil
	}
	attic := filepath.Join(r.dir, ".archive")
	if err := os.MkdirAll(attic, 0o700); err != nil {
		return err
	}
	to := filepath.Join(attic, name+"."+time.Now().UTC().Format("20060102T150405.000000")+".git")
	if err := os.Rename(path, to); err != nil {
		return fmt.Errorf("archive the git repository of %s: %w", name, err)
	}
	return errors.Join(syncDir(attic), syncDir(r.dir))
}

// Remove deletes a repository for good. One that is not there is no error.
func (r *Remote) Remove(name string) error {
	path := r.Path(name)
	if path == "" {
		return nil
	}
	gone := filepath.Join(r.dir, unfinished+"removed-"+name)
	if err := os.Rename(path, gone); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the git repository of %s: %w", name, err)
	}
	return os.RemoveAll(gone)
}

// Names lists the repositories.
func (r *Remote) Names() ([]string, error) {
	list, err := os.ReadDir(r.dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range list {
		if name, ok := strings.CutSuffix(e.Name(), ".git"); ok && appName.MatchString(name) {
			names = append(names, name)
		}
	}
	return names, nil
}

// Exclusive runs f while no push to the repository is taken, so that a comparison does not see half of one.
func (r *Remote) Exclusive(ctx context.Context, name string, f func() error) error {
	r.mu.Lock()
	token := r.busy[name]
	if token == nil {
		token = make(chan struct{}, 1)
		r.busy[name] = token
	}
	r.mu.Unlock()
	select {
	case token <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-token }()
	return f()
}

// maxOutput is how much of what git prints is kept, in bytes.
const maxOutput = 64 << 10

// run runs git in a directory with nothing of the environment but PATH, and returns the first maxOutput bytes it prints.
func (r *Remote) run(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, r.git, args...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = dir, r.env(dir), 5*time.Second
	out, problems := &head{max: maxOutput}, &head{max: 2 << 10}
	cmd.Stdout, cmd.Stderr = out, problems
	if err := cmd.Run(); err != nil {
		if text := strings.TrimSpace(problems.String()); text != "" {
			return "", fmt.Errorf("git %s: %w: %s", args[0], err, oneLine(errors.New(text)))
		}
		return "", fmt.Errorf("git %s: %w", args[0], err)
	}
	return strings.TrimSuffix(out.String(), "\n"), nil
}

func (r *Remote) env(dir string) []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "HOME=/nonexistent", "GIT_TERMINAL_PROMPT=0",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
		// A restored backup may belong to another user; the settings in it are ours.
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=" + dir,
	}
}

// head keeps the first max bytes that are written. It does not embed its buffer, whose ReadFrom would go round the limit.
type head struct {
	buf bytes.Buffer
	max int
}

func (h *head) Write(p []byte) (int, error) {
	h.buf.Write(p[:min(len(p), max(0, h.max-h.buf.Len()))])
	return len(p), nil
}

func (h *head) String() string { return h.buf.String() }

// replaceFile writes a file so that after a crash the old one or the new one is there.
func replaceFile(name string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".new-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = io.Copy(f, bytes.NewReader(content))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return err
	}
	return syncDir(filepath.Dir(name))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

var _ http.Handler = (*Remote)(nil)
