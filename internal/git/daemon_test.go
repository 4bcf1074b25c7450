package git

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"shiplog/events"
)

// TestGitDaemon fetches over git:// from git's own server.
func TestGitDaemon(t *testing.T) {
	f := newForge(t)
	r := f.repo("hello.git")
	old := r.commit("refs/heads/main", r.files(map[string]string{"f": "old"}), "m")
	c := r.commit("refs/heads/main", r.files(map[string]string{"f": "x"}), "m", old)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	_, port, _ := net.SplitHostPort(address)
	_ = free.Close()
	cmd := exec.Command("git", "daemon", "--export-all", "--reuseaddr", "--listen=127.0.0.1", "--port="+port, "--base-path="+f.dir, f.dir)
	cmd.Env = append(testEnv(), "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Signal(os.Interrupt); _ = cmd.Wait() })
	for deadline := time.Now().Add(5 * time.Second); ; {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("git daemon does not start: ", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	src := Source{URL: "git://" + address + "/hello.git", Allow: loopback}
	if refs, err := Refs(t.Context(), src); err != nil || refs["refs/heads/main"] != c {
		t.Fatalf("%v, %v", refs, err)
	}
	for want, commit := range map[string]events.Commit{"x": c, "old": old} {
		dir := t.TempDir()
		if _, err := Checkout(t.Context(), src, events.Revision{Ref: "refs/heads/main", Commit: commit}, dir); err != nil || read(t, dir, "f") != want {
			t.Errorf("%s: %v", want, err)
		}
	}
	if _, err := Refs(t.Context(), Source{URL: "git://" + address + "/no.git", Allow: loopback}); !errors.Is(err, ErrNoRef) {
		t.Errorf("a repository that is not there: %v", err)
	}
}
