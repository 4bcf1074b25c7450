package builder

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// dockerfile is one as it was read, before buildah sees it.
type dockerfile struct {
	name   string // in the repository
	text   []byte
	sum    string // SHA-256 of text, in hex
	ignore []byte // the ignore file that goes with it
}

// Limits of files that are read into memory.
const (
	maxDockerfile = 1 << 20
	maxIgnore     = 1 << 20
)

// readDockerfile reads a Dockerfile and its ignore file from a tree that nobody vouches for. Symlinks are followed
// inside the tree only.
func readDockerfile(tree, name, dir string) (dockerfile, error) {
	if err := checkPath("source_dir", dir); err != nil {
		return dockerfile{}, err
	}
	if name == "" {
		name = path.Join(dir, "Dockerfile")
	}
	if err := checkDockerfileName(name); err != nil {
		return dockerfile{}, err
	}
	root, err := os.OpenRoot(tree)
	if err != nil {
		return dockerfile{}, err
	}
	defer root.Close()
	if info, err := root.Stat(pathOrDot(dir)); err != nil || !info.IsDir() {
		return dockerfile{}, fmt.Errorf("there is no directory %q in the repository: correct source_dir", dir)
	}
	text, err := readRegular(root, name, maxDockerfile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return dockerfile{}, fmt.Errorf("no Dockerfile at %q: add one or set dockerfile_path", name)
	case err != nil:
		return dockerfile{}, fmt.Errorf("the Dockerfile %q cannot be used: %w", name, err)
	case len(strings.TrimSpace(string(text))) == 0:
		return dockerfile{}, fmt.Errorf("the Dockerfile %q is empty: write at least a FROM line", name)
	}
	sum := sha256.Sum256(text)
	d := dockerfile{name: name, text: text, sum: hex.EncodeToString(sum[:])}
	for _, ignore := range []string{name + ".dockerignore", path.Join(dir, ".dockerignore"), path.Join(dir, ".containerignore")} {
		d.ignore, err = readRegular(root, ignore, maxIgnore)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return dockerfile{}, fmt.Errorf("the ignore file %q cannot be used: %w", ignore, err)
		}
	}
	return d, nil
}

// checkDockerfileName refuses names that buildah gives a meaning of their own.
func checkDockerfileName(name string) error {
	switch {
	case strings.Contains(name, "://"):
		return fmt.Errorf("dockerfile_path %q is a URL: give a path in the repository", clip(name))
	case name == "-":
		return fmt.Errorf("dockerfile_path is %q: give a path in the repository", name)
	case strings.HasSuffix(name, ".in"):
		return fmt.Errorf("dockerfile_path %q ends in .in, which would be run through a preprocessor: rename the file", clip(name))
	}
	return checkPath("dockerfile_path", name)
}

// checkPath refuses paths that are not inside the repository by their form alone.
func checkPath(field, name string) error {
	if name != "" && (!filepath.IsLocal(name) || strings.ContainsAny(name, "\x00\n")) {
		return fmt.Errorf("%s %q is not a path inside the repository: write it relative to the repository's root", field, clip(name))
	}
	return nil
}

// readRegular reads a regular file. It does not wait for a FIFO and does not open a device.
func readRegular(root *os.Root, name string, most int64) ([]byte, error) {
	info, err := root.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("it is not a regular file (%s)", info.Mode().Type())
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if int64(len(data)) > most {
		return nil, fmt.Errorf("it is larger than %s", size(most))
	}
	return data, err
}

func pathOrDot(dir string) string {
	if dir == "" {
		return "."
	}
	return dir
}

// clip shortens outside input for an error message.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}
