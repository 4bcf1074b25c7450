package secrets

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"filippo.io/age"

	"shiplog/internal/durable"
)

// loadIdentity reads the key, or makes it where make is set and there is none.
func loadIdentity(path string, make bool) (*age.X25519Identity, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if !make {
			return nil, fmt.Errorf("the key %s is missing, and the secrets cannot be read without it: restore it from your backup", path)
		}
		return makeIdentity(path)
	}
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(path); err != nil {
		return nil, err
	} else if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("the key %s can be read by others: chmod 600 %s", path, path)
	}
	identity, err := age.ParseX25519Identity(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("the key %s is not an age identity: restore it from your backup", path) // the library's error may quote it
	}
	return identity, nil
}

func makeIdentity(path string) (*age.X25519Identity, error) {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, err
	}
	if err := durable.Write(path, []byte(identity.String()+"\n")); err != nil {
		return nil, fmt.Errorf("make the key: %w", err)
	}
	return identity, nil
}
