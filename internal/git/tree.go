package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// maxNesting is how deep directories may be nested; maxLink the bytes of a symlink's target.
const (
	maxNesting = 200
	maxLink    = 4095
)

// writer is one Checkout.
type writer struct {
	scratch      string // for what is fetched
	source       Source // of the outermost repository
	repositories int    // fetched so far
	budget       *budget
}

// treeWriter writes one repository's files.
type treeWriter struct {
	*writer
	ctx   context.Context
	repo  *repository
	time  time.Time         // of the commit; every file gets it
	depth int               // repositories this one is nested in
	url   string            // of the repository, for relative submodules; "" when it has none
	subs  map[string]string // path -> URL, from .gitmodules
}

// write writes the root of the repository's tree into dir.
func (t *treeWriter) write(dir *os.Root, tree plumbing.Hash) error {
	root, err := t.tree(tree, ".")
	if err != nil {
		return err
	}
	if t.subs, err = t.submodules(root); err != nil {
		return err
	}
	return t.directory(dir, root, "")
}

// directory writes the entries of one tree. Every file and directory is made new, so a name that stands twice in a tree
// fails, and nothing is ever written through a symlink.
func (t *treeWriter) directory(dir *os.Root, tree *object.Tree, at string) error {
	if strings.Count(at, "/") > maxNesting {
		return fmt.Errorf("%w: directories are nested more than %d deep at %q", ErrTooBig, maxNesting, clip(at))
	}
	var links []string
	for _, e := range tree.Entries {
		if err := errors.Join(t.ctx.Err(), checkName(e.Name)); err != nil {
			return err
		}
		if err := t.budget.spend(0, 0, 1); err != nil {
			return err
		}
		if e.Mode == filemode.Symlink {
			links = append(links, e.Name)
		}
		if err := t.entry(dir, e, path.Join(at, e.Name)); err != nil {
			if errors.Is(err, os.ErrExist) {
				return fmt.Errorf("%w: the commit holds %q twice; repair the repository (git fsck)", ErrRefused, clip(path.Join(at, e.Name)))
			}
			return err
		}
	}
	return t.stamp(dir, links)
}

func (t *treeWriter) entry(dir *os.Root, e object.TreeEntry, at string) error {
	switch e.Mode {
	case filemode.Regular, filemode.Deprecated:
		return t.file(dir, e, at, 0o644)
	case filemode.Executable:
		return t.file(dir, e, at, 0o755)
	case filemode.Symlink:
		return t.link(dir, e, at)
	case filemode.Dir:
		tree, err := t.tree(e.Hash, at)
		if err != nil {
			return err
		}
		sub, err := makeDir(dir, e.Name)
		if err != nil {
			return err
		}
		defer sub.Close()
		return t.directory(sub, tree, at)
	case filemode.Submodule:
		return t.submodule(dir, e, at)
	}
	return fmt.Errorf("%w: %q has the mode %s, which git does not know; repair the repository (git fsck)", ErrRefused, clip(at), e.Mode)
}

// makeDir makes a directory and opens it. It does not follow a symlink: the name was not there.
func makeDir(dir *os.Root, name string) (*os.Root, error) {
	if err := dir.Mkdir(name, 0o755); err != nil {
		return nil, err
	}
	if err := dir.Chmod(name, 0o755); err != nil { // whatever the umask is
		return nil, err
	}
	return dir.OpenRoot(name)
}

func (t *treeWriter) tree(h plumbing.Hash, at string) (*object.Tree, error) {
	tree, err := object.GetTree(t.repo.Storage, h)
	if err != nil {
		return nil, fmt.Errorf("read directory %q of %s: %w", clip(at), t.repo.name, err)
	}
	return tree, nil
}

func (t *treeWriter) file(dir *os.Root, e object.TreeEntry, at string, mode os.FileMode) error {
	blob, err := object.GetBlob(t.repo.Storage, e.Hash)
	if err != nil {
		return fmt.Errorf("read %q of %s: %w", clip(at), t.repo.name, err)
	}
	if err := t.budget.spend(0, blob.Size, 0); err != nil {
		return err
	}
	in, err := blob.Reader()
	if err != nil {
		return fmt.Errorf("read %q of %s: %w", clip(at), t.repo.name, err)
	}
	defer in.Close()
	out, err := dir.OpenFile(e.Name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, io.LimitReader(in, blob.Size))
	if err == nil {
		err = out.Chmod(mode)
	}
	if err == nil {
		err = t.futimes(out)
	}
	if err := errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("write %q: %w", clip(at), err)
	}
	return nil
}

func (t *treeWriter) link(dir *os.Root, e object.TreeEntry, at string) error {
	blob, err := object.GetBlob(t.repo.Storage, e.Hash)
	if err != nil {
		return fmt.Errorf("read %q of %s: %w", clip(at), t.repo.name, err)
	}
	in, err := blob.Reader()
	if err != nil {
		return fmt.Errorf("read %q of %s: %w", clip(at), t.repo.name, err)
	}
	defer in.Close()
	target, err := io.ReadAll(io.LimitReader(in, maxLink+1))
	if err != nil {
		return fmt.Errorf("read %q of %s: %w", clip(at), t.repo.name, err)
	}
	if len(target) == 0 || len(target) > maxLink || strings.ContainsRune(string(target), 0) || e.Name == ".gitmodules" {
		return fmt.Errorf("%w: %q is a symlink that git would not write; repair the repository (git fsck)", ErrRefused, clip(at))
	}
	return dir.Symlink(string(target), e.Name)
}

// stamp gives a directory and the symlinks in it the commit's time, so that one commit is one tree to the byte.
func (t *treeWriter) stamp(dir *os.Root, links []string) error {
	d, err := dir.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	ts := t.timespec()
	for _, name := range links {
		if err := unix.UtimesNanoAt(int(d.Fd()), name, ts, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return fmt.Errorf("set the time of %q: %w", clip(name), err)
		}
	}
	return t.futimes(d)
}

func (t *treeWriter) futimes(f *os.File) error {
	ts := t.timespec()
	return unix.Futimes(int(f.Fd()), []unix.Timeval{{Sec: ts[0].Sec}, {Sec: ts[1].Sec}})
}

// timespec is the commit's time, within what file systems can hold.
func (t *treeWriter) timespec() []unix.Timespec {
	s := min(max(t.time.Unix(), 0), 1<<32)
	return []unix.Timespec{{Sec: s}, {Sec: s}}
}
