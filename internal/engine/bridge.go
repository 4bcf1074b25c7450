package engine

import (
	"context"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"time"
)

// setByHand is what the kernel says of an interface whose hardware address was given to it.
const setByHand = "3"

// steadyBridge keeps the hardware address of the bridge that an instance is on. Of a bridge that was given none, as
// netavark 1.4.0 (Debian 12's) gives none, it is the lowest of its ports'. So it changes when an old instance goes, and the
// others go on sending their answers to an address that nobody has, for up to half a minute. Given the address that it
// has, the bridge keeps it.
func (d *Docker) steadyBridge(ctx context.Context, i Instance) {
	if d.pod == nil || i.Address == "" {
		return // Docker gives its bridges an address
	}
	bridge, ok := bridgeOf(i.Address)
	if !ok {
		return // of another kind of network
	}
	kind, err := os.ReadFile("/sys/class/net/" + bridge.Name + "/addr_assign_type")
	if err != nil || strings.TrimSpace(string(kind)) == setByHand {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "ip", "link", "set", "dev", bridge.Name, "address", bridge.HardwareAddr.String()).CombinedOutput()
	if err != nil && !d.unsteady.Swap(true) {
		d.log.Warn("requests may hang when an instance goes: the hardware address of Podman's bridge cannot be kept (run Shiplog as root, with iproute2 installed)",
			"bridge", bridge.Name, "error", err, "said", clip(string(out)))
	}
}

// bridgeOf finds the interface of this host that reaches an instance's address directly.
func bridgeOf(address string) (net.Interface, bool) {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return net.Interface{}, false
	}
	all, err := net.Interfaces()
	if err != nil {
		return net.Interface{}, false
	}
	for _, i := range all {
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			p, err := netip.ParsePrefix(a.String())
			if _, err2 := os.Stat("/sys/class/net/" + i.Name + "/bridge"); err == nil && err2 == nil && p.Contains(at.Addr()) {
				return i, true
			}
		}
	}
	return net.Interface{}, false
}
