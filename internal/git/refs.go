package git

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	"shiplog/events"
)

// Resolve asks the source where refs are: the commit that an annotated tag points to, not the tag. Refs that are not
// there are left out. Without a deadline of its own it takes at most 15 s. Errors wrap those of this package; an
// [ErrNoRef] means that the whole repository is not there.
func Resolve(ctx context.Context, src Source, refs ...events.RefName) (map[events.RefName]events.Commit, error) {
	all, err := Refs(ctx, src)
	if err != nil {
		return nil, err
	}
	found := map[events.RefName]events.Commit{}
	for _, ref := range refs {
		if commit, ok := all[ref]; ok {
			found[ref] = commit
		}
	}
	return found, nil
}

// Refs returns every branch and tag of the source and its commit, as Resolve does.
func Refs(ctx context.Context, src Source) (map[events.RefName]events.Commit, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, resolveTime)
		defer cancel()
	}
	refs, err := src.refs(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the refs of %s: %w", src.name(), timeout(ctx, resolveTime, err))
	}
	return refs, nil
}

func (s Source) refs(ctx context.Context) (refs map[events.RefName]events.Commit, err error) {
	defer rescue(&err)
	if s.Local != "" {
		r, err := openLocal(s.Local)
		if err != nil {
			return nil, err
		}
		defer r.Close()
		return r.refs()
	}
	lim := defaultLimits
	lim.Bytes = lim.Refs
	server, err := connect(ctx, s, &budget{limits: lim})
	if err != nil {
		return nil, err
	}
	defer server.Close()
	refs = map[events.RefName]events.Commit{}
	for name, hash := range server.refs.References {
		if peeled, ok := server.refs.Peeled[name]; ok {
			hash = peeled
		}
		addRef(refs, name, hash)
	}
	return refs, nil
}

// addRef adds a branch or tag. A name that git itself would not make is left out: nothing can be built from it.
func addRef(refs map[events.RefName]events.Commit, name string, hash plumbing.Hash) {
	if !strings.HasPrefix(name, "refs/heads/") && !strings.HasPrefix(name, "refs/tags/") {
		return
	}
	ref, err := events.ParseRefName(name)
	if err != nil {
		return
	}
	if commit, err := events.ParseCommit(hash.String()); err == nil {
		refs[ref] = commit
	}
}

// refs reads the branches and tags of a repository on this disk.
func (r *repository) refs() (map[events.RefName]events.Commit, error) {
	iter, err := r.IterReferences()
	if err != nil {
		return nil, err
	}
	refs := map[events.RefName]events.Commit{}
	err = iter.ForEach(func(ref *plumbing.Reference) error {
		if ref.Type() != plumbing.HashReference {
			return nil
		}
		hash, err := r.peel(ref.Hash())
		if err != nil {
			return fmt.Errorf("%s: %w", ref.Name(), err)
		}
		if o, err := r.EncodedObject(plumbing.AnyObject, hash); err != nil || o.Type() != plumbing.CommitObject {
			return err // a tag of a file or a directory is nothing that can be built
		}
		addRef(refs, ref.Name().String(), hash)
		return nil
	})
	return refs, err
}

// peel follows annotated tags to what they point to.
func (r *repository) peel(h plumbing.Hash) (plumbing.Hash, error) {
	for range 16 {
		o, err := r.EncodedObject(plumbing.TagObject, h)
		if errors.Is(err, plumbing.ErrObjectNotFound) {
			return h, nil // something else than a tag
		}
		if err != nil {
			return h, err
		}
		tag, err := decodeTag(o)
		if err != nil {
			return h, err
		}
		h = tag.Target
	}
	return h, fmt.Errorf("%w: tags that point to tags, more than 16", ErrTooBig)
}
