// Package registry is the embedded image registry: the CNCF distribution registry as an http.Handler, with its files in
// one directory and a password that is made at first start. It is the one home of github.com/distribution/distribution.
package registry

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	"github.com/distribution/distribution/v3/registry/storage"
	"github.com/distribution/distribution/v3/registry/storage/driver/filesystem"

	"shiplog/internal/durable"
)

// User is the only account of the registry.
const User = "shiplog"

// uploadAge is how old an unfinished upload has to be to be removed by Open. No push of ours takes that long.
const uploadAge = 24 * time.Hour

// Options configures a registry.
type Options struct {
	Dir string       // its directory, made if missing: the password and everything pushed; required
	Log *slog.Logger // answers of 500 and above are logged here; default: nothing is
}

// Registry is an OCI registry, ready to serve at the root of a listener ("/v2/…").
//
// Every request needs the account of [Registry.Credentials]; there is no anonymous access. Nothing can be deleted through
// it. It opens no listener, runs no timer, and answers 201 to the push of a manifest only when the manifest and all it
// refers to are on the disk.
type Registry struct {
	dir      string // Options.Dir
	password string
	sum      [sha256.Size]byte // of user and password, to compare in constant time
	app      *handlers.App
	log      *slog.Logger
}

// Open opens the registry in opts.Dir, making it and its password if there is none. Unfinished uploads of more than a day
// ago are removed; younger ones can be resumed.
func Open(opts Options) (_ *Registry, err error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	quiet()
	files := filepath.Join(opts.Dir, "storage")
	if err := os.MkdirAll(files, 0o700); err != nil {
		return nil, fmt.Errorf("open registry: %w", err)
	}
	r := &Registry{dir: opts.Dir, log: opts.Log}
	if r.password, err = durable.Secret(filepath.Join(opts.Dir, "password")); err != nil {
		return nil, fmt.Errorf("open registry: %w", err)
	}
	r.sum = credentialSum(User, r.password)
	if err := removeOldUploads(files); err != nil {
		return nil, fmt.Errorf("open registry: remove old uploads: %w", err)
	}
	defer func() { // NewApp reports a bad configuration by a panic
		if p := recover(); p != nil {
			err = fmt.Errorf("open registry in %s: %v", opts.Dir, p)
		}
	}()
	r.app = handlers.NewApp(context.Background(), r.config(files))
	return r, nil
}

// config is distribution's configuration. What is absent is off: debug and metrics listeners, notifications, proxying.
func (r *Registry) config(files string) *configuration.Configuration {
	c := &configuration.Configuration{
		Version: configuration.CurrentVersion,
		Storage: configuration.Storage{
			"filesystem":  {"rootdirectory": files},
			"maintenance": {"uploadpurging": map[any]any{"enabled": false}},
			"delete":      {"enabled": false},
			"redirect":    {"disable": true},
		},
	}
	c.Catalog.MaxEntries = 1000
	c.HTTP.RelativeURLs = true // never build a Location from what a client calls us
	c.HTTP.Secret = r.uploadSecret()
	return c
}

// uploadSecret signs the state that a client carries through an upload. It follows from the password, so that an upload
// can go on after a restart.
func (r *Registry) uploadSecret() string {
	mac := hmac.New(sha256.New, []byte(r.password))
	mac.Write([]byte("upload state"))
	return hex.EncodeToString(mac.Sum(nil))
}

// Credentials returns the account that may push and pull.
func (r *Registry) Credentials() (user, password string) { return User, r.password }

// Health reports whether a push could be stored: it writes a small file and removes it.
func (r *Registry) Health(context.Context) error {
	f, err := os.CreateTemp(r.dir, ".health-*")
	if err != nil {
		return fmt.Errorf("registry cannot write: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString("ok")
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("registry cannot write: %w", err)
	}
	return nil
}

// Close ends the registry. Requests must have ended before.
func (r *Registry) Close() error { return r.app.Shutdown() }

// removeOldUploads drops what clients began to push and never finished.
func removeOldUploads(files string) error {
	d, err := filesystem.FromParameters(map[string]any{"rootdirectory": files})
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(files, "docker/registry/v2/repositories")); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	_, errs := storage.PurgeUploads(context.Background(), d, time.Now().Add(-uploadAge), true)
	return errors.Join(errs...)
}

var _ http.Handler = (*Registry)(nil)
