package git

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"shiplog/events"
)

// Source says where a commit is fetched from.
type Source struct {
	URL   string         // clone URL; https, http, ssh or git. Ignored when Local is set
	Local string         // path of a bare repository on this machine: one of the built-in remote's
	Allow []netip.Prefix // private networks that URL may resolve to; everything not public is refused otherwise
	User  string         // for HTTPS
	Token string         // for HTTPS; never sent to another host
}

// Tree is a checked-out commit.
type Tree struct {
	Hash    string    // git tree id of the commit
	Time    time.Time // committer time
	Message string
}

// Errors of this package, matched with errors.Is.
var (
	ErrNoRef       = errors.New("no such ref")           // the server answered: it is not there
	ErrUnreachable = errors.New("cannot be reached")     // try again later
	ErrRefused     = errors.New("not an allowed source") // the address or the scheme is not allowed, or the tree is hostile
	ErrDenied      = errors.New("access denied")         // the server wants credentials, or others
	ErrTooBig      = errors.New("too big")               // over a limit of size or count
)

// Checkout writes the files of rev's commit into dir, which must exist and be empty; there is no .git in it.
// It fetches depth 1 of the exact commit and, where the server refuses that, the branch. Errors wrap the ones above.
//
// It takes at most 2 minutes, fetches and writes at most 1 GiB each and writes at most 200,000 files and directories,
// submodules included. Files are 0644 or 0755 and carry the commit's time. Symlinks are written as they are and never
// followed. While it runs, what is fetched lies in a directory inside dir, so it needs no other place to write. After an
// error dir may hold part of the tree.
func Checkout(ctx context.Context, src Source, rev events.Revision, dir string) (Tree, error) {
	return checkout(ctx, src, rev, dir, defaultLimits)
}

func checkout(ctx context.Context, src Source, rev events.Revision, dir string, lim limits) (Tree, error) {
	ctx, cancel := context.WithTimeout(ctx, lim.Time)
	defer cancel()
	what := fmt.Sprintf("check out %s of %s", rev, src.name())
	if _, err := events.ParseCommit(string(rev.Commit)); err != nil {
		return Tree{}, fmt.Errorf("%s: %w", what, err)
	}
	tree, err := into(ctx, src, rev, dir, lim)
	if err != nil {
		return Tree{}, fmt.Errorf("%s: %w", what, timeout(ctx, lim.Time, err))
	}
	return tree, nil
}

func into(ctx context.Context, src Source, rev events.Revision, dir string, lim limits) (tree Tree, err error) {
	defer rescue(&err)
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Tree{}, err
	}
	defer root.Close()
	scratch, err := os.MkdirTemp(dir, ".shiplog-fetch-")
	if err != nil {
		return Tree{}, err
	}
	w := &writer{scratch: scratch, source: src, budget: &budget{limits: lim}}
	tree, err = w.checkout(ctx, src, rev, root, 0)
	if err := errors.Join(err, os.RemoveAll(scratch)); err != nil {
		return Tree{}, err
	}
	return tree, os.Chtimes(dir, tree.Time, tree.Time) // which the removal changed
}

// checkout fetches one repository's commit and writes it into dir; depth counts the repositories it is nested in.
func (w *writer) checkout(ctx context.Context, src Source, rev events.Revision, dir *os.Root, depth int) (Tree, error) {
	var r *repository
	var err error
	if src.Local != "" {
		r, err = openLocal(src.Local)
	} else {
		r, err = fetch(ctx, src, rev, filepath.Join(w.scratch, fmt.Sprint("r", w.repositories)), w.budget)
		w.repositories++
	}
	if err != nil {
		return Tree{}, err
	}
	defer r.Close()
	commit, err := r.commit(rev.Commit)
	if err != nil {
		return Tree{}, err
	}
	t := &treeWriter{writer: w, ctx: ctx, repo: r, time: commit.Committer.When, depth: depth, url: src.URL}
	if src.Local != "" {
		t.url = ""
	}
	if err := t.write(dir, commit.TreeHash); err != nil {
		return Tree{}, err
	}
	return Tree{Hash: commit.TreeHash.String(), Time: commit.Committer.When, Message: commit.Message}, nil
}
