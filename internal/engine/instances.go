package engine

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"shiplog/events"
)

// atOnce is how many requests of one call the engine gets at a time.
const atOnce = 4

// errGone means that an instance is not there any more.
var errGone = errors.New("no such container")

// Instances lists, then looks at each.
func (d *Docker) Instances(ctx context.Context, app events.ID) ([]Instance, error) {
	filters := make(client.Filters).Add("label", labelInstance+"="+d.instance)
	if app == "" {
		d.mendIsolation(ctx)
	} else {
		filters.Add("label", labelApp+"="+string(app))
	}
	list, err := d.api.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: filters})
	if err != nil {
		return nil, d.failed("list containers", err)
	}
	found := make([]Instance, len(list.Items))
	err = each(len(list.Items), func(n int) error {
		var err error
		found[n], err = d.inspect(ctx, list.Items[n].ID)
		if errors.Is(err, errGone) {
			return nil
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	found = slices.DeleteFunc(found, func(i Instance) bool { return i.ID == "" }) // ended in between
	for _, i := range found {
		if app == "" && i.Running() { // of a service before this one, say
			d.steadyBridge(ctx, i)
		}
	}
	slices.SortFunc(found, func(a, b Instance) int {
		return cmp.Or(cmp.Compare(a.App, b.App), cmp.Compare(a.Component, b.Component), cmp.Compare(a.Generation, b.Generation),
			cmp.Compare(a.Index, b.Index), cmp.Compare(a.Name, b.Name))
	})
	return found, nil
}

// inspect reads one instance from the engine; errGone if it is not there.
func (d *Docker) inspect(ctx context.Context, id string) (Instance, error) {
	got, err := d.api.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
	if cerrdefs.IsNotFound(err) {
		return Instance{}, errGone
	}
	if err != nil {
		return Instance{}, d.failed("look at container "+id, err)
	}
	c := got.Container
	if c.Config == nil || c.State == nil {
		return Instance{}, errGone // being removed
	}
	i, port := fromLabels(c.Config.Labels)
	i.ID, i.Name = c.ID, strings.TrimPrefix(c.Name, "/")
	i.State, i.ExitCode, i.OOMKilled, i.Restarts = string(c.State.Status), c.State.ExitCode, c.State.OOMKilled, c.RestartCount
	i.Started, _ = time.Parse(time.RFC3339Nano, c.State.StartedAt) // zero if it never was
	if c.NetworkSettings != nil && c.State.Running {
		if end := c.NetworkSettings.Networks[network(i.App)]; end != nil {
			i.Address = address(end.IPAddress, port)
		}
	}
	if i.Digest, err = d.digest(ctx, c.Image, c.Config.Image); err != nil {
		return Instance{}, err
	}
	return i, nil
}

func address(ip netip.Addr, port int) string {
	if !ip.IsValid() {
		return ""
	}
	if port == 0 {
		return ip.String()
	}
	return net.JoinHostPort(ip.String(), strconv.Itoa(port))
}

// each runs do for 0 to n-1, a few at a time, and joins the errors.
func each(n int, do func(int) error) error {
	errs := make([]error, n)
	slots := make(chan struct{}, atOnce)
	var wg sync.WaitGroup
	for k := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			errs[k] = do(k)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
