package builder

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// run starts the child, gives it the request and waits for its end. ended is false when it was killed or died without
// an answer; everything it started is gone then, too.
func (b *Builder) run(ctx context.Context, req request, group *cgroup, log io.Writer) (rep reply, ended bool) {
	broken := func(err error) (reply, bool) {
		return reply{Failure: fail(stepBuild, "start the build: "+err.Error(), true)}, false
	}
	body, err := json.Marshal(req)
	if err != nil {
		return broken(err)
	}
	// PDEATHSIG comes when the thread that started the child ends, not the process: keep this one.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Args = []string{childName}
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
		Pdeathsig:  syscall.SIGKILL,
		Setsid:     true,
	}
	cmd.Cancel = func() error { group.kill(); return cmd.Process.Kill() }
	logs, logEnd, err := os.Pipe()
	if err != nil {
		return broken(err)
	}
	defer logs.Close()
	replies, replyEnd, err := os.Pipe()
	if err != nil {
		return broken(errors.Join(err, logEnd.Close()))
	}
	defer replies.Close()
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = logEnd, logEnd, []*os.File{replyEnd}
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	_, _ = logEnd.Close(), replyEnd.Close()
	if err != nil {
		return broken(err)
	}

	copied, answered := make(chan struct{}), make(chan error, 1)
	go func() { defer close(copied); _, _ = io.Copy(log, logs) }()
	go func() { answered <- json.NewDecoder(io.LimitReader(replies, 1<<20)).Decode(&rep) }()
	// The child does nothing before it has the request, so that everything it does is inside the cgroup.
	startErr := group.add(cmd.Process.Pid)
	if startErr == nil {
		_, startErr = stdin.Write(body)
	}
	_ = stdin.Close()
	if startErr != nil {
		_ = cmd.Process.Kill()
	}
	waitErr := cmd.Wait()
	group.kill() // nothing should be left; be sure
	answerErr := <-answered
	<-copied
	switch {
	case ctx.Err() != nil:
		return reply{}, false
	case startErr != nil:
		return broken(startErr)
	case answerErr != nil:
		return reply{Failure: fail(stepBuild, fmt.Sprintf("the build's process ended without a result (%v)", waitErr), true)}, false
	}
	return rep, waitErr == nil
}

// sweepContainers removes what a killed build left half-made in the storage: its working containers, or those of all
// builds when token is empty. It works in a child, too, because the storage library mounts.
func (b *Builder) sweepContainers(layers, token string) error {
	work, err := os.MkdirTemp(b.opts.Work, "b-sweep-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	rep, ended := b.run(context.Background(), request{Sweep: true, Token: token, Work: work, Layers: layers, Mounts: filepath.Join(layers, "mounts"),
		Config: b.opts.Storage}, nil, io.Discard)
	switch {
	case rep.Failure != nil:
		return fmt.Errorf("remove what a killed build left in the layer storage: %w", rep.Failure)
	case !ended:
		return errors.New("remove what a killed build left in the layer storage: the process died")
	}
	return nil
}

// sweepLeftovers removes what an earlier process could not.
func (b *Builder) sweepLeftovers() error {
	if err := b.cgroups.sweep(); err != nil {
		b.warn("cgroups of an earlier process are left: %v", err)
	}
	b.network.sweep()
	left, err := os.ReadDir(b.opts.Work)
	if err != nil {
		return err
	}
	for _, e := range left {
		if !strings.HasPrefix(e.Name(), "b-") {
			continue
		}
		if err := os.RemoveAll(filepath.Join(b.opts.Work, e.Name())); err != nil {
			return fmt.Errorf("remove the directory of an earlier build: %w", err)
		}
	}
	if err := b.dropOldLayers(); err != nil {
		return fmt.Errorf("remove cleared layers: %w", err)
	}
	layers, done, err := b.useLayers()
	if err != nil {
		return err
	}
	defer done()
	// This also tries, once, whether this host lets us do what a build does.
	if err := b.sweepContainers(layers, ""); err != nil {
		b.warn("builds do not work on this host: %v", err)
	}
	return nil
}
