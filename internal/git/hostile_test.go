package git

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"shiplog/events"
)

// TestHostileTrees writes trees that git itself would refuse. Nothing may appear outside the directory.
func TestHostileTrees(t *testing.T) {
	f := newForge(t)
	r := f.repo("hostile.git", "uploadpack.allowAnySHA1InWant=true")
	blob := r.blob("x")
	dir := r.tree(entry{"100644", "f", blob})
	up := r.blob("../../../outside")
	abs := r.blob("/etc")
	for _, c := range []struct {
		name string
		tree string
		want error // nil: it is written
	}{
		{"dotdot file", r.tree(entry{"100644", "..", blob}), ErrRefused},
		{"dotdot directory", r.tree(entry{"40000", "..", dir}), ErrRefused},
		{"dot", r.tree(entry{"40000", ".", dir}), ErrRefused},
		{"a path", r.tree(entry{"100644", "a/b", blob}), ErrRefused},
		{"an absolute path", r.tree(entry{"100644", "/tmp/shiplog-hostile", blob}), ErrRefused},
		{"traversal", r.tree(entry{"100644", "../x", blob}), ErrRefused},
		{".git", r.tree(entry{"40000", ".git", dir}), ErrRefused},
		{".GIT", r.tree(entry{"40000", ".GIT", dir}), ErrRefused},
		{".git as a file", r.tree(entry{"100644", ".Git", blob}), ErrRefused},
		{"git~1", r.tree(entry{"40000", "GIT~1", dir}), ErrRefused},
		{".git with a dot", r.tree(entry{"40000", ".git. .", dir}), ErrRefused},
		{".git stream", r.tree(entry{"40000", ".git::$INDEX_ALLOCATION", dir}), ErrRefused},
		{".git with what HFS ignores", r.tree(entry{"40000", ".g\u200cit", dir}), ErrRefused},
		{".git in a directory", r.tree(entry{"40000", "a", r.tree(entry{"40000", ".git", dir})}), ErrRefused},
		{"a name twice", r.tree(entry{"100644", "a", blob}, entry{"100644", "a", blob}), ErrRefused},
		{"a symlink, then through it", r.tree(entry{"120000", "a", up}, entry{"40000", "a", dir}), ErrRefused},
		{"an absolute symlink, then a file over it", r.tree(entry{"120000", "a", r.blob("/tmp/shiplog-hostile")}, entry{"100644", "a", blob}), ErrRefused},
		{"an empty symlink", r.tree(entry{"120000", "a", r.blob("")}), ErrRefused},
		{"a symlink with a zero", r.tree(entry{"120000", "a", r.blob("a\x00b")}), ErrRefused},
		{"an endless symlink", r.tree(entry{"120000", "a", r.blob(strings.Repeat("a", 5000))}), ErrRefused},
		{".gitmodules as a symlink", r.tree(entry{"120000", ".gitmodules", abs}), ErrRefused},
		{"an unknown mode", r.tree(entry{"10644", "a", blob}), nil},
		{"a device's mode", r.tree(entry{"20644", "a", blob}), nil},
		{"a setuid file", r.tree(entry{"104755", "a", blob}), nil},
		{"a long name", r.tree(entry{"100644", strings.Repeat("a", 300), blob}), ErrRefused},
		{"Dockerfile as a symlink", r.tree(entry{"120000", "Dockerfile", up}, entry{"120000", "etc", abs}), nil},
		{"names that only look like it", r.tree(entry{"100644", ".gitignore", blob}, entry{"100644", "a..b", blob}, entry{"100644", "x.git", blob}), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			commit := r.commit("refs/heads/main", c.tree, "hostile")
			for _, src := range []Source{r.source(), {Local: r.dir}} {
				outer := t.TempDir()
				dir := filepath.Join(outer, "a", "b", "c")
				if err := os.MkdirAll(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				_, err := Checkout(context.Background(), src, events.Revision{Commit: commit}, dir)
				if !errors.Is(err, c.want) || c.want == nil && err != nil {
					t.Errorf("%s: got %v, want %v", src.name(), err, c.want)
				}
				for name, mode := range list(t, outer) {
					if mode&^(fs.ModePerm|fs.ModeDir|fs.ModeSymlink) != 0 {
						t.Errorf("%s has the mode %s", name, mode)
					}
					if name != "a" && name != "a/b" && name != "a/b/c" && !strings.HasPrefix(name, "a/b/c/") {
						t.Errorf("%s was written", name)
					}
					if isDotGit(filepath.Base(name)) || strings.Contains(name, "shiplog-fetch") {
						t.Errorf("%s is left", name)
					}
				}
			}
		})
	}
	if _, err := os.Lstat("/tmp/shiplog-hostile"); err == nil {
		t.Error("a file outside was written")
	}
}
