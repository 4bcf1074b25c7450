package gitwatch

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"shiplog/events"
	"shiplog/internal/deploy"
)

// imageName is the name of a source image as people write it, without tag and digest. DOCKER_HUB without an account is
// one of Docker's own images.
func imageName(i events.ImageSource) string {
	host := map[string]string{"GHCR": "ghcr.io/", "DOCR": "registry.digitalocean.com/"}[i.RegistryType]
	if i.Registry == "" || i.RegistryType == "DOCKER_HUB" && i.Registry == "library" {
		return host + i.Repository
	}
	return host + i.Registry + "/" + i.Repository
}

func (w *Watch) newestImage(ctx context.Context, i events.ImageSource) (events.Target, error) {
	t := events.Target{Image: imageName(i), Digest: i.Digest}
	if t.Digest != "" {
		return t, nil
	}
	return w.image(ctx, t, cmp.Or(i.Tag, "latest"))
}

func (w *Watch) image(ctx context.Context, t events.Target, tag string) (events.Target, error) {
	if w.Images == nil {
		return t, fmt.Errorf("image %s:%s cannot be resolved: no registry client is set up", t.Image, tag)
	}
	var err error
	t.Digest, err = w.Images.Resolve(ctx, t.Image, tag)
	return t, err
}

// imageRef reads a person's ref as a digest or a tag of a source image.
func (w *Watch) imageRef(ctx context.Context, i events.ImageSource, ref string) (deploy.Resolved, error) {
	t := events.Target{Image: imageName(i)}
	if strings.HasPrefix(ref, "sha256:") {
		d, err := events.ParseDigest(ref)
		t.Digest = d
		return deploy.Resolved{Target: t, Kind: events.RefDigest}, err
	}
	if strings.HasPrefix(ref, "branch:") || strings.HasPrefix(ref, "refs/heads/") || strings.HasPrefix(ref, "commit:") {
		return deploy.Resolved{}, fmt.Errorf("%s is an image, which has tags and digests but no %s", t.Image, cut(ref, 100))
	}
	t, err := w.image(ctx, t, strings.TrimPrefix(strings.TrimPrefix(ref, "refs/tags/"), "tag:"))
	if err != nil {
		return deploy.Resolved{}, err
	}
	return deploy.Resolved{Target: t, Kind: events.RefTag}, nil
}
