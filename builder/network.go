package builder

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"

	"shiplog/internal/inet"
)

// network gives each build a veth pair, an address of its own and outbound access to public addresses. Its rules are one
// static nftables table that matches links by the prefix of their name, so that nothing has to be added or removed for
// a build: the link goes with the build's network namespace.
type network struct {
	id    string
	dns   []netip.Addr
	block netip.Prefix // a /24 of 198.18.0.0/15, which the Internet does not use: 64 builds of four addresses

	mu     sync.Mutex
	used   [64]bool
	passed bool // our rules are in the host's firewall
}

// link is one build's way out.
type link struct {
	Name string       // on the host's side
	Host netip.Prefix // the host's side: the build's gateway
	Own  netip.Prefix // the build's side
	DNS  []netip.Addr
}

// openNetwork writes the rules and lets the host forward.
func openNetwork(id string, allow []netip.Prefix) (*network, error) {
	n := &network{id: id, dns: nameservers()}
	if err := n.chooseBlock(); err != nil {
		return nil, err
	}
	if err := nft(n.rules(allow)); err != nil {
		return nil, err
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644); err != nil {
		if now, _ := os.ReadFile("/proc/sys/net/ipv4/ip_forward"); strings.TrimSpace(string(now)) != "1" {
			return nil, errors.Join(fmt.Errorf("let the host forward packets: %w", err), n.close())
		}
	}
	return n, nil
}

// chooseBlock takes the block that the instance's id leads to, or the next one that no interface of the host is in.
func (n *network) chooseBlock() error {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return fmt.Errorf("list the host's addresses: %w", err)
	}
	var start int
	_, _ = fmt.Sscanf(n.id, "%x", &start)
	for i := range 512 {
		k := (start + i) % 512
		block := netip.PrefixFrom(netip.AddrFrom4([4]byte{198, byte(18 + k>>8), byte(k), 0}), 24)
		taken := false
		for _, a := range addrs {
			p, err := netip.ParsePrefix(a.String())
			taken = taken || err == nil && p.Overlaps(block)
		}
		if !taken {
			n.block = block
			return nil
		}
	}
	return errors.New("198.18.0.0/15, where builds get their addresses, is in use on this host")
}

// rules is the whole table. nft applies it as one transaction and takes the place of an earlier one. What is refused is
// told so at once, so that a build fails with a reason and not by a timeout; resets, because ICMP is rate limited.
func (n *network) rules(allow []netip.Prefix) string {
	from, to := fmt.Sprintf("iifname %q", n.linkPrefix()+"*"), fmt.Sprintf("oifname %q", n.linkPrefix()+"*")
	dns, allowed := "", ""
	if len(n.dns) > 0 {
		dns = fmt.Sprintf("%s ip daddr { %s } meta l4proto { tcp, udp } th dport 53 accept", from, join(n.dns))
	}
	var allow4 []netip.Prefix
	for _, p := range allow {
		if p.Addr().Is4() {
			allow4 = append(allow4, p.Masked())
		}
	}
	if len(allow4) > 0 {
		allowed = fmt.Sprintf("%s ip daddr { %s } accept", from, join(allow4))
	}
	return strings.NewReplacer("TABLE", n.table(), "FROM", from, "TO", to, "DNS", dns, "ALLOWED", allowed,
		"BLOCK", n.block.String(), "PRIVATE", join(inet.Private4)).Replace(`
table inet TABLE
delete table inet TABLE
table inet TABLE {
	chain input {
		type filter hook input priority -10; policy accept;
		DNS
		FROM meta l4proto tcp reject with tcp reset
		FROM reject with icmpx type admin-prohibited
	}
	chain forward {
		type filter hook forward priority -10; policy accept;
		TO ct state established,related accept
		TO drop
		FROM meta nfproto ipv6 drop
		FROM ip saddr != BLOCK drop
		DNS
		ALLOWED
		FROM ip daddr { PRIVATE } meta l4proto tcp reject with tcp reset
		FROM ip daddr { PRIVATE } reject with icmpx type admin-prohibited
		FROM accept
	}
	chain postrouting {
		type nat hook postrouting priority 100; policy accept;
		ip saddr BLOCK masquerade
	}
}
`)
}

func (n *network) table() string      { return "shiplog_build_" + n.id }
func (n *network) linkPrefix() string { return "sb" + n.id + "-" }

// reserve chooses the link of a build; release gives it back when the build's namespace is gone.
func (n *network) reserve() (*link, func(), error) {
	if n == nil {
		return nil, func() {}, nil
	}
	if err := n.passFirewall(); err != nil {
		return nil, nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range n.used {
		if n.used[i] {
			continue
		}
		n.used[i] = true
		base := n.block.Addr().As4()
		at := func(k int) netip.Prefix {
			return netip.PrefixFrom(netip.AddrFrom4([4]byte{base[0], base[1], base[2], byte(4*i + k)}), 30)
		}
		l := &link{Name: fmt.Sprintf("%s%d", n.linkPrefix(), i), Host: at(1), Own: at(2), DNS: n.dns}
		return l, func() { n.release(i) }, nil
	}
	return nil, nil, errors.New("64 builds run at once: wait until one has ended")
}

// release removes the link of a build that has ended. The kernel does that, too, but some time after the network
// namespace's last process.
func (n *network) release(i int) {
	if l, err := netlink.LinkByName(fmt.Sprintf("%s%d", n.linkPrefix(), i)); err == nil {
		_ = netlink.LinkDel(l) // fails when the kernel was first
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.used[i] = false
}

// sweep removes the links of an earlier process's builds.
func (n *network) sweep() {
	if n == nil {
		return
	}
	for i := range n.used {
		n.release(i)
	}
}

// passFirewall lets builds through a host firewall that forwards nothing by default, as Docker sets it up: a packet
// that our table accepts is still dropped by another one.
func (n *network) passFirewall() error {
	out, err := exec.Command("iptables", "-w", "-S", "FORWARD").Output()
	if err != nil || !strings.Contains(string(out), "-P FORWARD DROP") {
		return nil // no iptables, or nothing to pass
	}
	n.mu.Lock()
	n.passed = true
	n.mu.Unlock()
	for _, rule := range n.passRules() {
		if exec.Command("iptables", append([]string{"-w", "-C", "FORWARD"}, rule...)...).Run() == nil {
			continue
		}
		if out, err := exec.Command("iptables", append([]string{"-w", "-I", "FORWARD"}, rule...)...).CombinedOutput(); err != nil {
			return fmt.Errorf("let builds through the host's firewall: %w: %s", err, bytes.TrimSpace(out))
		}
	}
	return nil
}

func (n *network) passRules() [][]string {
	return [][]string{
		{"-i", n.linkPrefix() + "+", "-j", "ACCEPT"},
		{"-o", n.linkPrefix() + "+", "-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", "-j", "ACCEPT"},
	}
}

// close removes the rules.
func (n *network) close() error {
	if n == nil {
		return nil
	}
	var errs []error
	for _, rule := range n.passRules() {
		if n.passed {
			errs = append(errs, exec.Command("iptables", append([]string{"-w", "-D", "FORWARD"}, rule...)...).Run())
		}
	}
	return errors.Join(append(errs, nft("delete table inet "+n.table()))...)
}

// nft runs a script of nftables commands.
func nft(script string) error {
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return errors.New("nft is not installed: install it (apt install nftables)")
		}
		return fmt.Errorf("set up the builds' firewall with nft: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

func join[T fmt.Stringer](list []T) string {
	s := make([]string, len(list))
	for i, x := range list {
		s[i] = x.String()
	}
	return strings.Join(s, ", ")
}
