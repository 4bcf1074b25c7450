package engine

import (
	"context"
	"errors"
	"net/http"
	"strings"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"shiplog/events"
)

// network is the name of an app's network.
func network(app events.ID) string {
	short := strings.ReplaceAll(string(app), "-", "")
	return "shiplog-" + short[:min(12, len(short))]
}

// ensureNetwork makes the app's network if it is missing. The engine chooses the addresses. Docker keeps its bridge
// networks apart by itself; Podman has to be told.
func (d *Docker) ensureNetwork(ctx context.Context, app events.ID) error {
	name := network(app)
	_, err := d.api.NetworkInspect(ctx, name, client.NetworkInspectOptions{})
	if err == nil {
		return nil
	}
	if !cerrdefs.IsNotFound(err) {
		return d.failed("look at network "+name, err)
	}
	labels := map[string]string{labelInstance: d.instance, labelApp: string(app)}
	if d.pod != nil {
		err = d.pod.createNetwork(ctx, name, labels)
	} else {
		_, err = d.api.NetworkCreate(ctx, name, client.NetworkCreateOptions{Driver: "bridge", Labels: labels})
	}
	if pe := (*podmanError)(nil); cerrdefs.IsConflict(err) || errors.As(err, &pe) && pe.status == http.StatusConflict {
		return nil // somebody was faster
	}
	if err != nil && strings.Contains(err.Error(), "address pool") {
		return d.failed("create network "+name+" (give Docker more default-address-pools in daemon.json)", err)
	}
	if err != nil {
		return d.failed("create network "+name, err)
	}
	return nil
}

func (d *Docker) removeNetwork(ctx context.Context, app events.ID) error {
	name := network(app)
	if _, err := d.api.NetworkRemove(ctx, name, client.NetworkRemoveOptions{}); err != nil && !cerrdefs.IsNotFound(err) {
		return d.failed("remove network "+name, err)
	}
	return nil
}
