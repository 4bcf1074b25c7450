package engine

import (
	"bytes"
	"context"
	"errors"
	"flag"
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

// One Podman and one registry serve all tests of the package; every test is a Shiplog instance of its own. With
// SHIPLOG_TEST_ENGINE=unix:///… another container engine of this machine serves them, Docker for instance; nothing is
// isolated then but by names.
var engineHost = os.Getenv("SHIPLOG_TEST_ENGINE")

func TestMain(m *testing.M) {
	if engineHost != "" {
		os.Exit(runTests(m))
	}
	enginetest.Main(func() int {
		dir, err := os.MkdirTemp("/dev/shm", "engine-")
		var podman *enginetest.Server
		if err == nil {
			podman, err = enginetest.Start(context.Background(), dir)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		engineHost = podman.Host
		code := runTests(m)
		if err := podman.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return code
	})
}

func runTests(m *testing.M) int {
	flag.Parse()
	if err := flag.Set("test.parallel", "6"); err != nil { // they mostly wait
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// shared is a registry, and an image that is pulled already, for the tests to which it does not matter.
type shared struct {
	reg   *registry.Registry
	host  string // of the registry
	image Image
}

var setup = sync.OnceValues(func() (*shared, error) {
	dir, err := os.MkdirTemp("/dev/shm", "registry-") // the tests' own /dev/shm: it goes when they end
	if err != nil {
		return nil, err
	}
	s := &shared{}
	if s.reg, err = registry.Open(registry.Options{Dir: dir}); err != nil {
		return nil, err
	}
	s.host = strings.TrimPrefix(httptest.NewServer(s.reg).URL, "http://")
	if s.image, err = s.push("shared/web", "shared"); err != nil {
		return nil, err
	}
	d, err := Open(context.Background(), Options{Host: engineHost, Instance: "shared"})
	if err != nil {
		return nil, err
	}
	return s, errors.Join(d.Pull(context.Background(), s.image, io.Discard), d.Close())
})

var buildApp = sync.OnceValues[v1.Image, error](enginetest.TestApp)

// push pushes an image that no other label has.
func (s *shared) push(repository, label string) (Image, error) {
	img, err := buildApp()
	if err != nil {
		return Image{}, err
	}
	if img, err = enginetest.Label(img, label); err != nil {
		return Image{}, err
	}
	i := Image{Repository: s.host + "/" + repository, Plain: true}
	i.User, i.Password = s.reg.Credentials()
	i.Digest, err = enginetest.Push(img, i.Repository, i.User, i.Password)
	return i, err
}

// bench is a test's engine and app.
type bench struct {
	*Docker
	*shared
	t    *testing.T
	app  events.ID
	name string // of the app
}

// newBench gives a test an engine that is a Shiplog of its own, and checks at its end that nothing is left of its apps.
func newBench(t *testing.T) *bench {
	t.Helper()
	s, err := setup()
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{shared: s, t: t, app: events.NewID()}
	b.name = "shop-" + string(b.app)[:6]
	b.Docker = b.open()
	return b
}

// open returns another engine value for the same Shiplog instance, as after a restart.
func (b *bench) open() *Docker {
	b.t.Helper()
	d, err := Open(b.t.Context(), Options{Host: engineHost, Instance: "t-" + strings.ReplaceAll(string(b.app), "-", "")[:12]})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { d.Close() })
	return d
}

// push pushes an image of the test's own, the like of which no run before has left in the engine.
func (b *bench) push(component string) Image {
	b.t.Helper()
	i, err := b.shared.push(string(b.app)+"/"+component, string(b.app)+component)
	if err != nil {
		b.t.Fatal(err)
	}
	return i
}

// rollout is one of the test's app. It is removed at the end of the test.
func (b *bench) rollout(component string, generation uint64) Rollout {
	b.removeAtEnd(b.app)
	return Rollout{
		App: b.app, AppName: b.name, Component: component, Deployment: events.NewID(), Generation: generation,
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
