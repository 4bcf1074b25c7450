package main

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"shiplog/events"
)

// lock makes sure that one process at a time works in a data directory. The lock ends with the process, however it ends.
func lock(dir string) (release func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the data directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("another shiplog works in %s: %w", dir, errBusy)
	}
	return func() { _ = f.Close() }, nil
}

// errBusy means that the data directory belongs to a running service.
var errBusy = errors.New("stop it first, or choose another --data")

// secretFile returns the secret kept in a file, after making a random one of 32 bytes in hex where there is none.
func secretFile(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err == nil && len(strings.TrimSpace(string(b))) >= 32 {
		return strings.TrimSpace(string(b)), nil
	}
	if err == nil {
		return "", fmt.Errorf("%s holds no token: remove the file and a new one is made", path)
	}
	if !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	var raw [32]byte
	_, _ = rand.Read(raw[:]) // never fails: see crypto/rand
	secret := hex.EncodeToString(raw[:])
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	return secret, writeDurably(path, []byte(secret+"\n"))
}

// writeDurably writes a file so that after a power cut it is there as a whole or not at all. Mode 0600.
func writeDurably(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // nothing is left of a file that was not renamed
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// adminToken answers who a token belongs to: there is one token, the admin's. The comparison takes the same time
// whatever is wrong with a token.
func adminToken(token string) func(string) (events.Actor, bool) {
	want := sha256.Sum256([]byte(token))
	return func(given string) (events.Actor, bool) {
		got := sha256.Sum256([]byte(given))
		return "token:admin", subtle.ConstantTimeCompare(want[:], got[:]) == 1
	}
}
