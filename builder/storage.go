package builder

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The directory Options.Storage holds
//
//	policy.json, registries.conf    what buildah would read from /etc/containers
//	layers-<n>/graph                containers/storage: base images and layers; only the highest n is used by new builds
//	layers-<n>/blobs                where compressed layers were seen
//	layers-<n>/mounts/<key>         RUN --mount=type=cache of one repository of images

// writeConfig writes the files that buildah needs, so that a fresh machine needs no /etc/containers.
func writeConfig(dir string, mirrors map[string]string) error {
	policy, _ := json.Marshal(map[string]any{"default": []any{map[string]string{"type": "insecureAcceptAnything"}}})
	conf, err := registriesConf(mirrors)
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{"policy.json": policy, "registries.conf": conf} {
		if err := writeFile(filepath.Join(dir, name), data); err != nil {
			return fmt.Errorf("write the builder's %s: %w", name, err)
		}
	}
	return nil
}

// registriesConf is containers-registries.conf(5): short names are Docker Hub's, and mirrors come first.
func registriesConf(mirrors map[string]string) ([]byte, error) {
	var s strings.Builder
	s.WriteString("unqualified-search-registries = [\"docker.io\"]\nshort-name-mode = \"disabled\"\n")
	names := make([]string, 0, len(mirrors))
	for name := range mirrors {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		u, err := url.Parse(mirrors[name])
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			return nil, fmt.Errorf("the mirror %q of %s is not an http or https URL: write --registry-mirror %s=https://host", mirrors[name], name, name)
		}
		location := strings.TrimSuffix(u.Host+u.Path, "/")
		fmt.Fprintf(&s, "\n[[registry]]\nprefix = %q\nlocation = %q\n[[registry.mirror]]\nlocation = %q\ninsecure = %t\n",
			name, name, location, u.Scheme == "http")
	}
	return []byte(s.String()), nil
}

// writeFile replaces a file as a whole. Several may do so at once.
func writeFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// useLayers returns the directory of layers for a new build, and a function to call when the build is over.
func (b *Builder) useLayers() (dir string, done func(), err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	all, err := b.layerDirs()
	if err != nil {
		return "", nil, err
	}
	dir = filepath.Join(b.opts.Storage, "layers-1")
	if len(all) > 0 {
		dir = all[len(all)-1]
	}
	for _, sub := range []string{"graph", "blobs", "mounts"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return "", nil, err
		}
	}
	b.layers[dir]++
	return dir, func() { b.leaveLayers(dir) }, nil
}

func (b *Builder) leaveLayers(dir string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.layers[dir]--; b.layers[dir] > 0 {
		return
	}
	delete(b.layers, dir)
	if err := b.dropOldLayers(); err != nil {
		b.log.Error("remove cleared layers", "dir", dir, "err", err)
	}
}

// retireLayers makes new builds begin with nothing. b.mu is held.
func (b *Builder) retireLayers() error {
	all, err := b.layerDirs()
	if err != nil || len(all) == 0 {
		return err
	}
	if err := os.Mkdir(b.layerDir(layerNumber(all[len(all)-1])+1), 0o700); err != nil {
		return err
	}
	return b.dropOldLayers()
}

// dropOldLayers removes all directories of layers but the newest and those in use. b.mu is held.
func (b *Builder) dropOldLayers() error {
	all, err := b.layerDirs()
	var errs []error
	for _, dir := range all[:max(0, len(all)-1)] {
		if b.layers[dir] == 0 {
			errs = append(errs, os.RemoveAll(dir))
		}
	}
	return errors.Join(append(errs, err)...)
}

// layerDirs returns the directories of layers, oldest first.
func (b *Builder) layerDirs() ([]string, error) {
	entries, err := os.ReadDir(b.opts.Storage)
	var dirs []string
	for _, e := range entries {
		if layerNumber(e.Name()) > 0 {
			dirs = append(dirs, filepath.Join(b.opts.Storage, e.Name()))
		}
	}
	slices.SortFunc(dirs, func(a, c string) int { return layerNumber(a) - layerNumber(c) })
	return dirs, err
}

func (b *Builder) layerDir(n int) string {
	return filepath.Join(b.opts.Storage, fmt.Sprintf("layers-%d", n))
}

func layerNumber(dir string) (n int) {
	_, _ = fmt.Sscanf(filepath.Base(dir), "layers-%d", &n)
	return n
}
