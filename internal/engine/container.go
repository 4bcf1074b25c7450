package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"syscall"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	dockernet "github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"shiplog/events"
)

// Labels on every container and, the first two, on every network.
const (
	labelInstance   = "shiplog.instance"
	labelApp        = "shiplog.app"
	labelName       = "shiplog.name"
	labelComponent  = "shiplog.component"
	labelDeployment = "shiplog.deployment"
	labelGeneration = "shiplog.generation"
	labelIndex      = "shiplog.index"
	labelPort       = "shiplog.port"
)

// capabilities are all that an instance has of root's powers, enough for images that start as root and give it up: chown
// and write the directories of another user (CHOWN, DAC_OVERRIDE, FOWNER), become that user (SETUID, SETGID), signal its
// workers (KILL), listen on a port below 1024 (NET_BIND_SERVICE). Of Docker's default set these are left out: raw sockets
// (NET_RAW: spoofing in the app's network), device files (MKNOD), handing capabilities on (SETPCAP, SETFCAP), SYS_CHROOT,
// AUDIT_WRITE and FSETID.
var capabilities = []string{"CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID"}

func instanceName(r Rollout, index int) string {
	return fmt.Sprintf("%s-%s-g%d-%d", r.AppName, r.Component, r.Generation, index)
}

// create makes the container of one instance, without starting it. image is the local name.
func (d *Docker) create(ctx context.Context, r Rollout, index int, image string) (Instance, error) {
	opts := client.ContainerCreateOptions{
		Name:       instanceName(r, index),
		Config:     d.config(r, index, image),
		HostConfig: d.hostConfig(r),
		NetworkingConfig: &dockernet.NetworkingConfig{EndpointsConfig: map[string]*dockernet.EndpointSettings{
			network(r.App): {Aliases: []string{r.Component}},
		}},
	}
	created, err := d.api.ContainerCreate(ctx, opts)
	if nameTaken(err) { // by another Shiplog's app of that name, or by somebody else
		opts.Name += "-" + strings.TrimPrefix(network(r.App), "shiplog-")
		created, err = d.api.ContainerCreate(ctx, opts)
	}
	if err != nil && opts.HostConfig.Init != nil && strings.Contains(err.Error(), "init binary") { // Podman without catatonit
		if !d.noInit.Swap(true) {
			d.log.Warn("the container engine has no init for containers: processes that an app leaves behind stay as zombies (on Debian, install catatonit)")
		}
		return d.create(ctx, r, index, image)
	}
	if cerrdefs.IsNotFound(err) {
		return Instance{}, fmt.Errorf("create %s: %w: %w", opts.Name, ErrNoImage, err)
	}
	if err != nil {
		return Instance{}, d.failed("create "+opts.Name, err)
	}
	return Instance{ID: created.ID, Name: opts.Name, App: r.App, Component: r.Component, Index: index}, nil
}

// nameTaken also knows Podman, which answers 500.
func nameTaken(err error) bool {
	return err != nil && (cerrdefs.IsConflict(err) || strings.Contains(err.Error(), "name") && strings.Contains(err.Error(), "already in use"))
}

func (d *Docker) config(r Rollout, index int, image string) *container.Config {
	env := maps.Clone(r.Env)
	if env == nil {
		env = map[string]string{}
	}
	if _, ok := env["PORT"]; !ok && r.Port != 0 {
		env["PORT"] = strconv.Itoa(r.Port)
	}
	c := &container.Config{
		Image: image,
		Labels: map[string]string{
			labelInstance:   d.instance,
			labelApp:        string(r.App),
			labelName:       r.AppName,
			labelComponent:  r.Component,
			labelDeployment: string(r.Deployment),
			labelGeneration: strconv.FormatUint(r.Generation, 10),
			labelIndex:      strconv.Itoa(index),
			labelPort:       strconv.Itoa(r.Port),
		},
	}
	for _, key := range slices.Sorted(maps.Keys(env)) {
		c.Env = append(c.Env, key+"="+env[key])
	}
	if r.Command != "" {
		c.Entrypoint, c.Cmd = []string{"/bin/sh", "-c"}, []string{r.Command}
	}
	return c
}

// hostConfig is the cage. Nothing in it can be set by an app's spec but the memory limit. Seccomp stays at the engine's
// default profile, which is why SecurityOpt does not mention it.
func (d *Docker) hostConfig(r Rollout) *container.HostConfig {
	pids, init := int64(PidsLimit), true
	h := &container.HostConfig{
		NetworkMode:   container.NetworkMode(network(r.App)),
		RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyUnlessStopped},
		CapDrop:       []string{"ALL"},
		CapAdd:        capabilities,
		SecurityOpt:   []string{"no-new-privileges"},
		LogConfig:     container.LogConfig{Config: d.logs},
		Resources:     container.Resources{Memory: r.memory(), PidsLimit: &pids, Ulimits: ulimits()},
	}
	if !d.noInit.Load() {
		h.Init = &init
	}
	if d.pod != nil {
		h.RestartPolicy.Name = container.RestartPolicyAlways // the one that podman-restart.service obeys after a reboot
	}
	return h
}

// ulimits are no higher than our own: an engine that may not raise limits (no CAP_SYS_RESOURCE) refuses to start
// containers with its own defaults.
func ulimits() []*container.Ulimit {
	limit := func(name string, resource int, most uint64) *container.Ulimit {
		own := syscall.Rlimit{Max: most}
		if err := syscall.Getrlimit(resource, &own); err != nil || own.Max > most {
			own.Max = most
		}
		return &container.Ulimit{Name: name, Soft: int64(own.Max), Hard: int64(own.Max)}
	}
	const nproc = 6 // RLIMIT_NPROC, which package syscall does not name
	return []*container.Ulimit{limit("nofile", syscall.RLIMIT_NOFILE, 65536), limit("nproc", nproc, 30000)}
}

// fromLabels reads what we wrote on a container. Labels are ours, but anyone with the engine's socket can write some.
func fromLabels(labels map[string]string) (i Instance, port int) {
	i.App = events.ID(labels[labelApp])
	i.AppName = labels[labelName]
	i.Component = labels[labelComponent]
	i.Deployment = events.ID(labels[labelDeployment])
	i.Generation, _ = strconv.ParseUint(labels[labelGeneration], 10, 64)
	i.Index, _ = strconv.Atoi(labels[labelIndex])
	port, _ = strconv.Atoi(labels[labelPort])
	return i, port
}
