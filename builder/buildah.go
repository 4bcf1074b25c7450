package builder

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"go.podman.io/buildah"
	"go.podman.io/buildah/define"
	"go.podman.io/buildah/imagebuildah"
	nettypes "go.podman.io/common/libnetwork/types"
	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/types"
	"go.podman.io/storage"
	"go.podman.io/storage/pkg/archive"

	"shiplog/events"
)

// buildahVersion is recorded with every image.
const buildahVersion = define.Version

// buildahMain runs the process as one of buildah's own helpers, if it was started as one.
func buildahMain() bool { return buildah.InitReexec() }

// layerStore is containers/storage with the build's layers, as the steps see it.
type layerStore struct{ storage.Store }

func openStore() (layerStore, error) {
	s, err := storage.GetStore(storage.StoreOptions{GraphRoot: insideLayers + "/graph", RunRoot: "/run/storage", GraphDriverName: "overlay"})
	return layerStore{s}, err
}

func (s layerStore) close() { _, _ = s.Shutdown(false) }

// sweepStore removes the working containers of one build, or of all when token is empty.
func sweepStore(token string) error {
	s, err := openStore()
	if err != nil {
		return fmt.Errorf("open the layer storage: %w", err)
	}
	defer s.close()
	list, err := s.Containers()
	if err != nil {
		return fmt.Errorf("list working containers: %w", err)
	}
	var errs []error
	for _, c := range list {
		if strings.Contains(strings.Join(c.Names, " "), token) {
			errs = append(errs, s.DeleteContainer(c.ID))
		}
	}
	return errors.Join(errs...)
}

// build runs the Dockerfile and returns the id of the image.
func (s layerStore) build(ctx context.Context, p plan) (string, error) {
	sys, err := systemContext(p.request)
	if err != nil {
		return "", err
	}
	epoch := time.Unix(p.Epoch, 0).UTC()
	isolation, runtime := define.IsolationOCI, insideRuntime
	if p.Runc == "" {
		isolation, runtime = define.IsolationChroot, ""
	}
	id, _, err := imagebuildah.BuildDockerfiles(ctx, s.Store, define.BuildOptions{
		ContextDirectory: p.context,
		IgnoreFile:       p.ignore,
		ContainerSuffix:  p.Token,
		PullPolicy:       define.PullIfNewer,
		Isolation:        isolation,
		Runtime:          runtime,
		// The network of this process, which is not the host's. As a path, so that buildah takes it for a container's.
		NamespaceOptions: []define.NamespaceOption{{Name: "network", Path: "/proc/self/ns/net"}},
		NetworkInterface: noNetwork{},
		Args:             p.Job.Args,
		Out:              os.Stdout,
		Err:              os.Stdout,
		ReportWriter:     os.Stdout,
		OutputFormat:     define.OCIv1ImageManifest,
		SystemContext:    sys,
		CommonBuildOpts: &define.CommonBuildOptions{
			Ulimit:     ownUlimits(),
			Secrets:    p.secrets,
			DNSServers: dnsServers(p.Link),
			HTTPProxy:  false,
		},
		SignaturePolicyPath:     sys.SignaturePolicyPath,
		Layers:                  true,
		NoCache:                 p.Job.NoCache,
		RemoveIntermediateCtrs:  true,
		ForceRmIntermediateCtrs: true,
		Target:                  p.Job.Target,
		SourceDateEpoch:         &epoch,
		MaxPullPushRetries:      1,
		PullPushRetryDelay:      500 * time.Millisecond,
	}, p.dockerfile)
	return id, err
}

// stored is what the storage knows of an image.
type stored struct {
	manifest v1.Manifest
	config   v1.ConfigFile
	layers   []layer // the base's first
}

type layer struct {
	id     string
	pulled bool // from a registry, compressed: not built here
}

func (s layerStore) manifestAndConfig(id string) (stored, error) {
	image, err := s.Image(id)
	if err != nil {
		return stored{}, err
	}
	var out stored
	data, err := s.ImageBigData(id, storage.ImageDigestBigDataKey)
	if err == nil {
		err = json.Unmarshal(data, &out.manifest)
	}
	if err == nil {
		data, err = s.ImageBigData(id, out.manifest.Config.Digest.String())
	}
	if err == nil {
		err = json.Unmarshal(data, &out.config)
	}
	for at := image.TopLayer; err == nil && at != ""; {
		var l *storage.Layer
		if l, err = s.Layer(at); err == nil {
			out.layers = append(out.layers, layer{l.ID, l.CompressedDigest != "" && l.CompressedDigest != l.UncompressedDigest})
			at = l.Parent
		}
	}
	slices.Reverse(out.layers)
	return out, err
}

// diff returns a layer as an uncompressed tar.
func (s layerStore) diff(layer string) (io.ReadCloser, error) {
	plain := archive.Uncompressed
	return s.Diff("", layer, &storage.DiffOptions{Compression: &plain})
}

// bases looks up the digests of the base images that the Dockerfile names and that the build used.
func (s layerStore) bases(file dockerfile, job wireJob) (map[string]events.Digest, error) {
	names, err := baseNames(file, job)
	if err != nil {
		return nil, err
	}
	found := map[string]events.Digest{}
	for _, name := range names {
		named, err := reference.ParseNormalizedNamed(name)
		if err != nil {
			continue // an image of another kind of source, which has no name
		}
		image, err := s.Image(reference.TagNameOnly(named).String())
		if errors.Is(err, storage.ErrImageUnknown) {
			continue // in a stage that was not needed
		}
		if err != nil {
			return nil, err
		}
		found[name] = events.Digest(image.Digest)
	}
	return found, nil
}

// systemContext says where configuration is and how registries are reached.
func systemContext(req request) (*types.SystemContext, error) {
	proxy, err := url.Parse(req.Proxy)
	if err != nil {
		return nil, err
	}
	return &types.SystemContext{
		SignaturePolicyPath:         insideConfig + "/policy.json",
		RegistriesDirPath:           insideFiles,
		SystemRegistriesConfPath:    insideConfig + "/registries.conf",
		SystemRegistriesConfDirPath: insideFiles,
		UserShortNameAliasConfPath:  insideFiles + "/aliases.conf",
		AuthFilePath:                insideFiles + "/auth.json",
		BlobInfoCacheDir:            insideLayers + "/blobs",
		BigFilesTemporaryDir:        insideTemp,
		DockerProxyURL:              proxy,
		DockerRegistryUserAgent:     "shiplog/" + req.Shiplog,
	}, nil
}

// noNetwork stands in for netavark: the build's network is made before buildah runs, and it must not look for its own.
type noNetwork struct{ nettypes.ContainerNetwork }

// DefaultNetworkName is asked for even where no network is set up.
func (noNetwork) DefaultNetworkName() string { return "shiplog" }
