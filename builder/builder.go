package builder

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"
)

// Options say where a builder works and what a build may use.
type Options struct {
	Storage  string            // directory for layers, base images and cache mounts; wanted between builds. Required
	Work     string            // directory for checkouts and temporary files; emptied. Required
	Hide     []string          // paths that no build may see. Builds see an allow-list only; this covers what is inside it
	Mirrors  map[string]string // registry -> URL of its mirror: "docker.io" -> "http://127.0.0.1:5001"
	Limits   Limits
	Unsafe   bool           // without runc, run RUN steps by chroot, in the build's own mount and pid namespaces
	NetAllow []netip.Prefix // networks that are not public and that builds may reach all the same
	Version  string         // of Shiplog, for the record; default "dev"
	Log      *slog.Logger   // default: discard
}

// Limits bound one build. Zero values mean the defaults.
type Limits struct {
	Memory   int64         // bytes for all processes and their files in memory; default half of the machine's
	CPUs     float64       // default no limit
	PIDs     int           // processes and threads; default 4096
	LogBytes int64         // default 10 MiB
	Time     time.Duration // default 15 min
	DiskFree int64         // bytes; a build is stopped when the disk of Storage has less left. Default 1 GiB
}

// Builder builds images. It is safe for concurrent use; builds run side by side.
type Builder struct {
	opts     Options
	log      *slog.Logger
	id       string // names this instance's nftables table, links and cgroups: 6 hex digits of Storage's path
	runc     string // path, empty when there is none
	cgroups  *cgroups
	network  *network // nil when builds get no network
	warnings []string

	mu     sync.Mutex
	layers map[string]int // layer directories in use -> builds that use them
}

// Open prepares the directories, removes what an earlier process left behind and finds out what this host allows.
// It fails only when no build could ever work; what works less well than it should is in Warnings.
func Open(opts Options) (*Builder, error) {
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("builds need root, for mount and network namespaces: run the service as root")
	}
	for _, dir := range []*string{&opts.Storage, &opts.Work} {
		if err := prepareDir(dir); err != nil {
			return nil, fmt.Errorf("prepare the builder's directories: %w", err)
		}
	}
	opts.Limits = opts.Limits.withDefaults()
	opts.Version = cmp.Or(opts.Version, "dev")
	sum := sha256.Sum256([]byte(opts.Storage))
	b := &Builder{opts: opts, log: opts.Log, id: hex.EncodeToString(sum[:3]), layers: map[string]int{}}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	if err := b.findRunc(); err != nil {
		return nil, err
	}
	if err := writeConfig(opts.Storage, opts.Mirrors); err != nil {
		return nil, err
	}
	var err error
	if b.cgroups, err = openCgroups("shiplog-build-"+b.id, opts.Limits); err != nil {
		b.warn("builds are not limited as they should be: %v", err)
	}
	if b.network, err = openNetwork(b.id, opts.NetAllow); err != nil {
		b.warn("RUN and ADD in a build have no network: %v", err)
	} else if len(b.network.dns) == 0 {
		b.warn("RUN in a build resolves no names: the host's nameservers are on its loopback")
	}
	if err := b.sweepLeftovers(); err != nil {
		return nil, err
	}
	return b, nil
}

// Warnings returns, for people, what works less well than it should on this host.
func (b *Builder) Warnings() []string { return b.warnings }

// Close gives back what is shared by all builds: the firewall table and the parent cgroup. Builds must have ended.
func (b *Builder) Close() error {
	b.cgroups.close()
	return b.network.close()
}

func (b *Builder) warn(format string, args ...any) {
	b.warnings = append(b.warnings, fmt.Sprintf(format, args...))
}

// ClearCache forgets every layer, base image and cache mount. Builds that are under way keep theirs until they end.
func (b *Builder) ClearCache(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.retireLayers(); err != nil {
		return fmt.Errorf("clear the layer cache: %w", err)
	}
	return nil
}

func (l Limits) withDefaults() Limits {
	l.Memory = cmp.Or(l.Memory, max(512<<20, machineMemory()/2))
	l.PIDs = cmp.Or(l.PIDs, 4096)
	l.LogBytes = cmp.Or(l.LogBytes, 10<<20)
	l.Time = cmp.Or(l.Time, 15*time.Minute)
	l.DiskFree = cmp.Or(l.DiskFree, 1<<30)
	return l
}

// prepareDir makes the directory and its path absolute and free of symlinks.
func prepareDir(dir *string) error {
	if *dir == "" {
		return fmt.Errorf("the directories Storage and Work must be given")
	}
	if err := os.MkdirAll(*dir, 0o700); err != nil {
		return err
	}
	abs, err := filepath.Abs(*dir)
	if err != nil {
		return err
	}
	*dir, err = filepath.EvalSymlinks(abs)
	return err
}

func platform() string { return runtime.GOOS + "/" + runtime.GOARCH }
