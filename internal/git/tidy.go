package git

import (
	"context"
	"fmt"
	"path/filepath"
)

// maxPacks is how many packs a repository may have before they are joined: each push makes one.
const maxPacks = 50

// Tidy joins a repository's packs when there are many, which git would do by itself if it were not told to throw nothing
// away. Objects that no ref reaches are kept. Run it while no push is taken (see Exclusive).
func (r *Remote) Tidy(ctx context.Context, name string) error {
	packs, err := filepath.Glob(filepath.Join(r.Path(name), "objects", "pack", "pack-*.pack"))
	if err != nil || len(packs) <= maxPacks {
		return err
	}
	if _, err := r.run(ctx, r.Path(name), "repack", "-d", "-q", "--geometric=2"); err != nil {
		return fmt.Errorf("tidy the git repository of %s: %w", name, err)
	}
	return nil
}
