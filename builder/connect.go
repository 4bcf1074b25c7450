package builder

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// connect gives the network namespace of process pid its loopback and, unless l is nil, its link to the host, and
// returns a listener on that loopback. It runs in the child, which has the host's network.
func connect(pid int, l *link) (net.Listener, error) {
	if l != nil {
		veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: l.Name}, PeerName: "eth0", PeerNamespace: netlink.NsPid(pid)}
		if err := netlink.LinkAdd(veth); err != nil {
			return nil, fmt.Errorf("make the build's network link %s: %w", l.Name, err)
		}
		if err := addressAndUp(l.Name, l.Host.String()); err != nil {
			return nil, err
		}
	}
	type result struct {
		net.Listener
		error
	}
	done := make(chan result)
	go func() {
		// The thread ends with this goroutine, which never unlocks it: no other goroutine gets the wrong network.
		runtime.LockOSThread()
		listener, err := connectInside(pid, l)
		done <- result{listener, err}
	}()
	r := <-done
	return r.Listener, r.error
}

func connectInside(pid int, l *link) (net.Listener, error) {
	ns, err := os.Open("/proc/" + strconv.Itoa(pid) + "/ns/net")
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("enter the build's network: %w", err)
	}
	// /proc/sys/net shows the network of the thread that asks.
	for _, name := range []string{"all", "default"} {
		err := os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/disable_ipv6", []byte("1"), 0o644)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("turn off IPv6 in the build's network: %w", err)
		}
	}
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		return nil, fmt.Errorf("set up loopback in the build's network: %w", err)
	}
	if l != nil {
		if err := addressAndUp("eth0", l.Own.String()); err != nil {
			return nil, err
		}
		if err := netlink.RouteAdd(&netlink.Route{Gw: l.Host.Addr().AsSlice()}); err != nil {
			return nil, fmt.Errorf("route the build's network: %w", err)
		}
	}
	return net.Listen("tcp4", "127.0.0.1:0")
}

func addressAndUp(name, address string) error {
	dev, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find the network link %s: %w", name, err)
	}
	addr, err := netlink.ParseAddr(address)
	if err == nil {
		err = netlink.AddrAdd(dev, addr)
	}
	if err == nil {
		err = netlink.LinkSetUp(dev)
	}
	if err != nil {
		return fmt.Errorf("set up the network link %s: %w", name, err)
	}
	return nil
}
