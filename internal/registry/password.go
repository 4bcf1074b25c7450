package registry

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

// password returns the password kept in file, making one of 32 random bytes if the file is missing. The file is written
// whole or not at all, and is readable by its owner only.
func password(file string) (string, error) {
	b, err := os.ReadFile(file)
	if err == nil {
		p := strings.TrimSpace(string(b))
		if raw, err := hex.DecodeString(p); err != nil || len(raw) != 32 {
			return "", fmt.Errorf("%s does not hold a password of 64 hex digits; remove it to have a new one made", file)
		}
		if err := os.Chmod(file, 0o600); err != nil { // a restored backup may have opened it up
			return "", err
		}
		return p, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	var raw [32]byte
	_, _ = rand.Read(raw[:]) // never fails: see crypto/rand
	p := hex.EncodeToString(raw[:])
	return p, writeFile(file, p+"\n")
}

// writeFile replaces file by one that holds text, mode 0600, and returns when it is on the disk.
func writeFile(file, text string) error {
	dir := filepath.Dir(file)
	f, err := os.CreateTemp(dir, ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), file); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
