package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"shiplog/events"
)

// Retire stops them all at the same time, so that it takes one grace however many there are.
func (d *Docker) Retire(ctx context.Context, instances []Instance, grace time.Duration) error {
	errs := make([]error, len(instances))
	var wg sync.WaitGroup
	for n, i := range instances {
		wg.Go(func() { errs[n] = d.remove(ctx, i, grace) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// RemoveApp ends everything of the app.
func (d *Docker) RemoveApp(ctx context.Context, app events.ID) error {
	if app == "" {
		return errors.New("remove app: it has no id") // "" would mean every app
	}
	all, err := d.Instances(ctx, app)
	if err != nil {
		return err
	}
	if err := d.Retire(ctx, all, RemoveGrace); err != nil {
		return err
	}
	return d.removeNetwork(ctx, app)
}

// remove stops and removes one container and its anonymous volumes. Stopping is left to the engine, which remembers that
// it was meant and does not start the container again.
func (d *Docker) remove(ctx context.Context, i Instance, grace time.Duration) error {
	defer d.mendIsolation(ctx)
	seconds := int((grace + time.Second - 1) / time.Second)
	if _, err := d.api.ContainerStop(ctx, i.ID, client.ContainerStopOptions{Timeout: &seconds}); err != nil {
		if cerrdefs.IsNotFound(err) {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("stop %s: %w", i.Name, err)
		}
		d.log.Warn("a container does not stop; it is removed by force", "instance", i.Name, "error", err)
	}
	var err error
	for range 5 {
		_, err = d.api.ContainerRemove(ctx, i.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		if err == nil || cerrdefs.IsNotFound(err) {
			return nil
		}
		if cerrdefs.IsConflict(err) || strings.Contains(err.Error(), "in progress") {
			return d.gone(ctx, i) // somebody else removes it
		}
		select { // one that crashes and is started again all the time can be in a state that Podman refuses to end
		case <-ctx.Done():
		case <-time.After(firstPause):
		}
	}
	return d.failed("remove "+i.Name, err)
}

// gone waits for a removal under way.
func (d *Docker) gone(ctx context.Context, i Instance) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		if _, err := d.inspect(ctx, i.ID); errors.Is(err, errGone) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("remove %s: it is still there: %w", i.Name, ctx.Err())
		case <-time.After(firstPause):
		}
	}
}
