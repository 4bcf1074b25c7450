package main

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"os"
	"path/filepath"

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

// adminToken answers who a token belongs to: there is one token, the admin's. The comparison takes the same time
// whatever is wrong with a token.
func adminToken(token string) func(string) (events.Actor, bool) {
	want := sha256.Sum256([]byte(token))
	return func(given string) (events.Actor, bool) {
		got := sha256.Sum256([]byte(given))
		return "token:admin", subtle.ConstantTimeCompare(want[:], got[:]) == 1
	}
}
