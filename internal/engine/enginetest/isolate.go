package enginetest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// stage is the environment variable that tells the three processes of Main apart.
const stage = "SHIPLOG_ENGINETEST"

// Main runs a package's tests in process, network and mount namespaces of their own, and exits with their code:
//
//	func TestMain(m *testing.M) { enginetest.Main(m.Run) }
//
// Networks, firewall rules, mounts and processes that the tests or Podman make are then out of sight of the machine and
// of other tests, and gone when the tests end, however they end. /run and /dev/shm are empty; the only network is lo.
func Main(run func() int) {
	switch os.Getenv(stage) {
	case "":
		os.Exit(code(outside()))
	case "init":
		os.Exit(code(initProcess()))
	default:
		os.Exit(run())
	}
}

func code(status int, err error) int {
	if err != nil {
		fmt.Fprintln(os.Stderr, "enginetest: the tests need to run as root, with namespaces:", err)
		return 1
	}
	return status
}

// outside starts this program again as process 1 of new namespaces, and kills it when it dies itself.
func outside() (int, error) {
	runtime.LockOSThread() // Pdeathsig counts the thread as the parent
	cmd := again("init")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET,
		Pdeathsig:  syscall.SIGKILL,
	}
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		if s, ok := exit.Sys().(syscall.WaitStatus); ok && s.Signaled() {
			return 0, err
		}
		return exit.ExitCode(), nil
	}
	return 0, err
}

func again(next string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), stage+"="+next)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd
}

// initProcess prepares the namespaces, runs the tests and buries the processes that Podman leaves behind.
func initProcess() (int, error) {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return 0, fmt.Errorf("make mounts private: %w", err)
	}
	for _, m := range []struct{ kind, at string }{{"proc", "/proc"}, {"tmpfs", "/run"}, {"tmpfs", "/dev/shm"}} {
		if err := unix.Mount(m.kind, m.at, m.kind, unix.MS_NOSUID|unix.MS_NODEV, ""); err != nil {
			return 0, fmt.Errorf("mount %s: %w", m.at, err)
		}
	}
	if err := os.MkdirAll("/run/lock", 0o755); err != nil {
		return 0, err
	}
	if err := loopbackUp(); err != nil {
		return 0, fmt.Errorf("bring up lo: %w", err)
	}
	cmd := again("tests")
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	for {
		var s syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &s, 0, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return 0, err
		}
		if pid == cmd.Process.Pid {
			if s.Signaled() {
				return 128 + int(s.Signal()), nil
			}
			return s.ExitStatus(), nil
		}
	}
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
}
