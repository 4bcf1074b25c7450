package builder

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Where things are for a build. Everything else of the host is not there at all.
const (
	insideSource  = "/build/source"  // the checked-out tree
	insideTemp    = "/build/tmp"     // on the same disk
	insideSecrets = "/build/secrets" // in memory
	insideFiles   = "/build/files"   // in memory: the Dockerfile and ignore file as they were read
	insideRepo    = "/build/repo"    // the built-in remote's repository, read only
	insideLayers  = "/build/layers"
	insideConfig  = "/build/config"
	insideMounts  = insideTemp + "/buildah-cache-0" // where buildah looks for cache mounts

	insideContainersConf = "/build/containers.conf"
)

// containersConf keeps the host's names out of the /etc/hosts of RUN steps.
const containersConf = "[containers]\nbase_hosts_file = \"none\"\nhost_containers_internal_ip = \"none\"\n"

// hostDirs are the host's programs and libraries, read only. Where one is a symlink (/bin -> usr/bin) the link is made.
var hostDirs = []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store"}

// hostFiles are what of /etc is needed to resolve names and trust certificates.
var hostFiles = []string{"/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf", "/etc/ssl", "/etc/pki", "/etc/ca-certificates",
	"/etc/crypto-policies", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives", "/etc/localtime",
	"/etc/containers/certs.d", "/etc/docker/certs.d", "/etc/ssh/ssh_known_hosts"}

// devices are the harmless ones.
var devices = []string{"null", "zero", "full", "random", "urandom", "tty"}

// enterRoot replaces the process's view of the file system by one made of the lists above, the layer storage and the
// job's directory. The process must be alone in a new mount namespace.
func enterRoot(req request) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	r := &root{dir: filepath.Join(req.Work, "root")}
	r.do(os.Mkdir(r.dir, 0o755))
	r.tmpfs("/", "mode=755,size=16m")
	for _, path := range append(hostDirs, hostFiles...) {
		r.host(path)
	}
	if !strings.HasPrefix(req.Runc, "/usr/") {
		r.host(req.Runc)
	}
	resolv, _ := os.ReadFile("/etc/resolv.conf") // a copy, because the file may be a symlink into /run
	r.file("/etc/resolv.conf", resolv)
	r.file("/etc/passwd", []byte("root:x:0:0:root:/root:/bin/sh\n"))
	r.file("/etc/group", []byte("root:x:0:\n"))
	r.file(insideContainersConf, []byte(containersConf))
	r.kernel()
	r.tmpfs("/run", "mode=755,size=64m")
	r.tmpfs("/root", "mode=700,size=1m")
	r.tmpfs(insideSecrets, "mode=700,size=64m")
	r.tmpfs(insideFiles, "mode=700,size=16m")
	r.bind(req.Layers, insideLayers, false)
	r.bind(req.Config, insideConfig, true)
	for _, name := range []string{"source", "tmp"} {
		r.do(os.Mkdir(filepath.Join(req.Work, name), 0o755))
	}
	r.bind(filepath.Join(req.Work, "source"), insideSource, false)
	r.bind(filepath.Join(req.Work, "tmp"), insideTemp, false)
	r.bind(filepath.Join(req.Work, "tmp"), "/tmp", false)
	r.bind(filepath.Join(req.Work, "tmp"), "/var/tmp", false)
	r.bind(req.Mounts, insideMounts, false)
	if req.Job.Source.Local != "" {
		r.bind(req.Job.Source.Local, insideRepo, true)
	}
	r.program(req)
	for _, path := range req.Hide {
		r.hide(path)
	}
	if r.err != nil {
		return r.err
	}
	return r.enter()
}

// root is a file system under construction. The first error stays, and nothing is done after it.
type root struct {
	dir string
	err error
}

func (r *root) do(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *root) at(path string) string { return filepath.Join(r.dir, path) }

// host makes a path of the host visible, read only, where it exists.
func (r *root) host(path string) {
	info, err := os.Lstat(path)
	if path == "" || err != nil {
		return
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		target, err := os.Readlink(path)
		r.do(err)
		r.do(os.MkdirAll(filepath.Dir(r.at(path)), 0o755))
		r.do(os.Symlink(target, r.at(path)))
		return
	}
	r.bind(path, path, true)
}

// bind makes one path of the host visible at another.
func (r *root) bind(from, to string, readOnly bool) {
	info, err := os.Stat(from)
	if r.do(err); r.err != nil {
		return
	}
	if info.IsDir() {
		r.do(os.MkdirAll(r.at(to), 0o755))
	} else {
		r.file(to, nil)
	}
	r.mount(from, to, "", unix.MS_BIND|unix.MS_REC, "")
	if readOnly && r.err == nil {
		attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
		if unix.MountSetattr(unix.AT_FDCWD, r.at(to), unix.AT_RECURSIVE, &attr) != nil { // before Linux 5.12: not what is mounted below
			r.mount("", to, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")
		}
	}
}

func (r *root) file(path string, data []byte) {
	if r.err != nil {
		return
	}
	r.do(os.MkdirAll(filepath.Dir(r.at(path)), 0o755))
	r.do(os.WriteFile(r.at(path), data, 0o644))
}

func (r *root) tmpfs(path, options string) {
	if r.err == nil {
		r.do(os.MkdirAll(r.at(path), 0o755))
		r.mount("tmpfs", path, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, options)
	}
}

func (r *root) mount(from, to, kind string, flags uintptr, options string) {
	if r.err != nil {
		return
	}
	if err := unix.Mount(from, r.at(to), kind, flags, options); err != nil {
		r.err = fmt.Errorf("mount %s at %s: %w", from, to, err)
	}
}

// kernel mounts what the kernel offers: processes of our own namespace only, the harmless devices, and /sys, which
// runc needs for cgroups.
func (r *root) kernel() {
	if r.err != nil {
		return
	}
	for _, dir := range []string{"/proc", "/sys", "/dev"} {
		r.do(os.Mkdir(r.at(dir), 0o755))
	}
	r.mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	r.mount("/sys", "/sys", "", unix.MS_BIND|unix.MS_REC, "")
	r.tmpfs("/dev", "mode=755,size=1m")
	r.tmpfs("/dev/shm", "mode=1777,size=64m")
	for _, name := range devices {
		r.bind("/dev/"+name, "/dev/"+name, false)
	}
	if r.err != nil {
		return
	}
	r.do(os.Mkdir(r.at("/dev/pts"), 0o755))
	r.mount("devpts", "/dev/pts", "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620")
	for name, target := range map[string]string{"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "/proc/self/fd/0",
		"stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"} {
		r.do(os.Symlink(target, r.at("/dev/"+name)))
	}
}

// program puts this program and the runtime's script where the steps start them.
func (r *root) program(req request) {
	if req.Runc == "" {
		return
	}
	r.tmpfs("/build/run", "mode=700,size=1m")
	r.file(insideRuntime, runtimeScript(req.Runc))
	if r.err != nil {
		return
	}
	r.do(os.Chmod(r.at(insideRuntime), 0o700))
	if r.bind("/proc/self/exe", insideHardener, true); r.err == nil {
		return
	}
	// A binary that was replaced while it runs has no path to bind any more.
	r.err = nil
	data, err := os.ReadFile("/proc/self/exe")
	r.do(err)
	copied := filepath.Join(req.Work, "program")
	r.do(os.WriteFile(copied, data, 0o700))
	r.bind(copied, insideHardener, true)
}

// hide covers what is inside the new root all the same, such as a data directory below /usr/local.
func (r *root) hide(path string) {
	info, err := os.Lstat(r.at(path))
	if r.err != nil || err != nil || !filepath.IsAbs(path) || strings.HasPrefix(filepath.Clean(path), "/build/") {
		return
	}
	if info.IsDir() {
		r.mount("tmpfs", path, "tmpfs", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, "size=4k,mode=000")
	} else if info.Mode()&fs.ModeSymlink == 0 {
		r.mount("/dev/null", path, "", unix.MS_BIND, "")
	}
}

// enter makes the new root the root and drops the old one.
func (r *root) enter() error {
	if err := os.Chdir(r.dir); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("change the root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leave the old root: %w", err)
	}
	return os.Chdir("/")
}
