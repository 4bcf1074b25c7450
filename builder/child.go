package builder

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"shiplog/events"
	"shiplog/internal/git"
)

// child is pid 1 of a build's namespaces, with the host's network. It ends by itself or is killed; it cleans nothing up.
func child(req request) reply {
	if err := enterRoot(req); err != nil {
		return reply{Failure: fail(stepBuild, "hide the host from the build: "+err.Error(), false)}
	}
	if req.Sweep {
		if err := sweepStore(req.Token); err != nil {
			return reply{Failure: fail(stepBuild, err.Error(), true)}
		}
		return reply{}
	}
	go watchDisk(req.Disk)
	start := time.Now()
	tree, err := checkout(req.Job)
	if err != nil {
		return reply{Failure: checkoutFailure(req.Job, err)}
	}
	phase := events.Phase{Name: stepCheckout, Ms: time.Since(start).Milliseconds()}
	req.Tree, req.Epoch = tree.Hash, tree.Time.Unix()
	rep, err := runSteps(req)
	if err != nil {
		return reply{Failure: fail(stepBuild, "start the build: "+err.Error(), true), Dirty: true}
	}
	if rep.Built != nil {
		rep.Built.Phases = append([]events.Phase{phase}, rep.Built.Phases...)
	}
	return rep
}

// checkout fetches the commit. The server's address is checked by package git, at connect.
func checkout(job wireJob) (git.Tree, error) {
	src := job.Source
	if src.Local != "" {
		src.Local = insideRepo
	}
	fmt.Printf("Checking out %s\n", job.Revision)
	return fetch(context.Background(), src, job.Revision, insideSource)
}

// fetch is git.Checkout; tests of what comes after it put a plain copy in its place.
var fetch = git.Checkout

// checkoutFailure says what to do about a checkout that failed.
func checkoutFailure(job wireJob, err error) *Failure {
	what := strings.ReplaceAll(err.Error(), insideRepo, filepath.Base(job.Source.Local))
	switch {
	case errors.Is(err, git.ErrNoRef):
		return fail(stepCheckout, what+". The commit is not on the server any more: deploy a newer one", false)
	case errors.Is(err, git.ErrDenied):
		return fail(stepCheckout, what+". Correct the repository's credentials", false)
	case errors.Is(err, git.ErrRefused), errors.Is(err, git.ErrTooBig):
		return fail(stepCheckout, what, false)
	}
	return fail(stepCheckout, what+". Check the git server and its address", true)
}

// runSteps starts the steps in a network namespace of their own, connects that, and returns their reply.
func runSteps(req request) (reply, error) {
	replies, replyEnd, err := os.Pipe()
	if err != nil {
		return reply{}, err
	}
	defer replies.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{stepsName}
	cmd.Env = append(os.Environ(), "TMPDIR="+insideTemp, "HOME=/root", "CONTAINERS_CONF="+insideContainersConf)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = os.Stdout, os.Stderr, []*os.File{replyEnd}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return reply{}, err
	}
	// The steps are started by a thread without the capabilities that they have no use for. It never gets them back.
	runtime.LockOSThread()
	if err := dropCapabilities(); err != nil {
		return reply{}, err
	}
	if err := cmd.Start(); err != nil {
		return reply{}, fmt.Errorf("make a network namespace: %w", err)
	}
	_ = replyEnd.Close()
	listener, err := connect(cmd.Process.Pid, req.Link)
	if err != nil {
		return reply{}, err
	}
	password := newToken()
	req.Proxy = (&url.URL{Scheme: "socks5", User: url.UserPassword(proxyUser, password), Host: listener.Addr().String()}).String()
	go serveProxy(listener, password, req.Dial)
	if err := json.NewEncoder(stdin).Encode(req); err != nil {
		return reply{}, err
	}
	_ = stdin.Close()
	var rep reply
	answerErr := json.NewDecoder(io.LimitReader(replies, 1<<20)).Decode(&rep)
	waitErr := cmd.Wait()
	if answerErr != nil {
		return reply{}, fmt.Errorf("the steps ended without a result: %w", errors.Join(answerErr, waitErr))
	}
	return rep, nil
}

// watchDisk ends the build when a disk it writes to is nearly full, before the log and the registry feel it.
func watchDisk(free int64) {
	for range time.Tick(500 * time.Millisecond) {
		for _, dir := range []string{insideLayers, insideTemp} {
			var st unix.Statfs_t
			if unix.Statfs(dir, &st) != nil || int64(st.Bavail)*st.Bsize >= free {
				continue
			}
			rep := reply{Dirty: true, Failure: fail(stepBuild, fmt.Sprintf("the build was stopped because the disk has less than %s left: "+
				"clear the layer cache, or make room", size(free)), true)}
			_ = json.NewEncoder(os.NewFile(3, "reply")).Encode(rep)
			os.Exit(0) // pid 1: everything goes with it
		}
	}
}
