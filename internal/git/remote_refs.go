package git

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"shiplog/events"
)

// keepRefs is where commits that must not be lost have a ref. Clients cannot see it.
const keepRefs = "refs/shiplog/keep/"

// Keep makes sure that a commit stays whatever is pushed later. It is an [ErrNoRef] when the commit is not there.
func (r *Remote) Keep(ctx context.Context, name string, c events.Commit) error {
	if has, err := HasCommit(ctx, r.Source(name), c); err != nil || !has {
		return fmt.Errorf("keep commit %s of %s: %w", c, name, orElse(err, ErrNoRef))
	}
	if _, err := r.run(ctx, r.Path(name), "update-ref", keepRefs+string(c), string(c)); err != nil {
		return fmt.Errorf("keep commit %s of %s: %w", c, name, err)
	}
	return nil
}

// Refs returns the branches and tags of a repository and their commits. A repository that is not there has none.
func (r *Remote) Refs(ctx context.Context, name string) (map[events.RefName]events.Commit, error) {
	refs, err := Refs(ctx, r.Source(name))
	if errors.Is(err, ErrNoRef) {
		return nil, nil
	}
	return refs, err
}

// Follows reports whether a commit has the older one in its history, or is it.
func (r *Remote) Follows(ctx context.Context, name string, newer, older events.Commit) (bool, error) {
	_, err := r.run(ctx, r.Path(name), "merge-base", "--is-ancestor", string(older), string(newer))
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 {
		return false, nil
	}
	return err == nil, err
}

// Changed lists the paths that differ between two commits, at most limit of them; more tells whether there are others.
// A commit that is not there (a shallow push, say) has no list.
func (r *Remote) Changed(ctx context.Context, name string, from, to events.Commit, limit int) (paths []string, more bool) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := r.run(ctx, r.Path(name), "diff-tree", "-r", "-z", "--name-only", "--no-renames", string(from), string(to))
	if err != nil {
		return nil, true
	}
	paths = strings.FieldsFunc(out, func(r rune) bool { return r == 0 })
	if len(out) >= maxOutput-1 { // cut, perhaps in the middle of a path
		paths, more = paths[:max(0, len(paths)-1)], true
	}
	if len(paths) > limit {
		paths, more = paths[:limit], true
	}
	return paths, more
}

func orElse(err, other error) error {
	if err != nil {
		return err
	}
	return other
}
