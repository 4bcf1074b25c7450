package gitwatch

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"shiplog/events"
	"shiplog/internal/deploy"
	"shiplog/internal/spec"
)

func (w *Watch) newestImage(ctx context.Context, c events.Component) (events.Target, error) {
	repository, tag, digest := spec.ImageRef(c)
	t := events.Target{Image: repository, Digest: digest}
	if t.Digest != "" {
		return t, nil
	}
	return w.image(ctx, t, cmp.Or(tag, "latest"))
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
func (w *Watch) imageRef(ctx context.Context, c events.Component, ref string) (deploy.Resolved, error) {
	repository, _, _ := spec.ImageRef(c)
	t := events.Target{Image: repository}
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
