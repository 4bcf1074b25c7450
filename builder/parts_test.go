package builder

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"shiplog/internal/inet"
)

func TestIsOwn(t *testing.T) {
	if !isOwn(netip.MustParseAddr("127.0.0.1")) || !isOwn(netip.MustParseAddr(ownAddress(t))) || isOwn(netip.MustParseAddr("1.1.1.1")) {
		t.Error("isOwn does not know this machine")
	}
}

func TestRuncIsFixed(t *testing.T) {
	for v, wanted := range map[string]bool{"1.1.5+ds1": false, "1.2.7": false, "1.2.8": true, "1.2.10": true, "1.3.0": false, "1.3.2-rc.1": false, "1.3.3": true,
		"1.4.0-rc.1": false, "1.4.0-rc.2": false, "1.4.0-rc.3": true, "1.4.0": true, "1.5.1": true, "2.0.0": true, "": false, "x": false} {
		if got := runcIsFixed(v); got != wanted {
			t.Errorf("runcIsFixed(%q) = %t", v, got)
		}
	}
}

func TestRegistriesConf(t *testing.T) {
	got, err := registriesConf(map[string]string{"docker.io": "http://127.0.0.1:5001", "ghcr.io": "https://mirror.example/path/"})
	if err != nil {
		t.Fatal(err)
	}
	want(t, string(got), `prefix = "docker.io"`, "location = \"127.0.0.1:5001\"\ninsecure = true", "location = \"mirror.example/path\"\ninsecure = false")
	for _, bad := range []string{"", "127.0.0.1:5001", "ftp://x", "http://", "::"} {
		if _, err := registriesConf(map[string]string{"docker.io": bad}); err == nil {
			t.Errorf("the mirror %q is accepted", bad)
		}
	}
}

func TestJobIsChecked(t *testing.T) {
	good := Job{ID: "x", Destination: "127.0.0.1:5000/a/b:d-1"}
	good.Revision.Commit = "abc"
	if err := good.check(); err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(*Job){
		"id": func(j *Job) { j.ID = "" }, "commit": func(j *Job) { j.Revision.Commit = "" }, "no tag": func(j *Job) { j.Destination = "127.0.0.1:5000/a" },
		"no repository": func(j *Job) { j.Destination = "127.0.0.1:5000" }, "secret": func(j *Job) { j.Secrets = map[string][]byte{"../x": nil} },
		"secret list": func(j *Job) { j.Secrets = map[string][]byte{"a,src=/etc/passwd": nil} },
	} {
		bad := good
		change(&bad)
		if bad.check() == nil {
			t.Errorf("a job with a wrong %s is accepted", what)
		}
	}
	for destination, wanted := range map[string]bool{"127.0.0.1:5000/a:b": true, "localhost:5000/a:b": true, "[::1]:5000/a:b": true,
		"10.0.0.1:5000/a:b": false, "example.com/a:b": false, "127.0.0.1.example.com/a:b": false} {
		if got := onLoopback(destination); got != wanted {
			t.Errorf("onLoopback(%s) = %t", destination, got)
		}
	}
}

func TestFailureIsShort(t *testing.T) {
	f := fail(stepBuild, strings.Repeat("ä", 5000)+"\xff", false)
	if len(f.Reason) > 2<<10 || !strings.HasSuffix(f.Reason, "ä…") {
		t.Errorf("reason of %d bytes: …%q", len(f.Reason), f.Reason[len(f.Reason)-10:])
	}
}

func TestWithoutRunc(t *testing.T) {
	tools := t.TempDir()
	for _, tool := range []string{"nft", "iptables"} {
		for _, dir := range []string{"/usr/sbin", "/sbin"} {
			_ = os.Symlink(filepath.Join(dir, tool), filepath.Join(tools, tool))
		}
	}
	t.Setenv("PATH", tools)
	dir := t.TempDir()
	opts := Options{Storage: filepath.Join(dir, "s"), Work: filepath.Join(dir, "w")}
	if _, err := Open(opts); err == nil || !strings.Contains(err.Error(), "apt install runc") || !strings.Contains(err.Error(), "--unsafe-builds") {
		t.Fatalf("without runc: %v", err)
	}
	newElsewhere(t, "203.0.113.1/24", "203.0.113.2/24").serve(t, "203.0.113.2:80", hello)
	inside, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serve(t, inside, hello)
	r := newRoom(t, func(o *Options) { o.Unsafe = true })
	want(t, strings.Join(r.Warnings(), "\n"), "--unsafe-builds")
	// Even so: the network is the build's own, and the host is not in sight.
	job, log := r.job(map[string]string{"Dockerfile": "FROM busybox\nRUN " + ask("loopback", inside.Addr().String()) + "RUN " + ask("public", "203.0.113.2") +
		"RUN ls " + r.dir + " || echo '<'hidden'>'\n"})
	r.build(job)
	want(t, log.String(), "<blocked loopback>", "<reached public>", "<hidden>")
	r.clean()
}

func TestClearCacheWhileBuilding(t *testing.T) {
	r := newRoom(t)
	job, log := r.job(map[string]string{"Dockerfile": "FROM busybox\nRUN echo 'it '\"runs\"; sleep 1\nRUN echo more > /more\n"})
	done := make(chan error)
	go func() { _, err := r.Build(context.Background(), job); done <- err }()
	log.wait(t, "it runs")
	if err := r.ClearCache(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatalf("a build whose cache is cleared: %v\n%s", err, log)
	}
	if all, err := r.layerDirs(); err != nil || len(all) != 1 || filepath.Base(all[0]) != "layers-2" {
		t.Errorf("directories of layers: %v, %v", all, err)
	}
}

func TestRulesAreReplaced(t *testing.T) {
	r := newRoom(t)
	for range 2 { // Open again, as after a restart
		if err := nft(r.network.rules(inet.Prefixes("10.0.0.0/8", "fd00::/8"))); err != nil {
			t.Fatal(err)
		}
	}
}

func TestProxy(t *testing.T) {
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	go func() {
		for {
			c, err := echo.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
		}
	}()
	proxy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	port := echo.Addr().(*net.TCPAddr).Port
	go serveProxy(proxy, "right", dialPolicy{Exact: []string{echo.Addr().String()}})
	for name, c := range map[string]struct {
		password string
		host     string
		ok       bool
	}{"allowed": {"right", "127.0.0.1", true}, "another name for it": {"right", "localhost", false}, "no password": {"", "127.0.0.1", false},
		"wrong password": {"wrong", "127.0.0.1", false}} {
		conn, err := net.Dial("tcp", proxy.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		hello := append([]byte{5, 1, 2, 1, 1, 'u', byte(len(c.password))}, c.password...)
		hello = append(hello, append([]byte{5, 1, 0, 3, byte(len(c.host))}, c.host...)...)
		hello = append(hello, byte(port>>8), byte(port))
		_, _ = conn.Write(append(hello, "ping"...))
		_ = conn.(*net.TCPConn).CloseWrite()
		got, _ := io.ReadAll(conn)
		if strings.HasSuffix(string(got), "ping") != c.ok {
			t.Errorf("%s: %q", name, got)
		}
		_ = conn.Close()
	}
}

func FuzzGreet(f *testing.F) {
	f.Add([]byte("\x05\x01\x02\x01\x01u\x02pw\x05\x01\x00\x03\x04host\x00\x50"))
	f.Add([]byte("\x05\x01\x02\x01\x01u\x02pw\x05\x01\x00\x01\x01\x02\x03\x04\x00\x50"))
	f.Add([]byte("\x05\x01\x00\x05\x01"))
	f.Fuzz(func(t *testing.T, data []byte) {
		host, err := greet(bufio.NewReader(bytes.NewReader(data)), io.Discard, "pw")
		if err == nil && !bytes.Contains(data, []byte("\x02pw")) {
			t.Errorf("%q without the password", host)
		}
		if _, _, serr := net.SplitHostPort(host); err == nil && serr != nil && !strings.ContainsAny(host, "[]:%") {
			t.Errorf("%q is no address", host)
		}
	})
}

func FuzzNameservers(f *testing.F) {
	f.Add("nameserver 127.0.0.53\nnameserver 10.0.0.2 # x\nnameserver ::1\nnameserver x\n;nameserver 1.1.1.1\n")
	f.Fuzz(func(t *testing.T, conf string) {
		for _, a := range parseNameservers(conf) {
			if !a.Is4() || a.IsLoopback() {
				t.Errorf("nameserver %s", a)
			}
		}
	})
}
