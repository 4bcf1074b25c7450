package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/moby/moby/client"
)

// Options configures a Docker.
type Options struct {
	Host     string       // "unix:///…" or "tcp://…"; empty: the first that answers of DOCKER_HOST, CONTAINER_HOST and the usual sockets
	Instance string       // tells this Shiplog's containers from another's on the same engine; required, [a-z0-9-]
	Log      *slog.Logger // default: nothing is logged
}

// Docker is an Engine that speaks the Docker API, to Docker or to Podman. With Podman it uses Podman's own API for what
// the Docker one cannot say. The process must be able to reach the addresses of containers: it runs on the same Linux
// host, and the container engine runs as root.
type Docker struct {
	api      *client.Client
	pod      *libpod // nil: it is Docker
	instance string
	log      *slog.Logger
	info     Info
	logs     map[string]string // options of the log driver that keep logs small
	noInit   atomic.Bool       // the engine has no init to put into containers
	unmended atomic.Bool       // it was said that isolation cannot be mended
	unsteady atomic.Bool       // it was said that a bridge cannot be kept as it is
	digests  sync.Map          // image id and digest, as one string: seen to belong together
}

var _ Engine = (*Docker)(nil)

// Open finds the container engine and asks what it is.
func Open(ctx context.Context, opts Options) (*Docker, error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if !instancePattern.MatchString(opts.Instance) {
		return nil, fmt.Errorf("open engine: the instance name %q is not [a-z0-9-]", opts.Instance)
	}
	var tried []error
	for _, host := range hosts(opts.Host) {
		d, err := open(ctx, host, opts)
		if err == nil {
			return d, nil
		}
		tried = append(tried, fmt.Errorf("%s: %w", host, err))
	}
	if tried == nil {
		tried = append(tried, errors.New("no socket in any of the usual places"))
	}
	return nil, fmt.Errorf("%w (install docker.io, or podman and `systemctl enable --now podman.socket`, or say --engine-host): %w",
		ErrDown, errors.Join(tried...))
}

var instancePattern = regexp.MustCompile(`^[a-z0-9-]{1,63}$`)

// hosts are the places to look for a container engine, best first.
func hosts(chosen string) []string {
	if chosen != "" {
		return []string{chosen}
	}
	for _, env := range []string{"DOCKER_HOST", "CONTAINER_HOST"} {
		if host := os.Getenv(env); host != "" {
			return []string{host}
		}
	}
	var found []string
	seen := map[string]bool{}
	for _, path := range []string{"/var/run/docker.sock", "/run/docker.sock", "/run/podman/podman.sock"} {
		real, err := filepath.EvalSymlinks(path)
		if err == nil && !seen[real] {
			seen[real] = true
			found = append(found, "unix://"+path)
		}
	}
	return found
}

func open(ctx context.Context, host string, opts Options) (*Docker, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	api, err := client.New(client.WithHost(host), client.WithUserAgent("shiplog"))
	if err != nil {
		return nil, err
	}
	d := &Docker{api: api, instance: opts.Instance, log: opts.Log}
	if err := d.identify(ctx); err != nil {
		return nil, errors.Join(err, api.Close())
	}
	return d, nil
}

// identify fills in what the container engine is and can do.
func (d *Docker) identify(ctx context.Context) error {
	if _, err := d.api.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true}); err != nil {
		return err
	}
	d.info.API = d.api.ClientVersion()
	pod := newLibpod(d.api)
	i, err := pod.info(ctx)
	if pe := (*podmanError)(nil); errors.As(err, &pe) { // no such API: it is Docker
		pod.http.CloseIdleConnections()
		return d.identifyDocker(ctx)
	}
	if err != nil {
		return err
	}
	d.pod = pod
	d.info.Name, d.info.Version, d.info.Warnings = "podman", i.Version.Version, i.warnings()
	d.logs = rotation(i.Host.LogDriver)
	pod.mixed = i.Host.NetworkBackend != "netavark"
	return nil
}

func (d *Docker) identifyDocker(ctx context.Context) error {
	v, err := d.api.ServerVersion(ctx, client.ServerVersionOptions{})
	if err != nil {
		return err
	}
	i, err := d.api.Info(ctx, client.InfoOptions{})
	if err != nil {
		return err
	}
	d.info.Name, d.info.Version = "docker", v.Version
	d.logs = rotation(i.Info.LoggingDriver)
	for _, c := range v.Components {
		d.info.Warnings = append(d.info.Warnings, runtimeWarnings(c.Name, c.Version)...)
	}
	d.info.Warnings = append(d.info.Warnings, dockerWarnings(i.Info)...)
	return nil
}

// Info returns what Open found out, if the engine still answers.
func (d *Docker) Info(ctx context.Context) (Info, error) {
	if _, err := d.api.Ping(ctx, client.PingOptions{}); err != nil {
		return Info{}, d.failed("ping the container engine", err)
	}
	return d.info, nil
}

// Close lets go of the connection. Containers are not touched.
func (d *Docker) Close() error {
	if d.pod != nil {
		d.pod.http.CloseIdleConnections()
	}
	return d.api.Close()
}

// failed wraps an error of the API, with ErrDown if no answer came.
func (d *Docker) failed(action string, err error) error {
	if client.IsErrConnectionFailed(err) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%s: %w: %w", action, ErrDown, err)
	}
	return fmt.Errorf("%s: %w", action, err)
}

// rotation bounds what the log driver keeps, where it can be told: 3 files of 10 MB (Podman keeps one).
func rotation(driver string) map[string]string {
	switch driver {
	case "json-file", "local":
		return map[string]string{"max-size": "10m", "max-file": "3"}
	case "k8s-file":
		return map[string]string{"max-size": "10m"}
	default:
		return nil
	}
}
