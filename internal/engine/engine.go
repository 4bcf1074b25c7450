// Package engine runs a component's instances on a container engine. It works at the level of a rollout (an image by
// digest, a count, a health check), because Kubernetes rolls by itself and Docker and Podman are rolled by us.
//
// It is the one home of github.com/moby/moby/client. What it starts belongs to the container engine and keeps running
// when Shiplog ends; everything it knows it reads back from there, so that a new process takes over where the last ended.
package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"shiplog/events"
)

// Engine runs instances. Calls for different apps may run at the same time; of Roll, Retire and RemoveApp for one app only
// one may, but for Retires of different instances. Every call returns soon after its context ends.
//
// Errors wrap ErrDown when the container engine cannot be reached: nothing is known then about what the call has done.
type Engine interface {
	// Info says what the container engine is, and what is wrong with it.
	Info(ctx context.Context) (Info, error)

	// Has reports whether the container engine holds the image. It asks no registry.
	Has(ctx context.Context, digest events.Digest) (bool, error)

	// Pull makes the container engine fetch the image and checks that what it then has is the digest asked for. It
	// returns at once if the image is there already. ErrNoImage: the registry has no such image, or serves other bytes.
	Pull(ctx context.Context, image Image, progress io.Writer) error

	// Roll starts the instances of this generation that are missing, beside whatever else runs, and returns all Count of
	// them, in the order of their index, when every one is healthy. It stops nothing that ran before: that is Retire's.
	// It may be called again at any time, after a crash too: instances of the generation that run the right image are
	// adopted, others are replaced.
	//
	// On failure, and when ctx ends, the instances it started and the adopted ones that did not become healthy are removed
	// (at once: none had been given requests). Adopted ones that are healthy stay, as they may be serving. The error is
	// then an *Unhealthy. ErrNoImage: the image has to be pulled first.
	Roll(ctx context.Context, r Rollout, progress io.Writer) ([]Instance, error)

	// Instances returns the instances of an app, or of all apps of this Shiplog for "", whatever their state, sorted by
	// app, component, generation and name. Asked for all, it also mends the isolation of apps from each other where the
	// container engine loses it (see mendIsolation): call it every few seconds.
	Instances(ctx context.Context, app events.ID) ([]Instance, error)

	// Retire ends instances, all at once: TERM (or the image's own stop signal), grace, KILL, then removal. One that is
	// not there counts as retired. Interrupted, it can be called again.
	Retire(ctx context.Context, instances []Instance, grace time.Duration) error

	// RemoveApp removes all of an app's instances, with a grace of RemoveGrace, and its network.
	RemoveApp(ctx context.Context, app events.ID) error

	// Logs yields what the app's instances wrote, those that ended but are not yet retired included. Lines of one
	// instance are in order; those of several are merged by time as far as they were written before the call. With Follow
	// it goes on, with instances that start later too, until ctx ends (which yields no error).
	Logs(ctx context.Context, app events.ID, opts LogOptions) iter.Seq2[LogLine, error]
}

// RemoveGrace is the time between TERM and KILL when an app is deleted.
const RemoveGrace = 10 * time.Second

// Errors of an Engine, matched with errors.Is.
var (
	ErrDown    = errors.New("the container engine cannot be reached")
	ErrNoImage = errors.New("image not found")
)

// Info describes a container engine.
type Info struct {
	Name     string   // "docker" or "podman"
	Version  string   // its own
	API      string   // version of the Docker API in use
	Warnings []string // for people: what is missing or unsafe, and the next step
}

// Image is where an image comes from.
type Image struct {
	Repository string        // full name without tag or digest: "127.0.0.1:5000/<app id>/web"
	Digest     events.Digest // of its manifest, or of an index
	User       string        // for the registry; empty: no credentials
	Password   string        //
	Plain      bool          // the registry speaks http. Docker obeys only for 127.0.0.0/8 and for what its insecure-registries lists
}

// Ref is the only name by which an image is used: repository@digest.
func (i Image) Ref() string { return i.Repository + "@" + string(i.Digest) }

// Rollout is what should run of one component.
type Rollout struct {
	App        events.ID
	AppName    string
	Component  string // also its DNS name in the app's network
	Deployment events.ID
	Generation uint64
	Image      Image              // its account is not needed here
	Command    string             // run by /bin/sh -c in place of the image's command; empty: the image's own
	Env        map[string]string  // PORT is added if it is missing and Port is not 0
	Port       int                // it listens on; 0: a worker, which is healthy when it ran WorkerProof without ending
	Count      int                // of instances, from 1
	Health     events.HealthCheck // zero fields take the defaults of App Platform's app spec
	Memory     int64              // limit in bytes; default DefaultMemory
	Deadline   time.Duration      // for all instances to become healthy; default DefaultDeadline. The health check's own limit may be shorter
}

// Defaults of a Rollout, and what cannot be chosen.
const (
	DefaultDeadline = 5 * time.Minute
	DefaultMemory   = 512 << 20 // what App Platform's smallest instance has
	WorkerProof     = 3 * time.Second
	PidsLimit       = 1024 // processes and threads of an instance: room for a JVM, too few for a fork bomb
)

// Instance is one container.
type Instance struct {
	ID         string // the container engine's
	Name       string // for people: "<app>-<component>-g<generation>-<n>"
	App        events.ID
	AppName    string
	Component  string
	Deployment events.ID
	Generation uint64
	Index      int           // from 1
	Digest     events.Digest // read from the container engine, not from a label; empty if it no longer knows
	Address    string        // "10.89.0.5:8080"; empty if it has no network now, and without port for a worker
	State      string        // "created", "running", "restarting", "exited", …: the container engine's word
	Started    time.Time     // of the present run
	ExitCode   int           // of the last run that ended
	OOMKilled  bool          // the last run was ended by its memory limit
	Restarts   int           // by the container engine, since it was created
}

// Running reports whether it runs now.
func (i Instance) Running() bool { return i.State == "running" }

// Unhealthy is a rollout that failed.
type Unhealthy struct {
	Instance string // name
	Step     string // "start" or "healthy"
	Reason   string // for people
	Log      string // its last lines, at most 4 KiB
	Err      error  // underneath, if any: the context's, when it was that which ended
}

func (e *Unhealthy) Error() string {
	if e.Step == "start" {
		return fmt.Sprintf("instance %s did not start: %s", e.Instance, e.Reason)
	}
	return fmt.Sprintf("instance %s did not become healthy: %s", e.Instance, e.Reason)
}

func (e *Unhealthy) Unwrap() error { return e.Err }

// LogOptions selects lines.
type LogOptions struct {
	Component string    // empty: all
	Instance  string    // its name; empty: all
	Follow    bool      // go on with lines to come
	Tail      int       // only this many last lines of all instances together; 0: all
	Since     time.Time // only lines from then on, to the second; zero: all
}

// LogLine is one line of an instance's output.
type LogLine struct {
	Component string
	Instance  string    // name
	At        time.Time // Podman tells whole seconds only
	Text      string    // without its line break, at most 64 KiB
}
