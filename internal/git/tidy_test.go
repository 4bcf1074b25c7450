package git

import (
	"fmt"
	"path/filepath"
	"testing"

	"shiplog/events"
)

func TestTidyLosesNothing(t *testing.T) {
	r := openRemote(t)
	path := r.Path("hello")
	var all []events.Commit
	for i := range maxPacks + 2 { // unreachable commits, each in a pack of its own
		blob := runGit(t, path, fmt.Append(nil, i), "hash-object", "-w", "--stdin")
		tree := runGit(t, path, []byte("100644 blob "+blob+"\tf\n"), "mktree")
		c := runGit(t, path, nil, "commit-tree", "-m", "m", tree)
		runGit(t, path, []byte(c+"\n"+tree+"\n"+blob+"\n"), "pack-objects", "-q", "objects/pack/pack")
		runGit(t, path, nil, "prune-packed")
		all = append(all, events.Commit(c))
	}
	if err := r.Tidy(t.Context(), "hello"); err != nil {
		t.Fatal(err)
	}
	packs, _ := filepath.Glob(filepath.Join(path, "objects", "pack", "*.pack"))
	if len(packs) > maxPacks/2 {
		t.Errorf("%d packs are left", len(packs))
	}
	for _, c := range all {
		if has, err := HasCommit(t.Context(), r.Source("hello"), c); !has || err != nil {
			t.Fatalf("%s is gone (%v)", c, err)
		}
	}
}
