package engine

import (
	"context"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// mending keeps two of us from putting the rule in twice.
var mending sync.Mutex

// mendIsolation repairs what netavark breaks. When the last container leaves any isolated network, netavark 1.4.0 (Debian
// 12's) removes from FORWARD the one jump that every isolated network's rules hang on; from then on, until a container is
// started somewhere, all apps can reach each other. So the jump is put back, if it is missing, after everything that may
// have removed it, and whenever all instances are listed, as crashes empty networks too. It is netavark's own rule in
// netavark's own place; where its chain is not (a version that uses nftables), nothing is done.
//
// Between netavark's removal and ours putting it back there are some milliseconds.
func (d *Docker) mendIsolation(ctx context.Context) {
	if d.pod == nil {
		return // Docker's rules stay
	}
	mending.Lock()
	defer mending.Unlock()
	if iptables(ctx, "-C") == nil {
		return
	}
	if err := iptables(ctx, "-I"); err != nil && !d.unmended.Swap(true) {
		d.log.Warn("Podman's isolation of apps from each other cannot be checked (run Shiplog as root, with iptables installed)", "error", err)
	}
}

// iptables checks for (-C) or inserts (-I) the jump. That its chain does not exist is no error.
func iptables(ctx context.Context, action string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "iptables", "-w", "5", action, "FORWARD", "-j", "NETAVARK_ISOLATION_1").CombinedOutput()
	for _, absent := range []string{"does not exist", "No such file or directory", "Couldn't load target", "No chain/target/match"} {
		if err != nil && action == "-I" && strings.Contains(string(out), absent) {
			return nil
		}
	}
	return err
}
