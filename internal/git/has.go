package git

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"

	"shiplog/events"
)

// searchTime bounds looking for a commit at a server.
const searchTime = time.Minute

// HasCommit reports whether a commit can be had from a source. In a built-in repository every commit that was ever pushed
// counts, as nothing is cleaned away there. At a server the exact commit is asked for and, where the server refuses that,
// the history of its branches and tags is searched; files are left out where the server can do that. Without a deadline
// of its own it takes at most 1 minute; it fetches at most 256 MiB. An error means that nobody knows.
func HasCommit(ctx context.Context, src Source, c events.Commit) (bool, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, searchTime)
		defer cancel()
	}
	err := hasCommit(ctx, src, c)
	if errors.Is(err, ErrNoRef) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for commit %s in %s: %w", c.Short(), src.name(), timeout(ctx, searchTime, err))
	}
	return true, nil
}

func hasCommit(ctx context.Context, src Source, c events.Commit) (err error) {
	defer rescue(&err)
	var r *repository
	if src.Local != "" {
		if r, err = openLocal(src.Local); err != nil {
			return err
		}
	} else {
		dir, err := os.MkdirTemp("", "shiplog-search-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		if r, err = fetchWith(ctx, src, events.Revision{Commit: c}, dir, &budget{limits: searchLimits}, true); err != nil {
			return err
		}
	}
	defer r.Close()
	_, err = r.commit(c)
	return err
}

// Expand returns the commit of a built-in repository that begins with at least 7 hex digits. An [ErrNoRef] means that
// there is none; an [*AmbiguousError] that there are several.
func Expand(dir, prefix string) (events.Commit, error) {
	r, err := openLocal(dir)
	if err != nil {
		return "", err
	}
	defer r.Close()
	even := prefix[:len(prefix)&^1]
	raw, err := hex.DecodeString(even)
	if err != nil || len(prefix) < 7 || len(prefix) > 40 || strings.ToLower(prefix) != prefix {
		return "", fmt.Errorf("%w: %q is not the beginning of a commit (7 to 40 lower-case hex digits)", ErrNoRef, clip(prefix))
	}
	hashes, err := r.HashesWithPrefix(raw)
	if err != nil {
		return "", fmt.Errorf("look for commit %s in %s: %w", prefix, r.name, err)
	}
	var found []events.Commit
	for _, h := range hashes {
		if !strings.HasPrefix(h.String(), prefix) {
			continue
		}
		if o, err := r.EncodedObject(plumbing.CommitObject, h); err == nil && o.Type() == plumbing.CommitObject {
			found = append(found, events.Commit(h.String()))
		}
	}
	return Only(prefix, found, r.name)
}

// Only returns the one commit of a list, which may name it several times.
func Only(prefix string, found []events.Commit, where string) (events.Commit, error) {
	slices.Sort(found)
	switch found = slices.Compact(found); len(found) {
	case 0:
		return "", fmt.Errorf("%w: no commit in %s begins with %s; write all of its digits", ErrNoRef, where, clip(prefix))
	case 1:
		return found[0], nil
	}
	return "", &AmbiguousError{Prefix: prefix, Commits: found}
}

// AmbiguousError is a short commit that several commits begin with.
type AmbiguousError struct {
	Prefix  string
	Commits []events.Commit // sorted
}

// Error names the commits, at most five of them.
func (e *AmbiguousError) Error() string {
	var names []string
	for _, c := range e.Commits[:min(5, len(e.Commits))] {
		names = append(names, string(c))
	}
	return fmt.Sprintf("%s is the beginning of %d commits: %s; write more digits", e.Prefix, len(e.Commits), strings.Join(names, ", "))
}

// Details are a commit's words.
type Details struct {
	Message string
	Author  string // name and address, "Ann <ann@example.org>"
	Time    time.Time
}

// Describe reads a commit of a built-in repository. The text is what its author wrote: it may hold anything.
func Describe(dir string, c events.Commit) (Details, error) {
	r, err := openLocal(dir)
	if err != nil {
		return Details{}, err
	}
	defer r.Close()
	commit, err := r.commit(c)
	if err != nil {
		return Details{}, err
	}
	return Details{Message: commit.Message, Author: signature(commit.Author), Time: commit.Committer.When}, nil
}

func signature(s object.Signature) string {
	if s.Email == "" {
		return s.Name
	}
	return strings.TrimSpace(s.Name + " <" + s.Email + ">")
}
