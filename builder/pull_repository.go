package builder

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"shiplog/events"
)

// repository is one repository in one registry.
type repository struct {
	base   string // URL up to and with the slash after the repository's name
	client *http.Client
}

// maxManifest bounds manifests and configs. Registries accept no manifest over 4 MiB.
const maxManifest = 4 << 20

// accept are the manifests we understand.
var accept = strings.Join([]string{
	string(types.OCIManifestSchema1), string(types.DockerManifestSchema2), string(types.OCIImageIndex), string(types.DockerManifestList),
}, ", ")

// do sends a request; the answer is a success, or an error says what was not.
func (r *repository) do(ctx context.Context, method, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, r.base+path, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrImageName, err)
	}
	req.Header.Set("Accept", accept)
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, explain(err)
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("%w (%s of %s: %s)", statusError(resp.StatusCode), method, path, resp.Status)
	}
	return resp, nil
}

// read returns a whole body of at most maxManifest.
func (r *repository) read(ctx context.Context, path string) ([]byte, error) {
	resp, err := r.do(ctx, http.MethodGet, path)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxManifest+1))
	if err != nil {
		return nil, explain(err)
	}
	if len(b) > maxManifest {
		return nil, fmt.Errorf("%w: %s is over %d bytes", errBadManifest, path, maxManifest)
	}
	return b, nil
}

func (r *repository) manifest(ctx context.Context, d events.Digest) ([]byte, error) {
	return r.checked(ctx, "manifests/", d)
}

func (r *repository) checked(ctx context.Context, kind string, d events.Digest) ([]byte, error) {
	b, err := r.read(ctx, kind+string(d))
	if err != nil {
		return nil, err
	}
	if got := digestOf(b); got != d {
		return nil, fmt.Errorf("%w: asked for %s, got %s", ErrLies, d, got)
	}
	return b, nil
}

// platform reads the image's config.
func (r *repository) platform(ctx context.Context, config v1.Descriptor) (string, error) {
	d, err := events.ParseDigest(config.Digest.String())
	if err != nil {
		return "", fmt.Errorf("%w: %v", errBadManifest, err)
	}
	b, err := r.checked(ctx, "blobs/", d)
	if err != nil {
		return "", err
	}
	c, err := v1.ParseConfigFile(bytes.NewReader(b))
	if err != nil {
		return "", fmt.Errorf("%w: config: %v", errBadManifest, err)
	}
	if c.OS != "linux" || c.Architecture != runtime.GOARCH {
		return "", fmt.Errorf("%w: it is for %s/%s, this machine is linux/%s", ErrPlatform, printable(c.OS), printable(c.Architecture), runtime.GOARCH)
	}
	return c.OS + "/" + c.Architecture, nil
}

// layer checks that a layer is there. Foreign layers, which no registry in use serves any more, count as missing.
func (r *repository) layer(ctx context.Context, l v1.Descriptor) error {
	d, err := events.ParseDigest(l.Digest.String())
	if err != nil {
		return fmt.Errorf("%w: %v", errBadManifest, err)
	}
	resp, err := r.do(ctx, http.MethodHead, "blobs/"+string(d))
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.ContentLength >= 0 && resp.ContentLength != l.Size {
		return fmt.Errorf("%w: layer %s has %d bytes, the manifest says %d", ErrLies, d, resp.ContentLength, l.Size)
	}
	return nil
}

// readManifest reads a manifest, or an index: then the manifest is nil and child is its entry for this platform.
func readManifest(b []byte) (m *v1.Manifest, child events.Digest, err error) {
	index, err := v1.ParseIndexManifest(bytes.NewReader(b))
	if err != nil {
		return nil, "", fmt.Errorf("%w: %v", errBadManifest, err)
	}
	if !index.MediaType.IsIndex() && len(index.Manifests) == 0 {
		m, err = v1.ParseManifest(bytes.NewReader(b))
		if err != nil {
			return nil, "", fmt.Errorf("%w: %v", errBadManifest, err)
		}
		return m, "", nil
	}
	var have []string
	for _, d := range index.Manifests {
		if d.Platform == nil {
			continue
		}
		if d.Platform.OS == "linux" && d.Platform.Architecture == runtime.GOARCH {
			child, err := events.ParseDigest(d.Digest.String())
			if err != nil {
				return nil, "", fmt.Errorf("%w: %v", errBadManifest, err)
			}
			return nil, child, nil
		}
		if len(have) < 10 {
			have = append(have, printable(d.Platform.OS+"/"+d.Platform.Architecture))
		}
	}
	return nil, "", fmt.Errorf("%w: it is for %s, this machine is linux/%s", ErrPlatform, strings.Join(have, ", "), runtime.GOARCH)
}

// explain turns a transport's error into one of ours.
func explain(err error) error {
	if errors.Is(err, ErrAddress) || errors.Is(err, context.Canceled) {
		return err
	}
	if te := (*transport.Error)(nil); errors.As(err, &te) {
		return fmt.Errorf("%w (%s)", statusError(te.StatusCode), http.StatusText(te.StatusCode))
	}
	return fmt.Errorf("%w: %w", ErrRegistryDown, err)
}

func statusError(code int) error {
	switch {
	case code == http.StatusNotFound:
		return ErrNoImage
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		return ErrDenied
	default:
		return ErrRegistryDown
	}
}

func digestOf(b []byte) events.Digest {
	sum := sha256.Sum256(b)
	return events.Digest("sha256:" + hex.EncodeToString(sum[:]))
}

// printable makes outside text fit for an error message: short, on one line, printable.
func printable(s string) string {
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '?'
		}
		return c
	}, s)
	return s[:min(len(s), 200)]
}
