package projections

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// keepDamaged is how many files that were moved aside are kept: they may hold the only good copy of an event.
const keepDamaged = 2

// moveAside renames the file at the store's path to .damaged-<n>, where n rises, and removes the oldest beyond
// keepDamaged. That there is no file is fine.
func (s *Store) moveAside(why error) error {
	s.opts.Log.Error("the projection is moved aside and rebuilt from the log", "file", s.opts.Path, "why", why)
	s.change(func(st *Status) { st.LastDamage = why.Error() })
	aside, last := asides(s.opts.Path)
	for len(aside) >= keepDamaged {
		if err := os.Remove(aside[0]); err != nil {
			return fmt.Errorf("remove an old damaged projection: %w", err)
		}
		aside = aside[1:]
	}
	err := os.Rename(s.opts.Path, s.opts.Path+damagedSuffix+strconv.Itoa(last+1))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("move the damaged projection aside: %w", err)
	}
	return syncDir(s.opts.Path)
}

const damagedSuffix = ".damaged-"

// asides lists the files that were moved aside, oldest first, and the number of the newest.
func asides(path string) (list []string, last int) {
	found, _ := filepath.Glob(escapeGlob(path) + damagedSuffix + "*")
	numbers := map[string]int{}
	for _, name := range found {
		if n, err := strconv.Atoi(strings.TrimPrefix(name, path+damagedSuffix)); err == nil && n > 0 {
			numbers[name], last = n, max(last, n)
			list = append(list, name)
		}
	}
	slices.SortFunc(list, func(a, b string) int { return numbers[a] - numbers[b] })
	return list, last
}

func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// syncDir makes a rename in the file's directory durable.
func syncDir(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// lockFile takes the lock that says which process has the projection open. It is held until the file is closed.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the projection: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s is locked; ask that process to rebuild, or stop it", ErrInUse, path)
		}
		return nil, fmt.Errorf("lock the projection: %w", err)
	}
	return f, nil
}
