package engine

import (
	"context"
	"fmt"
	"io"
	"strings"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/authconfig"
	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/client"

	"shiplog/events"
)

// Has reports whether some repository's image of that digest is there.
func (d *Docker) Has(ctx context.Context, digest events.Digest) (bool, error) {
	ref, err := d.find(ctx, Image{Digest: digest})
	return ref != "", err
}

// find returns the name repository@digest under which the engine knows the image, preferring the repository given, or
// "". The repository does not matter: the digest says what the image is.
func (d *Docker) find(ctx context.Context, image Image) (string, error) {
	if image.Repository != "" {
		i, err := d.api.ImageInspect(ctx, image.Ref())
		if err == nil && (hasDigest(i.RepoDigests, image.Digest)) {
			return image.Ref(), nil
		}
		if err != nil && !cerrdefs.IsNotFound(err) {
			return "", d.failed("look for image "+image.Ref(), err)
		}
	}
	list, err := d.api.ImageList(ctx, client.ImageListOptions{})
	if err != nil {
		return "", d.failed("list images", err)
	}
	for _, i := range list.Items {
		for _, ref := range i.RepoDigests {
			if strings.HasSuffix(ref, "@"+string(image.Digest)) {
				return ref, nil
			}
		}
	}
	return "", nil
}

func hasDigest(refs []string, digest events.Digest) bool {
	for _, ref := range refs {
		if strings.HasSuffix(ref, "@"+string(digest)) {
			return true
		}
	}
	return false
}

// Pull fetches repository@digest; both engines check the manifest's bytes against the digest as they do.
func (d *Docker) Pull(ctx context.Context, image Image, progress io.Writer) error {
	if _, err := events.ParseDigest(string(image.Digest)); err != nil {
		return fmt.Errorf("pull image of %s: %w", image.Repository, err)
	}
	if ref, err := d.find(ctx, image); err != nil || ref == image.Ref() {
		return err
	}
	pull := d.pull
	if d.pod != nil {
		pull = d.pod.pull
	}
	if err := pull(ctx, image, progress); err != nil {
		return d.pullFailed(image, err)
	}
	ref, err := d.find(ctx, image)
	if err != nil {
		return err
	}
	if ref == "" {
		return fmt.Errorf("pull %s: %w: the container engine pulled something else", image.Ref(), ErrNoImage)
	}
	return nil
}

// pull goes through the Docker API.
func (d *Docker) pull(ctx context.Context, image Image, progress io.Writer) error {
	auth := ""
	if image.User != "" {
		var err error
		if auth, err = authconfig.Encode(registry.AuthConfig{Username: image.User, Password: image.Password}); err != nil {
			return err
		}
	}
	resp, err := d.api.ImagePull(ctx, image.Ref(), client.ImagePullOptions{RegistryAuth: auth})
	if err != nil {
		return err
	}
	defer resp.Close()
	for m, err := range resp.JSONMessages(ctx) {
		if err != nil {
			return err
		}
		if m.Error != nil {
			return m.Error
		}
		if m.Progress == nil && m.Status != "" { // progress bars are no log lines
			fmt.Fprintln(progress, strings.TrimSpace(m.ID+" "+m.Status))
		}
	}
	return nil
}

// pullFailed tells a missing or wrong image from a registry that cannot be reached. Engines report both in words only.
func (d *Docker) pullFailed(image Image, err error) error {
	action := "pull " + image.Ref()
	text := strings.ToLower(err.Error())
	for _, sign := range []string{"manifest unknown", "name unknown", "not found", "does not match", "unexpected digest", "verification failed", "manifest invalid"} {
		if cerrdefs.IsNotFound(err) || strings.Contains(text, sign) {
			return fmt.Errorf("%s: %w: %w", action, ErrNoImage, err)
		}
	}
	return d.failed(action, err)
}

// digest returns the manifest digest of the image that a container was made from: the one it was asked for by, if the
// engine says that its image has it, else the only one the image has.
func (d *Docker) digest(ctx context.Context, imageID, asked string) (events.Digest, error) {
	_, want, _ := strings.Cut(asked, "@")
	if _, ok := d.digests.Load(imageID + want); ok {
		return events.Digest(want), nil
	}
	i, err := d.api.ImageInspect(ctx, imageID)
	if cerrdefs.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", d.failed("look at image "+imageID, err)
	}
	refs := i.RepoDigests
	if i.Descriptor != nil {
		refs = append(refs, "@"+i.Descriptor.Digest.String())
	}
	if want != "" && hasDigest(refs, events.Digest(want)) {
		d.digests.Store(imageID+want, true)
		return events.Digest(want), nil
	}
	found := map[string]bool{}
	for _, ref := range refs {
		_, digest, _ := strings.Cut(ref, "@")
		found[digest] = true
	}
	if len(found) == 1 {
		_, only, _ := strings.Cut(refs[0], "@")
		return events.ParseDigest(only)
	}
	return "", nil
}
