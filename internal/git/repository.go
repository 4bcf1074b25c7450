package git

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"shiplog/events"
)

// streamAbove is the size in bytes from which an object is read as a stream.
const streamAbove = 4 << 20

// repository is the objects of a repository on this disk, read only.
type repository struct {
	*filesystem.Storage
	name string // for messages
}

// openLocal opens a bare repository.
func openLocal(dir string) (*repository, error) {
	if _, err := os.Stat(filepath.Join(dir, "objects")); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("%w: there is no built-in repository %s; push to it first", ErrNoRef, filepath.Base(dir))
		}
		return nil, err
	}
	return openRepository(dir, "the built-in repository "+filepath.Base(dir)), nil
}

func openRepository(dir, name string) *repository {
	return &repository{name: name, Storage: filesystem.NewStorageWithOptions(osfs.New(dir), cache.NewObjectLRU(32*cache.MiByte),
		filesystem.Options{KeepDescriptors: true, LargeObjectThreshold: streamAbove})}
}

// commit reads a commit. It is an ErrNoRef when there is no such object, or another kind of object of that name.
func (r *repository) commit(c events.Commit) (*object.Commit, error) {
	if len(c) != 40 {
		return nil, fmt.Errorf("%w: %s is a SHA-256 commit, and only SHA-1 repositories can be read so far", ErrNoRef, c.Short())
	}
	commit, err := object.GetCommit(r.Storage, plumbing.NewHash(string(c)))
	if errors.Is(err, plumbing.ErrObjectNotFound) {
		return nil, fmt.Errorf("%w: there is no commit %s in %s; push it again, or choose another", ErrNoRef, c, r.name)
	}
	if err != nil {
		return nil, fmt.Errorf("read commit %s of %s: %w", c.Short(), r.name, err)
	}
	return commit, nil
}

// has reports whether an object is there, whole or not.
func (r *repository) has(c plumbing.Hash) bool { return r.HasEncodedObject(c) == nil }

func decodeTag(o plumbing.EncodedObject) (*object.Tag, error) {
	tag := &object.Tag{}
	return tag, tag.Decode(o)
}
