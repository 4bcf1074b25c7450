// Package enginetest gives tests a real container engine: a Podman of their own, and a small app to run in it.
//
// What it takes, seen on Debian 12 (podman 4.3.1, netavark and aardvark-dns 1.4.0, runc 1.1.5, crun 1.8.1) on a host with
// cgroup v1 and v2 mounted side by side and without CAP_SYS_RESOURCE:
//   - apt packages podman, runc, netavark, aardvark-dns and iptables (1.8, nf_tables); catatonit for an init in containers
//     (recommended by podman, and done without where it is missing). No CNI plugins, no nft command, no systemd, no fuse-overlayfs.
//   - the runtime has to be runc: crun 1.8.1 fails on such hosts. The cgroup manager has to be cgroupfs, as there is no systemd.
//   - bridge networks, isolation between them (option isolate=true) and names by aardvark-dns work, on the host and in a
//     network namespace. netavark's files are in /run/containers/networks whatever --root says, and locks are in
//     /dev/shm/libpod_lock unless lock_type is file: two Podmans share them, so tests run in namespaces (see Main).
//   - netavark 1.4.0 turns isolation off for all networks when the last container leaves one of them; engine mends that.
//   - networks are described in /etc/containers/networks whatever --root says, and pruning one Podman's prunes them all,
//     unless network_config_dir says otherwise.
//   - Podman chooses subnets from 10.89.0.0/24 on; each Podman here chooses from a 10.x.0.0/16 of its own.
//   - a container needs explicit ulimits no higher than ours, or it does not start; so does a RUN step.
//   - the line "failed to connect to syslog" on standard error is conmon's, where /dev/log is missing. It is harmless.
package enginetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Podman starts a Podman service with storage of its own and returns its address for engine.Options.Host. It ends with
// the test, with all its containers, networks and mounts. Packages that use it should have a TestMain that calls Main:
// without, two Podmans at a time get into each other's networks.
func Podman(t testing.TB) (host string) {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "podman-")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Start(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(s.Stop(), os.RemoveAll(dir)); err != nil {
			t.Error(err)
		}
	})
	return s.Host
}

// Server is a running Podman service.
type Server struct {
	Host string // "unix:///…"
	dir  string
	cmd  *exec.Cmd
	said *bytes.Buffer // its standard error; read after it ended
}

// Start starts a Podman service that keeps everything in dir, and returns when it answers.
func Start(ctx context.Context, dir string) (*Server, error) {
	for _, name := range []string{"podman", "runc"} {
		if _, err := exec.LookPath(name); err != nil {
			return nil, fmt.Errorf("%w: apt-get install podman runc netavark aardvark-dns iptables", err)
		}
	}
	s := &Server{Host: "unix://" + dir + "/podman.sock", dir: dir, said: &bytes.Buffer{}}
	for name, text := range map[string]string{"containers.conf": s.config(), "policy.json": `{"default":[{"type":"insecureAcceptAnything"}]}`, "registries.conf": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "tmp"), 0o700); err != nil {
		return nil, err
	}
	s.cmd = s.podman("system", "service", "--time=0", s.Host)
	s.cmd.Stderr = s.said
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("unix", dir+"/podman.sock")
		if err == nil {
			return s, conn.Close()
		}
		if ctx.Err() != nil || time.Since(begin) > 20*time.Second {
			return nil, errors.Join(fmt.Errorf("podman does not answer: %w", err), s.Stop())
		}
	}
}

// config is containers.conf.
func (s *Server) config() string {
	return fmt.Sprintf(`[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
[containers]
log_driver = "k8s-file"
[network]
network_backend = "netavark"
network_config_dir = "%s/networks"
default_subnet_pools = [{"base" = "10.%d.0.0/16", "size" = 24}]
`, s.dir, 100+rand.IntN(100))
}

// podman returns a command of this Podman.
func (s *Server) podman(args ...string) *exec.Cmd {
	cmd := exec.Command("podman", append([]string{
		"--root", s.dir + "/root", "--runroot", s.dir + "/run", "--tmpdir", s.dir + "/libpod", "--storage-driver", "overlay",
	}, args...)...)
	cmd.Env = append(os.Environ(), "CONTAINERS_CONF="+s.dir+"/containers.conf", "CONTAINERS_REGISTRIES_CONF="+s.dir+"/registries.conf", "TMPDIR="+s.dir+"/tmp")
	return cmd
}

// Stop removes all containers and networks and ends the service. dir stays, with nothing mounted below it.
func (s *Server) Stop() error {
	var errs []error
	for _, args := range [][]string{{"rm", "-a", "-f", "-t", "0"}, {"network", "prune", "-f"}} {
		if out, err := s.podman(args...).CombinedOutput(); err != nil {
			errs = append(errs, fmt.Errorf("podman %s: %w: %s", args[0], err, out))
		}
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	_ = s.cmd.Wait() // by our signal
	errs = append(errs, s.buryMonitors())
	mounts, err := os.ReadFile("/proc/self/mounts")
	errs = append(errs, err)
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[1], s.dir+"/") {
			errs = append(errs, syscall.Unmount(f[1], syscall.MNT_DETACH))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("stop podman: %w\n%s", err, s.said)
	}
	return nil
}

// buryMonitors waits for the processes that watch containers: they end a moment after their container is removed, and
// write to dir until then.
func (s *Server) buryMonitors() error {
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		left := 0
		files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, file := range files {
			if b, err := os.ReadFile(file); err == nil && bytes.Contains(b, []byte(s.dir+"/root")) {
				left++
			}
		}
		if left == 0 {
			return nil
		}
		if time.Since(begin) > 10*time.Second {
			return fmt.Errorf("%d processes of this Podman do not end", left)
		}
	}
}
