package engine

import (
	"net"
	"os/exec"
	"testing"
)

// Whoever comes to an app's bridge and goes, its hardware address stays: what the instances send there goes on arriving.
func TestBridgeKeepsItsAddress(t *testing.T) {
	b := newBench(t)
	at := b.roll(b.rollout("web", 1))[0].Address
	before, ok := bridgeOf(at)
	if !ok {
		t.Fatalf("no bridge of this host reaches %s", at)
	}
	if out, err := exec.Command("ip", "link", "add", "low0", "address", "02:00:00:00:00:01", "type", "veth", "peer", "name", "low1").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("ip", "link", "del", "low0").Run() })
	same := func(when string) {
		t.Helper()
		now, err := net.InterfaceByName(before.Name)
		if err != nil {
			t.Fatal(err)
		}
		if now.HardwareAddr.String() != before.HardwareAddr.String() {
			t.Errorf("%s, the bridge's address is %s, and was %s", when, now.HardwareAddr, before.HardwareAddr)
		}
	}
	// The lowest address that a port can have: the kernel would take it for the bridge's.
	if out, err := exec.Command("ip", "link", "set", "low0", "master", before.Name).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	same("with another port")
	if out, err := exec.Command("ip", "link", "set", "low0", "nomaster").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	same("without it again")
}
