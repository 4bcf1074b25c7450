package registry

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/sirupsen/logrus"
)

func TestPushPullReopen(t *testing.T) {
	dir := t.TempDir()
	reg, host := serve(t, dir)
	img, err := random.Image(4096, 3)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := img.Digest()
	tag, _ := name.NewTag(host+"/5b0f6f1e-6a0e-5d43-9a55-9b7a4e1d6c11/web:d-1", name.Insecure)
	if err := remote.Write(tag, img, remote.WithAuth(login(reg))); err != nil {
		t.Fatal(err)
	}
	if err := reg.Close(); err != nil {
		t.Fatal(err)
	}

	again, host := serve(t, dir)
	_, before := reg.Credentials()
	if _, after := again.Credentials(); before != after || len(after) != 64 {
		t.Fatalf("password is %q after a restart, was %q", after, before)
	}
	ref, _ := name.NewDigest(host+"/5b0f6f1e-6a0e-5d43-9a55-9b7a4e1d6c11/web@"+want.String(), name.Insecure)
	got, err := remote.Image(ref, remote.WithAuth(login(again)))
	if err != nil {
		t.Fatal(err)
	}
	layers, err := got.Layers()
	if err != nil || len(layers) != 3 {
		t.Fatalf("%d layers, %v", len(layers), err)
	}
	for _, l := range layers {
		rc, err := l.Compressed()
		if err != nil {
			t.Fatal(err)
		}
		h := sha256.New()
		if _, err := io.Copy(h, rc); err != nil {
			t.Fatal(err)
		}
		rc.Close()
		if d, _ := l.Digest(); hex.EncodeToString(h.Sum(nil)) != d.Hex {
			t.Errorf("layer %s reads back as %x", d, h.Sum(nil))
		}
	}
}

func TestCredentials(t *testing.T) {
	reg, host := serve(t, t.TempDir())
	user, pass := reg.Credentials()
	for _, tt := range []struct {
		what, user, pass string
		status           int
	}{
		{"right", user, pass, 200},
		{"none", "", "", 401},
		{"wrong password", user, "x" + pass[1:], 401},
		{"empty password", user, "", 401},
		{"wrong user", "admin", pass, 401},
		{"shifted", user + "\x00" + pass[:3], pass[3:], 401},
	} {
		req, _ := http.NewRequest("GET", "http://"+host+"/v2/", nil)
		if tt.user != "" {
			req.SetBasicAuth(tt.user, tt.pass)
		}
		resp := do(t, req)
		if resp.StatusCode != tt.status {
			t.Errorf("%s: %s, want %d", tt.what, resp.Status, tt.status)
		}
		if tt.status == 401 && !strings.HasPrefix(resp.Header.Get("WWW-Authenticate"), "Basic ") {
			t.Errorf("%s: no challenge", tt.what)
		}
	}
	for _, path := range []string{"/", "/v2/_catalog", "/v2/a/tags/list", "/debug/vars", "/metrics"} {
		req, _ := http.NewRequest("GET", "http://"+host+path, nil)
		if resp := do(t, req); resp.StatusCode != 401 {
			t.Errorf("%s without credentials: %s", path, resp.Status)
		}
	}
}

func TestPasswordFile(t *testing.T) {
	dir := t.TempDir()
	reg, _ := serve(t, dir)
	file := filepath.Join(dir, "password")
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("password file: %v, %v", info.Mode(), err)
	}
	if b, _ := os.ReadFile(file); string(b) != reg.password+"\n" {
		t.Errorf("the file holds %q", b)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("an empty password file is accepted, or not named: %v", err)
	}
}

// Names that try to leave the directory are refused, and nothing is written outside it.
func TestNames(t *testing.T) {
	outer := t.TempDir()
	dir := filepath.Join(outer, "in/reg")
	reg, host := serve(t, dir)
	for _, name := range []string{
		"../../../../escape", "a/../../../../escape", "..%2f..%2f..%2fescape", "%2e%2e/%2e%2e/escape", "a%00b", "A", "a//b", "/etc", ".", "_uploads", "a/_uploads/b",
	} {
		for _, path := range []string{"/v2/" + name + "/blobs/uploads/", "/v2/" + name + "/manifests/x", "/v2/a/manifests/" + name} {
			method := "POST"
			if strings.Contains(path, "manifests") {
				method = "PUT"
			}
			status := raw(t, reg, host, method, path)
			if status < 300 || status >= 500 {
				t.Errorf("%s %s: %d", method, path, status)
			}
		}
	}
	err := filepath.WalkDir(outer, func(path string, _ os.DirEntry, err error) error {
		if strings.Contains(path, "escape") {
			t.Errorf("written: %s", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestNothingIsDeleted(t *testing.T) {
	reg, host := serve(t, t.TempDir())
	img, _ := random.Image(64, 1)
	tag, _ := name.NewTag(host+"/app/web:d-1", name.Insecure)
	if err := remote.Write(tag, img, remote.WithAuth(login(reg))); err != nil {
		t.Fatal(err)
	}
	digest, _ := img.Digest()
	for _, what := range []string{"manifests/d-1", "manifests/" + digest.String(), "blobs/" + digest.String()} {
		req, _ := http.NewRequest("DELETE", "http://"+host+"/v2/app/web/"+what, nil)
		req.SetBasicAuth(reg.Credentials())
		if resp := do(t, req); resp.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("DELETE %s: %s", what, resp.Status)
		}
	}
	if _, err := remote.Head(tag, remote.WithAuth(login(reg))); err != nil {
		t.Error(err)
	}
}

// An upload can go on after a restart; what it has so far is not visible; an old one is gone after the next.
func TestUnfinishedUploads(t *testing.T) {
	dir := t.TempDir()
	reg, host := serve(t, dir)
	req, _ := http.NewRequest("POST", "http://"+host+"/v2/app/web/blobs/uploads/", nil)
	req.SetBasicAuth(reg.Credentials())
	location := do(t, req).Header.Get("Location")
	if !strings.HasPrefix(location, "/v2/app/web/blobs/uploads/") {
		t.Fatalf("Location is %q, want it relative", location)
	}
	body := []byte("half and half")
	req, _ = http.NewRequest("PATCH", "http://"+host+location, bytes.NewReader(body[:5]))
	req.SetBasicAuth(reg.Credentials())
	resp := do(t, req)
	if resp.StatusCode != http.StatusAccepted {
		t.Fatal(resp.Status)
	}
	location = resp.Header.Get("Location")
	reg.Close()

	reg, host = serve(t, dir)
	digest := fmt.Sprintf("sha256:%x", sha256.Sum256(body))
	head, _ := http.NewRequest("HEAD", "http://"+host+"/v2/app/web/blobs/"+digest, nil)
	head.SetBasicAuth(reg.Credentials())
	if resp := do(t, head); resp.StatusCode != 404 {
		t.Errorf("half a blob: %s", resp.Status)
	}
	req, _ = http.NewRequest("PUT", "http://"+host+location+"&digest="+digest, bytes.NewReader(body[5:]))
	req.SetBasicAuth(reg.Credentials())
	if resp := do(t, req); resp.StatusCode != http.StatusCreated {
		t.Fatalf("resume: %s", resp.Status)
	}

	req, _ = http.NewRequest("POST", "http://"+host+"/v2/app/web/blobs/uploads/", nil)
	req.SetBasicAuth(reg.Credentials())
	do(t, req)
	started, err := filepath.Glob(filepath.Join(dir, "storage/docker/registry/v2/repositories/app/web/_uploads/*/startedat"))
	if err != nil || len(started) != 1 {
		t.Fatalf("uploads: %v, %v", started, err)
	}
	serve(t, dir)
	if _, err := os.Stat(started[0]); err != nil {
		t.Errorf("a young upload: %v", err)
	}
	old := time.Now().Add(-2 * uploadAge).UTC().Format(time.RFC3339)
	if err := os.WriteFile(started[0], []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	serve(t, dir)
	if _, err := os.Stat(started[0]); !os.IsNotExist(err) {
		t.Errorf("an old upload is still there: %v", err)
	}
}

// A manifest whose sync fails is not accepted.
func TestAnswerWaitsForDisk(t *testing.T) {
	w := httptest.NewRecorder()
	rec := &recorder{ResponseWriter: w, before: func() error { return io.ErrShortWrite }}
	rec.WriteHeader(201)
	_, _ = rec.Write([]byte("created"))
	if w.Code != 500 || strings.Contains(w.Body.String(), "created") {
		t.Errorf("%d %q", w.Code, w.Body)
	}
	w = httptest.NewRecorder()
	rec = &recorder{ResponseWriter: w, before: func() error { t.Error("synced for a refusal"); return nil }}
	rec.WriteHeader(404)
	if w.Code != 404 {
		t.Error(w.Code)
	}
}

func TestHealth(t *testing.T) {
	dir := t.TempDir()
	reg, _ := serve(t, dir)
	if err := reg.Health(t.Context()); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".health-*")); left != nil {
		t.Errorf("left %v", left)
	}
	reg.dir = filepath.Join(dir, "gone")
	if reg.Health(t.Context()) == nil {
		t.Error("healthy without a directory")
	}
}

// Nothing is written to standard error, and a request leaves at most a debug line.
func TestQuiet(t *testing.T) {
	reg, host := serve(t, t.TempDir())
	if logrus.StandardLogger().Out != io.Discard {
		t.Error("logrus writes somewhere")
	}
	var lines bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{Level: slog.LevelInfo})))
	defer slog.SetDefault(before)
	raw(t, reg, host, "GET", "/v2/app/web/manifests/none")
	if lines.Len() > 0 {
		t.Errorf("logged %s", &lines)
	}
	slog.SetDefault(slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{Level: slog.LevelDebug})))
	raw(t, reg, host, "GET", "/v2/app/web/manifests/none")
	if !strings.Contains(lines.String(), "registry: ") {
		t.Errorf("no debug line: %q", &lines)
	}
}

func serve(t *testing.T, dir string) (*Registry, string) {
	t.Helper()
	reg, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(reg)
	t.Cleanup(srv.Close)
	return reg, strings.TrimPrefix(srv.URL, "http://")
}

func login(r *Registry) authn.Authenticator {
	user, pass := r.Credentials()
	return &authn.Basic{Username: user, Password: pass}
}

func do(t *testing.T, req *http.Request) *http.Response {
	t.Helper()
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	return resp
}

// raw sends a path as it is, which net/http would clean, and returns the status.
func raw(t *testing.T, r *Registry, host, method, path string) (status int) {
	t.Helper()
	conn, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	req := httptest.NewRequest(method, "/", nil)
	req.SetBasicAuth(r.Credentials())
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: %s\r\nAuthorization: %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", method, path, host, req.Header.Get("Authorization"))
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscanf(string(answer), "HTTP/1.1 %d", &status); err != nil {
		t.Fatalf("%s %s: answer %q", method, path, answer)
	}
	return status
}
