package builder

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"go.podman.io/common/pkg/seccomp"
)

// buildah makes containers without a seccomp filter unless it is linked with libseccomp, which a static binary is not.
// It runs this script in place of runc, which lets our own binary add the filter to the container's configuration;
// runc has the library. A script, because buildah asks runc for the container's state ten times a second.
const (
	insideRuntime  = "/build/run/runc"
	insideHardener = "/build/run/harden"
)

func runtimeScript(runc string) []byte {
	return []byte("#!/bin/sh\nset -e\ncase \"$1\" in create) " + insideHardener + " \"$@\" ;; esac\nexec " + runc + " \"$@\"\n")
}

// harden is called with the arguments of "runc create" and edits the configuration in the bundle.
func harden(args []string) error {
	i := slices.Index(args, "--bundle")
	if i < 0 || i+1 >= len(args) {
		return errors.New("no --bundle")
	}
	file := filepath.Join(args[i+1], "config.json")
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var spec specs.Spec
	if err := json.Unmarshal(data, &spec); err != nil {
		return err
	}
	hardenSpec(&spec)
	if data, err = json.Marshal(&spec); err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o600)
}

// hardenSpec adds the seccomp filter, takes the cgroup file systems away, which buildah mounts writable, and makes the
// step the first to go when the build runs out of memory, so that there is somebody left to say so.
func hardenSpec(spec *specs.Spec) {
	first := 500
	spec.Process.OOMScoreAdj = &first
	spec.Mounts = slices.DeleteFunc(spec.Mounts, func(m specs.Mount) bool { return strings.HasPrefix(m.Destination, "/sys/fs/cgroup") })
	spec.Linux.MaskedPaths = append(spec.Linux.MaskedPaths, "/sys/fs/cgroup")
	spec.Linux.Seccomp = seccompFilter(spec.Process.Capabilities.Bounding)
}

// denied are the calls that the containers projects' profile allows, for containers in containers, and Docker's does
// not: with them a step could make a user namespace and reach the parts of the kernel that only root ever used.
var denied = []string{"mount", "umount", "umount2", "mount_setattr", "move_mount", "open_tree", "fsconfig", "fsmount", "fsopen", "fspick",
	"pivot_root", "unshare", "setns", "keyctl", "add_key", "request_key", "io_uring_setup", "io_uring_enter", "io_uring_register"}

// newNamespaces are the flags of clone(2) that make one.
const newNamespaces = 0x7e020000

// seccompFilter is the containers projects' default profile for this machine and a container with these capabilities,
// without the calls above. clone3 is answered as if the kernel did not have it, because a filter cannot see its flags.
func seccompFilter(caps []string) *specs.LinuxSeccomp {
	profile := seccomp.DefaultProfile()
	errno := uint(38) // ENOSYS, as the profile has it: a program takes the call for one that the kernel does not know
	filter := &specs.LinuxSeccomp{DefaultAction: specs.LinuxSeccompAction(profile.DefaultAction), DefaultErrnoRet: &errno}
	native := map[string]seccomp.Arch{"amd64": seccomp.ArchX86_64, "arm64": seccomp.ArchAARCH64}[runtime.GOARCH]
	for _, a := range profile.ArchMap {
		if a.Arch == native {
			filter.Architectures = append(filter.Architectures, specs.Arch(a.Arch))
			for _, sub := range a.SubArches {
				filter.Architectures = append(filter.Architectures, specs.Arch(sub))
			}
		}
	}
	has := func(c string) bool { return slices.Contains(caps, c) }
	lacks := func(c string) bool { return !has(c) }
	for _, call := range profile.Syscalls {
		if slices.Contains(call.Excludes.Arches, runtime.GOARCH) || slices.ContainsFunc(call.Excludes.Caps, has) ||
			len(call.Includes.Arches) > 0 && !slices.Contains(call.Includes.Arches, runtime.GOARCH) || slices.ContainsFunc(call.Includes.Caps, lacks) {
			continue
		}
		s := specs.LinuxSyscall{Names: call.Names, Action: specs.LinuxSeccompAction(call.Action), ErrnoRet: call.ErrnoRet}
		if call.Name != "" {
			s.Names = []string{call.Name}
		}
		for _, a := range call.Args {
			s.Args = append(s.Args, specs.LinuxSeccompArg{Index: a.Index, Value: a.Value, ValueTwo: a.ValueTwo, Op: specs.LinuxSeccompOperator(a.Op)})
		}
		s.Names = slices.DeleteFunc(slices.Clone(s.Names), func(name string) bool {
			return name == "clone" || name == "clone3" || s.Action == specs.ActAllow && slices.Contains(denied, name)
		})
		if len(s.Names) > 0 {
			filter.Syscalls = append(filter.Syscalls, s)
		}
	}
	eperm := uint(1)
	filter.Syscalls = append(filter.Syscalls,
		specs.LinuxSyscall{Names: denied, Action: specs.ActErrno, ErrnoRet: &eperm},
		specs.LinuxSyscall{Names: []string{"clone"}, Action: specs.ActAllow,
			Args: []specs.LinuxSeccompArg{{Index: 0, Value: newNamespaces, ValueTwo: 0, Op: specs.OpMaskedEqual}}})
	return filter
}

// hardenMain is the process that the script starts.
func hardenMain() {
	if err := harden(os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "harden the container of a build step:", err)
		os.Exit(1)
	}
}
