package builder

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"

	"shiplog/internal/inet"
)

// elsewhere is a network namespace that is connected to this machine by a link: "the Internet" of a test.
type elsewhere struct{ do chan func() }

var links atomic.Int32

// newElsewhere makes one; ours and theirs are the two ends' addresses.
func newElsewhere(t *testing.T, ours, theirs string) *elsewhere {
	t.Helper()
	e := &elsewhere{do: make(chan func())}
	type handle struct {
		fd  int
		err error
	}
	made := make(chan handle)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine, and with it the namespace
		err := unix.Unshare(unix.CLONE_NEWNET)
		fd, err2 := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			err = err2
		}
		made <- handle{fd, err}
		for f := range e.do {
			f()
		}
	}()
	h := <-made
	if h.err != nil {
		t.Fatal("these tests need root and network namespaces:", h.err)
	}
	defer unix.Close(h.fd)
	name := fmt.Sprintf("t%d-%d", os.Getpid()%1_000_000, links.Add(1))
	t.Cleanup(func() {
		if l, err := netlink.LinkByName(name); err == nil {
			_ = netlink.LinkDel(l)
		}
		close(e.do)
	})
	err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: "eth0", PeerNamespace: netlink.NsFd(h.fd)})
	if err == nil {
		err = addressAndUp(name, ours)
	}
	if err == nil {
		e.in(func() { err = addressAndUp("eth0", theirs) })
	}
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// in runs f in the namespace.
func (e *elsewhere) in(f func()) {
	done := make(chan struct{})
	e.do <- func() { defer close(done); f() }
	<-done
}

// serve answers HTTP in the namespace.
func (e *elsewhere) serve(t *testing.T, address string, h http.Handler) {
	t.Helper()
	var l net.Listener
	var err error
	e.in(func() { l, err = net.Listen("tcp", address) })
	if err != nil {
		t.Fatal(err)
	}
	serve(t, l, h)
}

func serve(t *testing.T, l net.Listener, h http.Handler) {
	s := &http.Server{Handler: h}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
}

// hello answers everything.
var hello = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hello from a server") })

// ownAddress returns an address of this machine that is not loopback.
func ownAddress(t *testing.T) string {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() && !strings.HasPrefix(a.String(), "203.0.113") {
			return p.Addr().String()
		}
	}
	t.Fatal("these tests need an address that is not loopback")
	return ""
}

// ask is a shell command that says whether a server answers. busybox's wget crashes in some static builds.
func ask(name, address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host, port = address, "80"
	}
	return fmt.Sprintf("printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 5 %s %s | grep -q . && echo '<reached '%s'>' || echo '<blocked '%s'>'\n", host, port, name, name)
}

func TestRunReachesPublicAddressesOnly(t *testing.T) {
	newElsewhere(t, "203.0.113.1/24", "203.0.113.2/24").serve(t, "203.0.113.2:80", hello)
	private := newElsewhere(t, "10.213.7.1/24", "10.213.7.2/24")
	private.serve(t, "10.213.7.2:80", hello)
	allowed := newElsewhere(t, "10.213.8.1/24", "10.213.8.2/24")
	allowed.serve(t, "10.213.8.2:80", hello)
	newElsewhere(t, "169.254.169.1/24", "169.254.169.254/24").serve(t, "169.254.169.254:80", hello)
	newElsewhere(t, "100.64.9.1/24", "100.64.9.2/24").serve(t, "100.64.9.2:80", hello)
	everywhere, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	serve(t, everywhere, hello)
	_, port, _ := net.SplitHostPort(everywhere.Addr().String())
	private.nameserver(t, "10.213.7.2:53")

	r := newRoom(t, func(o *Options) { o.NetAllow = inet.Prefixes("10.213.8.0/24") })
	// The host's nameserver is at a private address.
	r.network.dns = []netip.Addr{netip.MustParseAddr("10.213.7.2")}
	if err := nft(r.network.rules(r.opts.NetAllow)); err != nil {
		t.Fatal(err)
	}
	script := &strings.Builder{}
	gateway := r.network.block.Addr().Next().String()
	blocked := map[string]string{"private": "10.213.7.2", "metadata": "169.254.169.254", "cgnat": "100.64.9.2", "loopback": "127.0.0.1:" + port,
		"own": ownAddress(t) + ":" + port, "far-end": "203.0.113.1:" + port, "gateway": gateway + ":" + port, "registry": r.registry,
		"registry-own": strings.Replace(r.registry, "127.0.0.1", ownAddress(t), 1)}
	reached := map[string]string{"public": "203.0.113.2", "allowed": "10.213.8.2"}
	for name, host := range blocked { // every one is there, for us
		if !strings.Contains(host, ":") {
			host += ":80"
		}
		if name == "gateway" || name == "registry-own" {
			continue // while a build runs; never
		}
		c, err := net.DialTimeout("tcp", host, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
	}
	for _, list := range []map[string]string{blocked, reached} {
		for name, host := range list {
			script.WriteString(ask(name, host))
		}
	}
	job, log := r.job(nil)
	script.WriteString("nslookup public.test\n")
	job.Source.Local = r.tree(map[string]string{"Dockerfile": "FROM busybox\nCOPY s /s\nRUN sh /s; cat /etc/resolv.conf\n", "s": script.String()})
	r.build(job)
	want(t, log.String(), "nameserver 10.213.7.2", "Address: 203.0.113.2")
	for name := range blocked {
		want(t, log.String(), "<blocked "+name+">")
	}
	for name := range reached {
		want(t, log.String(), "<reached "+name+">")
	}
}

// nameserver answers every question for an A record with 203.0.113.2.
func (e *elsewhere) nameserver(t *testing.T, address string) {
	t.Helper()
	var conn net.PacketConn
	var err error
	e.in(func() { conn, err = net.ListenPacket("udp", address) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		buf := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
			if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
				m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 60},
					Body: &dnsmessage.AResource{A: [4]byte{203, 0, 113, 2}}}}
			}
			out, err := m.Pack()
			if err == nil {
				_, _ = conn.WriteTo(out, from)
			}
		}
	}()
}

func TestAddReachesPublicAddressesOnly(t *testing.T) {
	inside, err := net.Listen("tcp", ownAddress(t)+":0")
	if err != nil {
		t.Fatal(err)
	}
	serve(t, inside, hello)
	public := newElsewhere(t, "203.0.113.1/24", "203.0.113.2/24")
	mux := http.NewServeMux()
	mux.Handle("/file", hello)
	mux.Handle("/redirect", http.RedirectHandler("http://"+inside.Addr().String()+"/", http.StatusFound))
	public.serve(t, "203.0.113.2:80", mux)
	r := newRoom(t)
	job, _ := r.job(map[string]string{"Dockerfile": "FROM scratch\nADD http://203.0.113.2/file /file\n"})
	if got := r.files(r.build(job).Digest)["file"]; got != "hello from a server\n" {
		t.Errorf("what ADD fetched: %q", got)
	}
	for _, url := range []string{"http://" + inside.Addr().String() + "/x", "http://203.0.113.2/redirect", "http://169.254.169.254/latest/meta-data",
		"http://" + inside.Addr().String() + "/x.git"} {
		job, _ := r.job(map[string]string{"Dockerfile": "FROM busybox\nADD " + url + " /file\nRUN cat /file\n"})
		f := r.fails(job)
		want(t, f.Reason, "Dockerfile:2", "ADD")
		wantNot(t, f.Reason, "hello from")
	}
}

func TestImagesComeFromPublicAddressesOnly(t *testing.T) {
	var asked atomic.Bool
	inside, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	serve(t, inside, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Store(true) }))
	_, port, _ := net.SplitHostPort(inside.Addr().String())
	r := newRoom(t)
	for _, host := range []string{"127.0.0.1:" + port, ownAddress(t) + ":" + port, "localhost:" + port, "169.254.169.254"} {
		job, log := r.job(map[string]string{"Dockerfile": "FROM " + host + "/x/y:z\n"})
		f := r.fails(job)
		want(t, f.Reason, host, "--source-allow")
		if f.Retry {
			t.Error("it would be refused again")
		}
		want(t, log.String(), "is not a public address")
	}
	if asked.Load() {
		t.Error("a server on this machine was asked for an image")
	}
}

func TestNoNetwork(t *testing.T) {
	newElsewhere(t, "203.0.113.1/24", "203.0.113.2/24").serve(t, "203.0.113.2:80", hello)
	r := newRoom(t)
	n := r.network
	r.network = nil // as where nft does not work
	t.Cleanup(func() { r.network = n })
	job, log := r.job(map[string]string{"Dockerfile": "FROM busybox\nRUN " + ask("it", "203.0.113.2")})
	r.build(job)
	want(t, log.String(), "<blocked it>")
}

// firewallTest is set where the test binary runs in a network namespace of its own.
const firewallTest = "SHIPLOG_TEST_FIREWALL"

// likeDocker sets the firewall up as Docker does: nothing is forwarded.
func likeDocker() {
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err == nil {
		err = exec.Command("iptables", "-w", "-P", "FORWARD", "DROP").Run()
	}
	if err != nil {
		panic("this test needs iptables: " + err.Error())
	}
}

func TestFirewallThatForwardsNothing(t *testing.T) {
	cmd := exec.Command("/proc/self/exe", "-test.run", "^TestRunReachesPublicAddressesOnly$")
	cmd.Env = append(os.Environ(), firewallTest+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "PASS") {
		t.Errorf("on a host as Docker leaves it: %v\n%s", err, out)
	}
}
