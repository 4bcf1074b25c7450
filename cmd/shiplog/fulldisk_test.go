package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// smallDisk is a disk whose size can be changed: filling it and making room cost nothing.
type smallDisk struct {
	t   *testing.T
	dir string
}

func newSmallDisk(t *testing.T) *smallDisk {
	t.Helper()
	d := &smallDisk{t, t.TempDir()}
	if err := unix.Mount("shiplog-test", d.dir, "tmpfs", 0, "size=4g"); err != nil {
		t.Fatalf("mount a disk: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(d.dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount the disk: %v", err)
		}
	})
	return d
}

// leave makes the disk so small that this many bytes are free.
func (d *smallDisk) leave(free uint64) {
	d.t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(d.dir, &st); err != nil {
		d.t.Fatal(err)
	}
	used := (st.Blocks - st.Bfree) * uint64(st.Bsize)
	if err := unix.Mount("shiplog-test", d.dir, "tmpfs", unix.MS_REMOUNT, fmt.Sprintf("size=%d", used+free)); err != nil {
		d.t.Fatalf("leave %d bytes free: %v", free, err)
	}
}

// A full disk: nothing is accepted that is not kept, everything that is refused is refused soon and with a reason, what
// serves goes on, and when there is room again the service goes on by itself with all that it accepted.
func TestFullDisk(t *testing.T) {
	disk := newSmallDisk(t)
	s := startIn(t, filepath.Join(disk.dir, "data"))
	s.create(specOf("shop", s.remote("shop"), ""))
	r := s.clone("shop")
	one := r.hello("one")
	r.push()
	s.answers("shop", "one")
	s.settled("shop")
	h := s.hook("shop", s.remote("shop"))
	r.hello("two")

	var mu sync.Mutex
	accepted, refused := map[string]bool{}, 0
	var slowest time.Duration
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() { // a forge that goes on telling of pushes
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
			id, began := fmt.Sprintf("d-%d", i), time.Now()
			status, _ := h.deliver(id, "refs/heads/side", nowhere, one)
			mu.Lock()
			slowest = max(slowest, time.Since(began))
			if status < 300 {
				accepted[id] = true
			} else if refused++; status != 503 {
				t.Errorf("a delivery to a full disk: %d", status)
			}
			mu.Unlock()
		}
	}()
	time.Sleep(300 * time.Millisecond)

	disk.leave(24 << 20) // what is kept for rollback, pin and stop
	time.Sleep(300 * time.Millisecond)
	s.refuses("POST", "/v2/apps/"+s.id("shop")+"/deployments", "full", s.dir, "make room", "rollback, pin and stop")
	s.shiplog("pin", "shop", "v1", "--reason", "works on a nearly full disk")
	s.shiplog("unpin", "shop", "--keep")
	if out, err := r.tryGit("push", "shiplog", "HEAD:refs/heads/main"); err == nil || !strings.Contains(out, "nothing can be pushed now: the log is full") {
		t.Errorf("a push to a nearly full disk (%v): %s", err, out)
	} else {
		t.Log(out)
	}

	disk.leave(0)
	time.Sleep(300 * time.Millisecond)
	s.refuses("POST", "/v2/apps/"+s.id("shop")+"/restart", "full", s.dir, "make room")
	if out, err := r.tryGit("push", "shiplog", "HEAD:refs/heads/main"); err == nil {
		t.Errorf("a push to a full disk succeeds: %s", out)
	} else {
		t.Log(out)
	}
	time.Sleep(2 * time.Second)
	if got, err := s.get("shop"); err != nil || got != "one" {
		t.Errorf("on a full disk the app answers %q, %v", got, err)
	}

	if err := unix.Mount("shiplog-test", disk.dir, "tmpfs", unix.MS_REMOUNT, "size=4g"); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	s.eventually("pushes are taken again", 20*time.Second, func() error {
		out, err := r.tryGit("push", "shiplog", "HEAD:refs/heads/main")
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	s.answers("shop", "two")
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it recovered after %v", took)
	} else {
		t.Logf("live again %v after there was room", took.Round(time.Millisecond))
	}
	close(stop)
	<-stopped
	t.Logf("%d deliveries accepted, %d refused, slowest answer %v", len(accepted), refused, slowest.Round(time.Millisecond))
	if len(accepted) == 0 || refused == 0 || slowest > 3*time.Second {
		t.Errorf("%d accepted, %d refused, slowest %v", len(accepted), refused, slowest)
	}
	s.settled("shop")
	have := map[string]int{}
	for _, e := range s.timeline("shop") {
		if e.Type == "PushReceived" {
			have[e.Delivery]++
		}
	}
	for id := range accepted {
		if have[id] != 1 {
			t.Errorf("delivery %s was accepted, and is in the history %d times", id, have[id])
		}
	}
}

// A service that starts on a full disk takes nothing, or says what is wrong and ends; with room it has everything.
func TestStartOnAFullDisk(t *testing.T) {
	disk := newSmallDisk(t)
	s := startIn(t, filepath.Join(disk.dir, "data"))
	s.create(specOf("shop", s.remote("shop"), ""))
	r := s.clone("shop")
	r.hello("one")
	r.push()
	s.answers("shop", "one")
	s.settled("shop")
	s.kill()
	disk.leave(0)
	var said bytes.Buffer
	cmd := exec.Command(built.shiplog, s.args...)
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		t.Logf("on a full disk it ends with %v: %s", err, said.String())
		if err == nil || !strings.Contains(said.String(), "the disk of "+s.dir+" is full: make room there") {
			t.Errorf("on a full disk it ends with %v: %s", err, said.String())
		}
	case <-time.After(3 * time.Second):
		s.refuses("POST", "/v2/apps/"+s.id("shop")+"/restart", "full", s.dir)
	}
	if got, err := s.get("shop"); err != nil || got != "one" {
		t.Errorf("the app answers %q, %v", got, err)
	}
	if err := unix.Mount("shiplog-test", disk.dir, "tmpfs", unix.MS_REMOUNT, "size=4g"); err != nil {
		t.Fatal(err)
	}
	if cmd.ProcessState == nil && len(ended) == 0 {
		s.cmd = cmd
	} else {
		s.up()
	}
	s.eventually("a restart is taken", 20*time.Second, func() error { return s.api("POST", "/v2/apps/"+s.id("shop")+"/restart", nil, nil) })
	r.hello("two")
	r.push()
	s.answers("shop", "two")
}

// refuses wants 503 with Retry-After within 3 s, for a reason that holds all texts.
func (s *site) refuses(method, path string, want ...string) {
	s.t.Helper()
	req, err := http.NewRequest(method, s.url+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	began := time.Now()
	res, err := (&http.Client{Timeout: 30 * time.Second}).Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	if res.StatusCode != 503 || res.Header.Get("Retry-After") == "" || time.Since(began) > 3*time.Second {
		s.t.Errorf("%s %s answers %s (Retry-After %q) after %v: %s", method, path, res.Status, res.Header.Get("Retry-After"), time.Since(began), body)
	}
	s.t.Logf("%s", body)
	for _, text := range want {
		if !strings.Contains(string(body), text) {
			s.t.Errorf("%s %s does not say %q: %s", method, path, text, body)
		}
	}
}
