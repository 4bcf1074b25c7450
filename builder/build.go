package builder

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// errTooLong ends a build that takes more than Limits.Time.
var errTooLong = errors.New("the build takes too long")

// Build checks out, builds and pushes. It returns a *[Failure] when that led to no image, and ctx's error when ctx
// ended first. When it returns, whatever the outcome, no process, mount, directory, network namespace or cgroup of the
// build is left.
func (b *Builder) Build(ctx context.Context, job Job) (Built, error) {
	if err := job.check(); err != nil {
		return Built{}, err
	}
	limited, cancel := context.WithTimeoutCause(ctx, b.opts.Limits.Time, errTooLong)
	defer cancel()
	rep, err := b.build(limited, job)
	switch {
	case ctx.Err() != nil:
		return Built{}, ctx.Err()
	case context.Cause(limited) == errTooLong:
		return Built{}, fail(stepBuild, fmt.Sprintf("the build took longer than %v and was stopped: make it shorter, or raise the limit", b.opts.Limits.Time), false)
	case err != nil:
		return Built{}, fail(stepBuild, err.Error(), true)
	case rep.Failure != nil:
		return Built{}, rep.Failure
	case rep.Built == nil:
		return Built{}, fail(stepBuild, "the build's process ended without a result", true)
	}
	return *rep.Built, nil
}

// build makes what a build needs, runs it, and removes everything again. Its error is of our own doing, not the build's.
func (b *Builder) build(ctx context.Context, job Job) (rep reply, err error) {
	keep := func(what string, undo func() error) func() {
		return func() {
			if uerr := undo(); uerr != nil {
				b.log.Error("clean up after a build", "job", job.ID, "what", what, "err", uerr)
				err = errors.Join(err, uerr)
			}
		}
	}
	token := newToken()
	name := "b-" + clean(job.ID) + "-" + token
	layers, left, err := b.useLayers()
	if err != nil {
		return reply{}, fmt.Errorf("prepare the layer storage: %w", err)
	}
	defer left()
	work := filepath.Join(b.opts.Work, name)
	if err := os.Mkdir(work, 0o700); err != nil {
		return reply{}, fmt.Errorf("make the build's directory: %w", err)
	}
	defer keep("directory", func() error { return os.RemoveAll(work) })()
	group, err := b.cgroups.create(name)
	if err != nil {
		return reply{}, err
	}
	defer keep("cgroup", group.remove)()
	way, release, err := b.network.reserve()
	if err != nil {
		return reply{}, err
	}
	defer release()

	job.Plain = job.Plain || onLoopback(job.Destination)
	req := request{Token: token, Job: wireJob(job), Work: work, Layers: layers, Mounts: filepath.Join(layers, "mounts", clean(repositoryOf(job.Destination))),
		Config: b.opts.Storage, Hide: b.opts.Hide, Runc: b.runc, Link: way, Dial: b.dialPolicy(job), Disk: b.opts.Limits.DiskFree, Shiplog: b.opts.Version}
	if err := os.MkdirAll(req.Mounts, 0o700); err != nil {
		return reply{}, fmt.Errorf("make the directory of cache mounts: %w", err)
	}
	rep, ended := b.run(ctx, req, group, newCapped(job.Log, b.opts.Limits.LogBytes))
	if !ended || rep.Dirty {
		if err := b.sweepContainers(layers, token); err != nil {
			return rep, err
		}
	}
	b.explain(&rep, group)
	return rep, nil
}

// explain adds what only the cgroup knows to the reason of a failure.
func (b *Builder) explain(rep *reply, group *cgroup) {
	if rep.Built != nil {
		return
	}
	if rep.Failure == nil {
		rep.Failure = fail(stepBuild, "the build's process ended without a result", true)
	}
	why := ""
	if group.outOfMemory(rep.Failure.Reason) {
		why = fmt.Sprintf("the build ran out of memory (limit %s): use less, or raise the limit", size(b.opts.Limits.Memory))
	} else if group.outOfProcesses() {
		why = fmt.Sprintf("the build ran out of processes (limit %d): start fewer at once, or raise the limit", b.opts.Limits.PIDs)
	}
	if why != "" {
		rep.Failure = fail(rep.Failure.Step, why+". "+rep.Failure.Reason, false)
	}
}

// dialPolicy is where the child may connect for images: public addresses, what the operator allows, and exactly these.
func (b *Builder) dialPolicy(job Job) dialPolicy {
	p := dialPolicy{Allow: b.opts.NetAllow, Exact: []string{withPort(registryHost(job.Destination), job.Plain)}}
	for _, mirror := range b.opts.Mirrors {
		if u, err := url.Parse(mirror); err == nil {
			p.Exact = append(p.Exact, withPort(u.Host, u.Scheme == "http"))
		}
	}
	return p
}

func withPort(host string, plain bool) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	if plain {
		return net.JoinHostPort(host, "80")
	}
	return net.JoinHostPort(host, "443")
}

// onLoopback reports whether a destination is this machine's own registry.
func onLoopback(destination string) bool {
	host, _, err := net.SplitHostPort(registryHost(destination))
	if err != nil {
		host = registryHost(destination)
	}
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

func registryHost(destination string) string {
	host, _, _ := strings.Cut(destination, "/")
	return host
}

// repositoryOf is a destination without its tag.
func repositoryOf(destination string) string {
	if i := strings.LastIndex(destination, ":"); i > strings.LastIndex(destination, "/") {
		return destination[:i]
	}
	return destination
}

// check refuses a job that its caller got wrong.
func (j Job) check() error {
	switch {
	case j.ID == "" || len(j.ID) > 150:
		return fmt.Errorf("a build job needs an id of at most 150 bytes")
	case j.Revision.Commit == "":
		return fmt.Errorf("the build job %s names no commit", j.ID)
	case registryHost(j.Destination) == j.Destination || repositoryOf(j.Destination) == j.Destination:
		return fmt.Errorf("the build job %s has the destination %q: want registry/repository:tag", j.ID, j.Destination)
	}
	for id := range j.Secrets {
		if id == "" || id != clean(id) {
			return fail(stepBuild, fmt.Sprintf("the build secret %q has a name that a Dockerfile cannot use: use letters, digits, - and _", id), false)
		}
	}
	return nil
}

// clean keeps what is safe in a file name.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 128 && (r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z') {
			return r
		}
		return '_'
	}, s)
}

func newToken() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails: see crypto/rand
	return hex.EncodeToString(b[:])
}
