package builder

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"

	"shiplog/events"
)

// push uploads an image and returns the digest that the registry has it under.
//
// The times in its layers are made reproducible on the way: no file is younger than the commit that its layer was built
// at, which is what the image's history says. buildah could do that, but would then never use a layer of an earlier
// commit again: it writes the time into what the layer cache compares. So: the same commit built twice without cache has
// the same digest; built with cache, it shares the layers of the commits before it, and their times.
func (s layerStore) push(ctx context.Context, id string, req request) (events.Digest, error) {
	image, err := s.image(id)
	if err != nil {
		return "", fmt.Errorf("prepare the image: %w", err)
	}
	var options []name.Option
	if req.Job.Plain {
		options = append(options, name.Insecure)
	}
	to, err := name.NewTag(req.Job.Destination, options...)
	if err != nil {
		return "", err
	}
	proxy, err := url.Parse(req.Proxy)
	if err != nil {
		return "", err
	}
	auth := authn.Anonymous
	if req.Job.User != "" {
		auth = authn.FromConfig(authn.AuthConfig{Username: req.Job.User, Password: req.Job.Password})
	}
	fmt.Printf("Pushing %s\n", req.Job.Destination)
	err = remote.Write(to, image, remote.WithContext(ctx), remote.WithAuth(auth), remote.WithUserAgent("shiplog/"+req.Shiplog),
		remote.WithTransport(&http.Transport{Proxy: http.ProxyURL(proxy), TLSHandshakeTimeout: 20 * time.Second}))
	if err != nil {
		return "", err
	}
	digest, err := image.Digest()
	if err != nil {
		return "", err
	}
	return events.ParseDigest(digest.String())
}

// image is an image of the storage as it is pushed, in OCI's formats.
func (s layerStore) image(id string) (v1.Image, error) {
	stored, err := s.manifestAndConfig(id)
	if err != nil {
		return nil, err
	}
	var adds []mutate.Addendum
	layers := stored.layers
	for _, h := range stored.config.History {
		add := mutate.Addendum{History: h, MediaType: types.OCILayer}
		if !h.EmptyLayer {
			if len(layers) == 0 {
				return nil, errors.New("its history has more layers than it has")
			}
			epoch := h.Created.Time
			if layers[0].pulled {
				epoch = asItIs
			}
			if add.Layer, err = s.pushedLayer(layers[0].id, epoch); err != nil {
				return nil, err
			}
			layers = layers[1:]
		}
		adds = append(adds, add)
	}
	if len(layers) > 0 {
		return nil, errors.New("it has more layers than its history")
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if image, err = mutate.Append(image, adds...); err != nil {
		return nil, err
	}
	appended, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config := stored.config
	config.History, config.RootFS = appended.History, appended.RootFS
	if image, err = mutate.ConfigFile(image, &config); err != nil {
		return nil, err
	}
	return mutate.Annotations(image, stored.manifest.Annotations).(v1.Image), nil
}

// pushedLayer is a layer that is ready to be uploaded. What is known of it is kept beside the storage's own caches, so
// that a layer is read and compressed once, and not again for every push of an image that has it.
type pushedLayer struct {
	SHA    v1.Hash // of the compressed blob
	Diff   v1.Hash // of the tar
	Bytes  int64   // of the compressed blob
	pack   func() (io.ReadCloser, error)
	packed string // path of the compressed blob, once there is one
}

func (l *pushedLayer) Digest() (v1.Hash, error)            { return l.SHA, nil }
func (l *pushedLayer) DiffID() (v1.Hash, error)            { return l.Diff, nil }
func (l *pushedLayer) Size() (int64, error)                { return l.Bytes, nil }
func (l *pushedLayer) MediaType() (types.MediaType, error) { return types.OCILayer, nil }
func (l *pushedLayer) Compressed() (io.ReadCloser, error)  { return l.pack() }
func (l *pushedLayer) Uncompressed() (io.ReadCloser, error) {
	return nil, errors.New("not needed to push")
}

// pushedLayer packs a layer of the storage with no file younger than epoch, or remembers what it looked like packed.
func (s layerStore) pushedLayer(id string, epoch time.Time) (*pushedLayer, error) {
	known := filepath.Join(insideLayers, "blobs", fmt.Sprintf("%s-%d.json", id, epoch.Unix()))
	l := &pushedLayer{}
	l.pack = func() (io.ReadCloser, error) {
		if l.packed == "" {
			if err := s.pack(l, id, epoch); err != nil {
				return nil, err
			}
		}
		return os.Open(l.packed)
	}
	if data, err := os.ReadFile(known); err == nil && json.Unmarshal(data, l) == nil {
		return l, nil
	}
	if err := s.pack(l, id, epoch); err != nil {
		return nil, fmt.Errorf("pack layer %s: %w", id, err)
	}
	data, err := json.Marshal(l)
	if err != nil {
		return nil, err
	}
	return l, writeFile(known, data)
}

// asItIs is the epoch of a layer that came from a registry: its bytes are not touched, so that it stays the same layer.
var asItIs = time.Time{}

// pack writes the compressed layer into a temporary file.
func (s layerStore) pack(l *pushedLayer, id string, epoch time.Time) error {
	diff, err := s.diff(id)
	if err != nil {
		return err
	}
	defer diff.Close()
	f, err := os.CreateTemp(insideTemp, "layer-")
	if err != nil {
		return err
	}
	defer f.Close()
	plain, packed, count := sha256.New(), sha256.New(), &counter{}
	z := gzip.NewWriter(io.MultiWriter(f, packed, count))
	if epoch.Equal(asItIs) {
		_, err = io.Copy(io.MultiWriter(z, plain), diff)
	} else {
		err = clampTimes(io.MultiWriter(z, plain), diff, epoch)
	}
	if err != nil {
		return err
	}
	if err := errors.Join(z.Close(), f.Close()); err != nil {
		return err
	}
	l.packed, l.Bytes = f.Name(), count.n
	l.SHA = v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%x", packed.Sum(nil))}
	l.Diff = v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%x", plain.Sum(nil))}
	return nil
}

// clampTimes copies a tar and makes no entry younger than epoch.
func clampTimes(to io.Writer, from io.Reader, epoch time.Time) error {
	r, w := tar.NewReader(from), tar.NewWriter(to)
	for {
		h, err := r.Next()
		if err == io.EOF {
			return w.Close()
		}
		if err != nil {
			return err
		}
		h.AccessTime, h.ChangeTime = time.Time{}, time.Time{}
		if h.ModTime.After(epoch) {
			h.ModTime = epoch
		}
		h.ModTime = h.ModTime.Truncate(time.Second)
		h.Format = tar.FormatPAX
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.Copy(w, r); err != nil {
			return err
		}
	}
}

type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) { c.n += int64(len(p)); return len(p), nil }

// refused reports whether the registry answered, and does not want these credentials.
func refused(err error) bool {
	var t *transport.Error
	return errors.As(err, &t) && (t.StatusCode == http.StatusUnauthorized || t.StatusCode == http.StatusForbidden)
}
