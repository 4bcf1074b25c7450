package ingress

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// program returns the path of a copy of the test's program that calls itself by the version.
func program(t *testing.T, version string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), version)
	if err := os.Symlink(self, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// endOf stops whatever answers at the socket when the test is over.
func endOf(t *testing.T, o Options) *Client {
	c := NewClient(o.Socket)
	t.Cleanup(func() {
		if h, err := c.Health(context.Background()); err == nil {
			_ = syscall.Kill(h.PID, syscall.SIGKILL)
		}
	})
	return c
}

func TestEnsure(t *testing.T) {
	ctx := context.Background()
	o := options(t)
	o.Listen = deadAddr(t)
	c := endOf(t, o)
	exe := program(t, "v1")
	ensure := func() Health {
		t.Helper()
		if err := Ensure(ctx, exe, o); err != nil {
			t.Fatal(err)
		}
		h, err := c.Health(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	first := ensure()
	if again := ensure(); again.PID != first.PID {
		t.Error("a second one was started")
	}
	if sid, _, _ := syscall.Syscall(syscall.SYS_GETSID, uintptr(first.PID), 0, 0); int(sid) != first.PID {
		t.Errorf("its session is %d, its process %d", sid, first.PID)
	}
	r := &running{Client: c, t: t, o: o, addr: o.Listen}
	r.set(hello(1, serve(t, says("backend"))))

	if err := syscall.Kill(first.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	gone(t, first.PID)
	if second := ensure(); second.PID == first.PID {
		t.Error("it is the killed one")
	}
	if _, text := r.do("GET", "http://hello.localhost/", nil); text != "backend" {
		t.Errorf("after kill -9: got %q", text)
	}

	// An upgrade, under load: the new one takes over, the old one ends, no request fails.
	stop := load(t, r, 4)
	before := ensure()
	for _, version := range []string{"v2", "v3"} {
		exe, o.Version = program(t, version), version
		after := ensure()
		if after.PID == before.PID || after.Version != version || after.Apps != 1 {
			t.Errorf("after the upgrade: %+v", after)
		}
		r.set(hello(uint64(after.PID), serve(t, says("backend "+version))))
		if left, err := c.Drain(ctx, nil, 10*time.Second); left != 0 || err != nil {
			t.Errorf("the old one does not end: %d, %v", left, err)
		}
		gone(t, before.PID)
		before = after
	}
	if asked := stop(); asked < 50 {
		t.Errorf("only %d requests", asked)
	}

	// Another address: the new one answers there.
	o.Listen = deadAddr(t)
	moved := ensure()
	r.addr = o.Listen
	if _, text := r.do("GET", "http://hello.localhost/", nil); moved.Listen != o.Listen || text != "backend v3" {
		t.Errorf("after the move: %+v %q", moved, text)
	}
	if err := c.Quit(ctx); err != nil {
		t.Fatal(err)
	}
	gone(t, moved.PID)
}

// gone waits for a process that was started by Ensure to end.
func gone(t *testing.T, pid int) {
	t.Helper()
	for deadline := time.Now().Add(12 * time.Second); !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("process %d does not end", pid)
		}
	}
}

func TestEnsureSaysWhyNot(t *testing.T) {
	o := options(t)
	o.Listen = serve(t, says("taken"))
	err := Ensure(context.Background(), program(t, "v1"), o)
	if err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("got %v", err)
	}
	if err := Ensure(context.Background(), "/nonexistent", o); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestEnvironmentHoldsNoTokens(t *testing.T) {
	t.Setenv("SHIPLOG_TOKEN", "canary")
	if env := fmt.Sprint(environment()); strings.Contains(env, "canary") || !strings.Contains(env, "PATH=") {
		t.Errorf("got %s", env)
	}
}

// TestBrokenHandover: one that asks for the socket and then dies has taken nothing.
func TestBrokenHandover(t *testing.T) {
	r := start1(t)
	r.set(hello(1, serve(t, says("ok"))))
	ln, prev, err := takeOver(r.o.Socket)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Set(context.Background(), hello(2)); err == nil {
		t.Error("routes are changed while another ingress reads them")
	}
	ln.Close()
	prev.close()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		if err = r.Set(context.Background(), hello(1, serve(t, says("again")))); err == nil || time.Now().After(deadline) {
			break
		}
	}
	if _, text := r.do("GET", "http://hello.localhost/", nil); err != nil || text != "again" {
		t.Errorf("it does not go on: %v %q", err, text)
	}
}

// TestHandover: who keeps a connection to the old one is answered there once more, and told to come again.
func TestHandover(t *testing.T) {
	r := start1(t)
	r.set(hello(1, serve(t, says("ok"))))
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	ask := func() *http.Response {
		t.Helper()
		fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: hello.localhost\r\n\r\n")
		res, err := http.ReadResponse(in, nil)
		if err != nil || res.StatusCode != 200 {
			t.Fatalf("got %v, %v", res, err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		return res
	}
	if ask().Close {
		t.Error("the connection is not kept at first")
	}
	o := r.o
	o.Version, o.Listen = "v2", r.addr
	next := startWith(t, o)
	for !strings.Contains(next.log.String(), "the ingress serves") { // the old one is told after the new one answers
		time.Sleep(time.Millisecond)
	}
	if left, _ := next.Drain(context.Background(), nil, 10*time.Millisecond); left != 1 {
		t.Errorf("a drain does not wait for the old one: %d", left)
	}
	time.Sleep(50 * time.Millisecond)
	if !ask().Close {
		t.Error("the client is not told to come again")
	}
	if left, _ := next.Drain(context.Background(), nil, 10*time.Second); left != 0 {
		t.Errorf("the old one does not end: %d", left)
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if _, text := next.do("GET", "http://hello.localhost/", nil); text != "ok" {
		t.Errorf("the new one says %q", text)
	}
	if _, err := os.Stat(o.Socket); err != nil {
		t.Errorf("the old one took the new one's socket away: %v", err)
	}
}

func TestStop(t *testing.T) {
	r := start1(t)
	r.set(hello(1, serve(t, echoUpgrade)))
	conn, in := upgraded(t, r)
	stopped := make(chan time.Duration)
	go func() {
		start := time.Now()
		if err := r.stop(); err != nil {
			t.Error(err)
		}
		stopped <- time.Since(start)
	}()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		probe, err := net.Dial("tcp", r.addr)
		if err != nil {
			break // it takes no more connections
		}
		probe.Close()
	}
	time.Sleep(50 * time.Millisecond) // were the stop to cut connections, it would have by now
	fmt.Fprintln(conn, "still here")
	if line, _ := in.ReadString('\n'); line != "still here\n" {
		t.Errorf("an open connection is cut at once: %q", line)
	}
	conn.Close()
	if took := <-stopped; took > 5*time.Second {
		t.Errorf("it took %v to stop after the last connection was closed", took)
	}
}

// TestLight: every start of the program pays for what this package imports.
func TestLight(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if .Module}}{{if ne .Module.Path \"shiplog\"}}{{.ImportPath}}{{end}}{{end}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Fields(string(out)); len(got) != 0 {
		t.Errorf("beside the standard library and our own packages it imports %v", got)
	}
}
