// Package durable writes small files that are there as a whole or not at all, and stay there through a power cut.
package durable

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Write replaces the file at path by one with that content, mode 0600. When it returns nil the file survives a power cut;
// otherwise what was there before is there still. The directory must exist.
func Write(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return SyncDir(filepath.Dir(path))
}

// SyncDir makes what was made, renamed or removed in a directory durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Secret returns the secret kept in a file: 64 hex digits. Where there is no file it makes one, with 32 random bytes, and
// the directory it is in. Nobody but the owner can read the file, whatever a restored backup had made of it.
func Secret(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err == nil {
		secret := strings.TrimSpace(string(b))
		if raw, err := hex.DecodeString(secret); err != nil || len(raw) != 32 {
			return "", fmt.Errorf("%s does not hold 64 hex digits: remove the file, and a new secret is made", path)
		}
		return secret, os.Chmod(path, 0o600)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	var raw [32]byte
	_, _ = rand.Read(raw[:]) // never fails: see crypto/rand
	secret := hex.EncodeToString(raw[:])
	return secret, Write(path, []byte(secret+"\n"))
}
