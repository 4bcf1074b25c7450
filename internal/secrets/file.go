package secrets

import (
	"errors"
	"os"
	"path/filepath"

	"shiplog/internal/durable"
)

// mkdirSynced makes root/owner/name, and syncs every directory that may have got an entry. It syncs what is there
// already too: whoever made it may have been killed before its own sync.
func mkdirSynced(root, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return errors.Join(durable.SyncDir(filepath.Dir(dir)), durable.SyncDir(root))
}
