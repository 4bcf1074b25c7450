package builder

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"golang.org/x/sys/unix"

	"shiplog/events"
	"shiplog/internal/git"
)

func TestMain(m *testing.M) {
	fetch = copyTree
	if Main() {
		return
	}
	if os.Args[0] == serviceName {
		service()
		return
	}
	if os.Getenv(firewallTest) != "" {
		likeDocker()
	}
	os.Exit(m.Run())
}

// commitTime is when every test's commit was made.
var commitTime = time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)

// copyTree stands in for a checkout of what is not a repository. A commit that begins with another digit is a second later.
func copyTree(ctx context.Context, src git.Source, rev events.Revision, dir string) (git.Tree, error) {
	if _, err := os.Stat(filepath.Join(src.Local, "HEAD")); src.URL != "" || err == nil {
		return git.Checkout(ctx, src, rev, dir)
	}
	if err := os.CopyFS(dir, os.DirFS(src.Local)); err != nil {
		return git.Tree{}, err
	}
	return git.Tree{Hash: strings.Repeat("7", 40), Time: commitTime.Add(time.Duration(rev.Commit[0]) * time.Second)}, nil
}

// room is a builder with a registry to push to and a mirror of Docker Hub that has busybox.
type room struct {
	*Builder
	t        *testing.T
	registry string // host:port; wants builder and secret
	mirror   string
	dir      string

	repository string // where pushed looks
}

const user, password = "builder", "registry-password"

func newRoom(t *testing.T, change ...func(*Options)) *room {
	t.Helper()
	r := &room{t: t, dir: inMemory(t), repository: "app/web"}
	to := httptest.NewServer(basicAuth(registry.New(registry.Logger(log.New(io.Discard, "", 0)))))
	t.Cleanup(to.Close)
	from := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(from.Close)
	r.registry, r.mirror = to.Listener.Addr().String(), from.Listener.Addr().String()
	ref, err := name.ParseReference(r.mirror + "/library/busybox:latest")
	if err == nil {
		err = remote.Write(ref, busybox(t))
	}
	if err != nil {
		t.Fatal(err)
	}
	opts := Options{Storage: filepath.Join(r.dir, "storage"), Work: filepath.Join(r.dir, "work"), Mirrors: map[string]string{"docker.io": from.URL},
		Hide: []string{r.dir}, Version: "test"}
	for _, c := range change {
		c(&opts)
	}
	r.Builder, err = Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// inMemory is t.TempDir on a file system in memory, where there is room: builds write and sync a lot.
func inMemory(t *testing.T) string {
	t.Helper()
	var st unix.Statfs_t
	if unix.Statfs("/dev/shm", &st) != nil || int64(st.Bavail)*st.Bsize < 4<<30 {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp("/dev/shm", "shiplog-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func basicAuth(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if u, p, _ := req.BasicAuth(); u != user || p != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, req)
	})
}

// busybox is the machine's static busybox as an image with a shell.
var busybox = func() func(t *testing.T) v1.Image {
	var once sync.Once
	var image v1.Image
	return func(t *testing.T) v1.Image {
		t.Helper()
		once.Do(func() {
			program, err := os.ReadFile("/bin/busybox")
			if err != nil {
				t.Fatal("these tests need a static busybox: apt install busybox-static:", err)
			}
			image = packed(t, program, "sh", "cat", "ls", "sleep", "echo", "nc", "wget", "id", "mkdir", "seq", "yes", "head", "date", "touch", "dd", "stat", "grep", "find", "ip", "nslookup", "true", "false", "cp", "ps", "readlink", "sort", "wc", "sha256sum", "mount", "unshare", "test", "printf")
		})
		return image
	}
}()

func packed(t *testing.T, program []byte, applets ...string) v1.Image {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	put := func(h tar.Header, data []byte) {
		h.Size = int64(len(data))
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		_, _ = w.Write(data)
	}
	for _, dir := range []string{"bin/", "etc/", "tmp/"} {
		put(tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755}, nil)
	}
	put(tar.Header{Name: "bin/busybox", Mode: 0o755}, program)
	for _, a := range applets {
		put(tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + a, Linkname: "busybox"}, nil)
	}
	put(tar.Header{Name: "etc/passwd", Mode: 0o644}, []byte("root:x:0:0:root:/:/bin/sh\n"))
	_ = w.Close()
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err == nil {
		image, err = mutate.ConfigFile(image, &v1.ConfigFile{Architecture: "amd64", OS: "linux", Config: v1.Config{Env: []string{"PATH=/bin"}},
			RootFS: must(t)(image.ConfigFile()).RootFS, History: must(t)(image.ConfigFile()).History})
	}
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func must(t *testing.T) func(c *v1.ConfigFile, err error) *v1.ConfigFile {
	return func(c *v1.ConfigFile, err error) *v1.ConfigFile {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
}

// tree writes a directory of files.
func (r *room) tree(files map[string]string) string {
	r.t.Helper()
	dir := inMemory(r.t)
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			r.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			r.t.Fatal(err)
		}
	}
	return dir
}

// job is a job for a tree of files.
func (r *room) job(files map[string]string) (Job, *buffer) {
	buf := &buffer{}
	return Job{ID: "11111111-2222-5333-8444-555555555555-web-1", Source: git.Source{Local: r.tree(files)},
		Revision:    events.Revision{Ref: "refs/heads/main", Commit: events.Commit(strings.Repeat("a", 40))},
		Destination: r.registry + "/app/web:d-1", User: user, Password: password, Log: buf}, buf
}

// build builds and wants success.
func (r *room) build(job Job) Built {
	r.t.Helper()
	built, err := r.Build(context.Background(), job)
	if err != nil {
		r.t.Fatalf("build: %v\nlog:\n%s", err, job.Log)
	}
	return built
}

// fails builds and wants a failure.
func (r *room) fails(job Job) *Failure {
	r.t.Helper()
	built, err := r.Build(context.Background(), job)
	f, ok := err.(*Failure)
	if !ok {
		r.t.Fatalf("build: got %v, %v; want a failure\nlog:\n%s", built, err, job.Log)
	}
	return f
}

// pushed fetches what the registry has at a digest.
func (r *room) pushed(d events.Digest) v1.Image {
	r.t.Helper()
	ref, err := name.NewDigest(r.registry + "/" + r.repository + "@" + string(d))
	if err != nil {
		r.t.Fatal(err)
	}
	image, err := remote.Image(ref, remote.WithAuth(credentials{}))
	if err != nil {
		r.t.Fatal(err)
	}
	return image
}

// files returns the image's files by path.
func (r *room) files(d events.Digest) map[string]string {
	r.t.Helper()
	files := map[string]string{}
	rd := mutate.Extract(r.pushed(d))
	defer rd.Close()
	for tr := tar.NewReader(rd); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			r.t.Fatal(err)
		}
		data, _ := io.ReadAll(tr)
		files[h.Name] = string(data)
	}
}

// buffer is a log that can be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// wait waits until the log has a text.
func (b *buffer) wait(t *testing.T, text string) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !strings.Contains(b.String(), text); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the log never had %q:\n%s", text, b)
		}
	}
}

type credentials struct{}

func (credentials) Authorization() (*authn.AuthConfig, error) {
	return &authn.AuthConfig{Username: user, Password: password}, nil
}

// want fails the test unless the text has every part.
func want(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q is missing in:\n%s", p, text)
		}
	}
}

// wantNot fails the test if the text has any part.
func wantNot(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if strings.Contains(text, p) {
			t.Errorf("%q must not be in:\n%s", p, text)
		}
	}
}
