package engine

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/client"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"shiplog/events"
	"shiplog/internal/engine/enginetest"
	"shiplog/internal/registry"
)

// One Podman and one registry serve all tests of the package; every test is a Shiplog instance of its own.
var podman *enginetest.Server

func TestMain(m *testing.M) {
	enginetest.Main(func() int {
		dir, err := os.MkdirTemp("/dev/shm", "engine-")
		if err == nil {
			podman, err = enginetest.Start(context.Background(), dir)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		code := m.Run()
		if err := podman.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return code
	})
}

// bench is a test's engine, registry and app.
type bench struct {
	*Docker
	t     *testing.T
	app   events.ID
	image Image
	host  string // of the registry
	reg   *registry.Registry
}

var buildApp = sync.OnceValues[v1.Image, error](enginetest.TestApp)

// newBench gives a test an engine with the app's image pulled, and checks at its end that nothing is left of its apps.
func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, app: events.NewID()}
	reg, err := registry.Open(registry.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(reg)
	t.Cleanup(srv.Close)
	b.reg, b.host = reg, strings.TrimPrefix(srv.URL, "http://")
	b.Docker = b.open()
	b.image = b.push("web")
	if err := b.Pull(t.Context(), b.image, io.Discard); err != nil {
		t.Fatal(err)
	}
	return b
}

// open returns another engine value for the same Shiplog instance, as after a restart.
func (b *bench) open() *Docker {
	b.t.Helper()
	d, err := Open(b.t.Context(), Options{Host: podman.Host, Instance: "t-" + strings.ReplaceAll(string(b.app), "-", "")[:12]})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { d.Close() })
	return d
}

// push pushes an image of its own for a component.
func (b *bench) push(component string) Image {
	b.t.Helper()
	img, err := buildApp()
	if err != nil {
		b.t.Fatal(err)
	}
	if img, err = enginetest.Label(img, b.t.Name()+component); err != nil {
		b.t.Fatal(err)
	}
	repo := b.host + "/" + string(b.app) + "/" + component
	user, password := b.reg.Credentials()
	digest, err := enginetest.Push(img, repo, user, password)
	if err != nil {
		b.t.Fatal(err)
	}
	return Image{Repository: repo, Digest: digest, User: user, Password: password, Plain: true}
}

// rollout is one of the test's app. It is removed at the end of the test.
func (b *bench) rollout(component string, generation uint64) Rollout {
	b.removeAtEnd(b.app)
	return Rollout{
		App: b.app, AppName: "shop", Component: component, Deployment: events.NewID(), Generation: generation,
		Image: b.image, Port: 8080, Count: 1, Env: map[string]string{"VERSION": fmt.Sprint("v", generation)},
	}
}

var atEnd sync.Map

func (b *bench) removeAtEnd(app events.ID) {
	if _, done := atEnd.LoadOrStore(app, true); done {
		return
	}
	b.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		all, err := b.Instances(ctx, app)
		if err != nil {
			b.t.Error(err)
		}
		if err := b.Retire(ctx, all, 0); err != nil {
			b.t.Error(err)
		}
		if err := b.RemoveApp(ctx, app); err != nil {
			b.t.Error(err)
		}
	})
}

func (b *bench) roll(r Rollout) []Instance {
	b.t.Helper()
	var out bytes.Buffer
	up, err := b.Roll(b.t.Context(), r, &out)
	if err != nil {
		b.t.Fatalf("%v\n%s", err, &out)
	}
	return up
}

func (b *bench) instances() []Instance {
	b.t.Helper()
	all, err := b.Instances(b.t.Context(), b.app)
	if err != nil {
		b.t.Fatal(err)
	}
	return all
}

// get asks an instance of the test app.
func get(t *testing.T, i Instance, path string) string {
	t.Helper()
	body, status := ask(t, i, path)
	if status != 200 {
		t.Fatalf("GET %s of %s: %d %s", path, i.Name, status, body)
	}
	return body
}

func ask(t *testing.T, i Instance, path string) (string, int) {
	t.Helper()
	resp, err := http.Get("http://" + i.Address + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b), resp.StatusCode
}

func file(t *testing.T, i Instance, path string) string {
	t.Helper()
	return get(t, i, "/file?path="+url.QueryEscape(path))
}

// kill ends an instance as a crash does, behind the engine's back.
func (b *bench) kill(i Instance) {
	b.t.Helper()
	got, err := b.api.ContainerInspect(b.t.Context(), i.ID, client.ContainerInspectOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	if err := syscall.Kill(got.Container.State.Pid, syscall.SIGKILL); err != nil {
		b.t.Fatal(err)
	}
}
