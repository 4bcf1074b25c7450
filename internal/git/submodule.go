package git

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"

	"shiplog/events"
)

// maxSubmoduleDepth is how deep submodules may be nested; maxModules the bytes of a .gitmodules file.
const (
	maxSubmoduleDepth = 5
	maxModules        = 256 << 10
)

// submodules reads .gitmodules from the root tree: path -> URL. It reads the commit's own file, never the disk.
func (t *treeWriter) submodules(root *object.Tree) (map[string]string, error) {
	for _, e := range root.Entries {
		if e.Name != ".gitmodules" || !e.Mode.IsFile() || e.Mode == filemode.Symlink {
			continue
		}
		blob, err := object.GetBlob(t.repo.Storage, e.Hash)
		if err != nil {
			return nil, fmt.Errorf("read .gitmodules of %s: %w", t.repo.name, err)
		}
		if blob.Size > maxModules {
			return nil, fmt.Errorf("%w: .gitmodules of %s is larger than %s", ErrTooBig, t.repo.name, size(maxModules))
		}
		in, err := blob.Reader()
		if err != nil {
			return nil, fmt.Errorf("read .gitmodules of %s: %w", t.repo.name, err)
		}
		defer in.Close()
		text, err := io.ReadAll(in)
		if err != nil {
			return nil, fmt.Errorf("read .gitmodules of %s: %w", t.repo.name, err)
		}
		return parseModules(text)
	}
	return nil, nil
}

// parseModules reads a .gitmodules file. Names and every other setting are not used for anything.
func parseModules(text []byte) (urls map[string]string, err error) {
	defer func() { // its decoder is not ours, and the text is anybody's
		if p := recover(); p != nil {
			urls, err = nil, fmt.Errorf("%w: .gitmodules cannot be read: %v", ErrRefused, p)
		}
	}()
	modules := config.NewModules()
	if err := modules.Unmarshal(text); err != nil {
		return nil, fmt.Errorf("%w: .gitmodules cannot be read: %s; repair it", ErrRefused, oneLine(err))
	}
	urls = map[string]string{}
	for _, m := range modules.Submodules {
		urls[strings.TrimSuffix(m.Path, "/")] = m.URL
	}
	return urls, nil
}

// submodule fetches the commit a tree names for a path, under the rules and limits of the outermost repository. One
// that .gitmodules does not mention stays an empty directory, as git leaves it.
func (t *treeWriter) submodule(dir *os.Root, e object.TreeEntry, at string) error {
	sub, err := makeDir(dir, e.Name)
	if err != nil {
		return err
	}
	defer sub.Close()
	raw, ok := t.subs[at]
	if !ok {
		return t.stamp(sub, nil)
	}
	fail := func(err error) error { return fmt.Errorf("submodule %q: %w", clip(at), err) }
	if t.depth >= maxSubmoduleDepth {
		return fail(fmt.Errorf("%w: submodules are nested more than %d deep", ErrTooBig, maxSubmoduleDepth))
	}
	url, err := resolveURL(t.url, raw)
	if err != nil {
		return fail(err)
	}
	u, err := parseURL(url)
	if err != nil {
		return fail(err)
	}
	if u.Scheme == "git" {
		return fail(fmt.Errorf("%w: submodules are fetched over https, http and ssh only", ErrRefused))
	}
	src := Source{URL: url, Allow: t.source.Allow}
	if t.source.Local == "" && sameServer(t.source.URL, url) {
		src.User, src.Token = t.source.User, t.source.Token
	}
	commit, err := events.ParseCommit(e.Hash.String())
	if err != nil {
		return fail(err)
	}
	if _, err := t.writer.checkout(t.ctx, src, events.Revision{Commit: commit}, sub, t.depth+1); err != nil {
		return fail(err)
	}
	return nil
}
