package builder

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"shiplog/events"
)

// Errors of a Registry, matched with errors.Is. Every one names the image.
var (
	ErrNoImage      = errors.New("not in the registry")               // it answered: the image, or a part of it, is not there
	ErrRegistryDown = errors.New("registry cannot be reached")        // or is overloaded; try again later
	ErrLies         = errors.New("registry serves something else")    // the bytes do not have the digest asked for
	ErrDenied       = errors.New("registry refuses the credentials")  // or has a private image of that name
	ErrPlatform     = errors.New("image is for another platform")     // nothing in it runs on linux/<this architecture>
	ErrAddress      = errors.New("not an allowed registry address")   // resolves to a private network that is not allowed
	ErrImageName    = errors.New("not an image name")                 // cannot be parsed
	errBadManifest  = errors.New("registry serves a broken manifest") // as ErrLies, but it hashes right
)

// RegistryOptions configures a Registry.
type RegistryOptions struct {
	Host     string            // our own registry, "127.0.0.1:5000"; required
	User     string            // its account; never sent to another host
	Password string            //
	Plain    bool              // our own registry speaks http
	Mirrors  map[string]string // registry ("docker.io", "ghcr.io") -> URL of the mirror asked in its place
	Allow    []netip.Prefix    // private networks that other registries may resolve to; default none
	Timeout  time.Duration     // of one call, all its requests together; default 30 s
}

// Registry asks image registries about images, our own and other people's. It moves no layers: engines pull those.
// Nothing it is told is believed: digests are computed from bytes. Safe for concurrent use.
type Registry struct {
	opts    RegistryOptions
	base    http.RoundTripper
	mirrors map[string]*url.URL // by the registry's canonical name
}

// RegistryImage is what a registry has under a digest.
type RegistryImage struct {
	Digest   events.Digest // what was asked for: of the manifest, or of an index of manifests
	Manifest events.Digest // of the manifest for this platform; equals Digest unless that is an index
	Platform string        // "linux/amd64"
	Size     int64         // of manifest, config and compressed layers, bytes
}

// NewRegistry returns a client.
func NewRegistry(opts RegistryOptions) (*Registry, error) {
	if opts.Timeout == 0 {
		opts.Timeout = 30 * time.Second
	}
	r := &Registry{opts: opts, mirrors: map[string]*url.URL{}}
	trusted := map[string]bool{opts.Host: true}
	for from, to := range opts.Mirrors {
		reg, err := name.NewRegistry(from)
		if err != nil {
			return nil, fmt.Errorf("registry mirror of %q: %w", from, ErrImageName)
		}
		u, err := url.Parse(to)
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			return nil, fmt.Errorf("registry mirror of %s: %q is not an http or https URL", from, to)
		}
		r.mirrors[reg.Name()] = u
		trusted[hostPort(u)] = true
	}
	r.base = guardedTransport(addressGuard{allow: opts.Allow, trusted: trusted})
	return r, nil
}

// Verify checks that the registry can serve the image: the manifest's bytes have the digest, it is for linux on this
// machine's architecture, its config has the digest the manifest says, and every layer is there in the size it says.
// Where digest is an index, the same is checked of its manifest for this platform; the image is still asked for, pulled
// and recorded under the digest of the index. repository is a full name: "127.0.0.1:5000/<app id>/web", "ghcr.io/o/r", "nginx".
func (r *Registry) Verify(ctx context.Context, repository string, digest events.Digest) (RegistryImage, error) {
	ctx, cancel := context.WithTimeout(ctx, r.opts.Timeout)
	defer cancel()
	img, err := r.verify(ctx, repository, digest)
	if err != nil {
		return RegistryImage{}, fmt.Errorf("image %s@%s: %w", printable(repository), digest, err)
	}
	return img, nil
}

func (r *Registry) verify(ctx context.Context, repository string, digest events.Digest) (RegistryImage, error) {
	repo, err := r.open(ctx, repository)
	if err != nil {
		return RegistryImage{}, err
	}
	img := RegistryImage{Digest: digest, Manifest: digest}
	raw, err := repo.manifest(ctx, digest)
	if err != nil {
		return RegistryImage{}, err
	}
	m, child, err := readManifest(raw)
	if err != nil {
		return RegistryImage{}, err
	}
	if m == nil {
		img.Manifest = child
		if raw, err = repo.manifest(ctx, child); err != nil {
			return RegistryImage{}, err
		}
		if m, _, err = readManifest(raw); err != nil {
			return RegistryImage{}, err
		}
		if m == nil {
			return RegistryImage{}, fmt.Errorf("%w: an index in an index", errBadManifest)
		}
	}
	if img.Platform, err = repo.platform(ctx, m.Config); err != nil {
		return RegistryImage{}, err
	}
	img.Size = int64(len(raw)) + m.Config.Size
	for _, l := range m.Layers {
		if err := repo.layer(ctx, l); err != nil {
			return RegistryImage{}, err
		}
		img.Size += l.Size
	}
	return img, nil
}

// Resolve returns what tag of image names now. The image is a name as people write it: "nginx", "owner/name",
// "ghcr.io/owner/name"; Docker Hub is meant where no registry is named. The digest is the registry's word until Verify
// has checked it. It may be the digest of an index.
func (r *Registry) Resolve(ctx context.Context, image, tag string) (events.Digest, error) {
	ctx, cancel := context.WithTimeout(ctx, r.opts.Timeout)
	defer cancel()
	d, err := r.resolve(ctx, image, tag)
	if err != nil {
		return "", fmt.Errorf("resolve image %s:%s: %w", printable(image), printable(tag), err)
	}
	return d, nil
}

// tagPattern is the distribution specification's.
var tagPattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)

func (r *Registry) resolve(ctx context.Context, image, tag string) (events.Digest, error) {
	if !tagPattern.MatchString(tag) {
		return "", fmt.Errorf("%w: bad tag", ErrImageName)
	}
	repo, err := r.open(ctx, image)
	if err != nil {
		return "", err
	}
	head, err := repo.do(ctx, http.MethodHead, "manifests/"+tag)
	if err != nil {
		return "", err
	}
	head.Body.Close()
	if d, err := events.ParseDigest(head.Header.Get("Docker-Content-Digest")); err == nil {
		return d, nil
	}
	raw, err := repo.read(ctx, "manifests/"+tag) // a registry that names no digest: compute it
	if err != nil {
		return "", err
	}
	return digestOf(raw), nil
}

// Repository returns where an engine should pull image from: its full name, with the mirror in the registry's place if
// there is one. plain says that it is served by http.
func (r *Registry) Repository(image string) (repository string, plain bool, err error) {
	n, plain, err := r.locate(image)
	if err != nil {
		return "", false, fmt.Errorf("image %s: %w", printable(image), err)
	}
	return n.Name(), plain, nil
}

func (r *Registry) locate(image string) (repo name.Repository, plain bool, err error) {
	repo, err = name.NewRepository(image)
	if err != nil {
		return repo, false, ErrImageName
	}
	host, plain := repo.RegistryStr(), false
	if m := r.mirrors[host]; m != nil {
		path := strings.Trim(m.Path, "/")
		if path != "" {
			path += "/"
		}
		image, plain = m.Host+"/"+path+repo.RepositoryStr(), m.Scheme == "http"
	} else if host == r.opts.Host {
		plain = r.opts.Plain
	} else {
		return repo, false, nil
	}
	opts := []name.Option{}
	if plain {
		opts = append(opts, name.Insecure)
	}
	if repo, err = name.NewRepository(image, opts...); err != nil {
		return repo, false, ErrImageName
	}
	return repo, plain, nil
}

// open connects to the registry of a repository, with our credentials if it is our own and as nobody otherwise.
func (r *Registry) open(ctx context.Context, image string) (*repository, error) {
	n, _, err := r.locate(image)
	if err != nil {
		return nil, err
	}
	auth := authn.Anonymous
	if n.RegistryStr() == r.opts.Host && r.opts.User != "" {
		auth = &authn.Basic{Username: r.opts.User, Password: r.opts.Password}
	}
	t, err := transport.NewWithContext(ctx, n.Registry, auth, r.base, []string{n.Scope(transport.PullScope)})
	if err != nil {
		return nil, explain(err)
	}
	base := url.URL{Scheme: n.Scheme(), Host: n.RegistryStr(), Path: "/v2/" + n.RepositoryStr() + "/"}
	return &repository{base: base.String(), client: &http.Client{Transport: t}}, nil
}
