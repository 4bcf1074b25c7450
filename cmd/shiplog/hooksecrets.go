package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"shiplog/events"
	"shiplog/internal/durable"
	"shiplog/internal/secrets"
)

// rotation is how long a replaced webhook secret stays good: time enough to change it at the forge.
const rotation = 24 * time.Hour

// hookSecrets keeps the webhook secret of each app. The values are sealed in the store of secrets; a small file says which
// versions are good. A secret is made the first time that somebody asks for it.
type hookSecrets struct {
	store *secrets.Store
	path  string
	now   func() time.Time
	mu    sync.Mutex
}

// hookSecret is one version of an app's secret.
type hookSecret struct {
	Version secrets.Version `json:"version"`
	Until   time.Time       `json:"until,omitzero"` // replaced: good until then
}

// Secret returns the newest secret of an app's webhook, after making the first.
func (h *hookSecrets) Secret(_ context.Context, app events.ID) (string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	all, err := h.load()
	if err != nil {
		return "", err
	}
	if len(all[app]) == 0 {
		return h.add(all, app)
	}
	value, err := h.store.Get(string(app), "hook", all[app][0].Version)
	return string(value), err
}

// Rotate makes a new secret; the one before stays good for a day.
func (h *hookSecrets) Rotate(_ context.Context, app events.ID) (string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	all, err := h.load()
	if err != nil {
		return "", err
	}
	return h.add(all, app)
}

// active returns every secret that is good now; none for an app that never had one.
func (h *hookSecrets) active(_ context.Context, app events.ID) ([]string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	all, err := h.load()
	if err != nil {
		return nil, err
	}
	var good []string
	for _, s := range all[app] {
		if !s.Until.IsZero() && h.now().After(s.Until) {
			continue
		}
		value, err := h.store.Get(string(app), "hook", s.Version)
		if err != nil {
			return nil, err
		}
		good = append(good, string(value))
	}
	return good, nil
}

func (h *hookSecrets) load() (map[events.ID][]hookSecret, error) {
	all := map[events.ID][]hookSecret{}
	b, err := os.ReadFile(h.path)
	if errors.Is(err, os.ErrNotExist) {
		return all, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &all)
	}
	if err != nil {
		return nil, fmt.Errorf("read which webhook secrets are good: %w", err)
	}
	return all, nil
}

func (h *hookSecrets) add(all map[events.ID][]hookSecret, app events.ID) (string, error) {
	value := rand.Text() + rand.Text()
	version, err := h.store.Put(string(app), "hook", []byte(value))
	if err != nil {
		return "", err
	}
	kept := []hookSecret{{Version: version}}
	for _, old := range all[app] {
		if old.Until.IsZero() {
			old.Until = h.now().Add(rotation)
		}
		if h.now().Before(old.Until) {
			kept = append(kept, old)
		}
	}
	all[app] = kept
	b, err := json.Marshal(all)
	if err != nil {
		return "", err
	}
	return value, durable.Write(h.path, b)
}
