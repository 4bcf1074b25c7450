package ingress

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Ensure makes sure that an ingress as the options ask for answers at the socket. Where none does, it starts
//
//	exe ingress --listen … --socket … --state …
//
// in a session of its own, with its output in ingress.log beside the state, and waits until it answers. It goes on when
// the caller ends, however that happens (under systemd the caller's unit needs KillMode=process for that). Where one of
// another version or address answers, the new one takes over from it without refusing a request.
//
// It waits for at most 10 s. An error holds the last lines of the log.
func Ensure(ctx context.Context, exe string, o Options) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	client := NewClient(o.Socket)
	if h, err := client.Health(ctx); err == nil && h.same(o) {
		return nil
	}
	logPath := filepath.Join(filepath.Dir(o.State), "ingress.log")
	child, ended, err := start(exe, o, logPath)
	if err != nil {
		return fmt.Errorf("start the ingress: %w", err)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if h, err := client.Health(ctx); err == nil && h.PID == child.Pid {
			return nil
		}
		select {
		case <-tick.C:
		case err := <-ended:
			return fmt.Errorf("start the ingress: it ended at once (%v); its log %s ends with: %s", err, logPath, tail(logPath))
		case <-ctx.Done():
			_ = child.Kill()
			return fmt.Errorf("start the ingress: it does not answer at %s; its log %s ends with: %s", o.Socket, logPath, tail(logPath))
		}
	}
}

func start(exe string, o Options, logPath string) (*os.Process, <-chan error, error) {
	for _, p := range []*string{&exe, &o.Socket, &o.State} {
		abs, err := filepath.Abs(*p)
		if err != nil {
			return nil, nil, err
		}
		*p = abs
	}
	if info, err := os.Stat(logPath); err == nil && info.Size() > 10<<20 {
		_ = os.Rename(logPath, logPath+".1")
	}
	out, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, err
	}
	defer out.Close()
	cmd := exec.Command(exe, "ingress", "--listen", o.Listen, "--socket", o.Socket, "--state", o.State)
	cmd.Stdout, cmd.Stderr, cmd.Dir, cmd.Env = out, out, "/", environment()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // also when it ends much later, so that it does not stay a zombie
	return cmd.Process, ended, nil
}

// environment is what the ingress needs of ours. Ours may hold tokens.
func environment() []string {
	var env []string
	for _, name := range []string{"PATH", "HOME", "TZ", "LANG", "GODEBUG", "GOMAXPROCS", "GOMEMLIMIT", "GOTRACEBACK"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// tail is the last 500 bytes of a file, in one line.
func tail(path string) string {
	text, _ := os.ReadFile(path)
	text = bytes.TrimSpace(text[max(0, len(text)-500):])
	return strings.ReplaceAll(string(text), "\n", " | ")
}
