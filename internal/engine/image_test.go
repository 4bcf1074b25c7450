package engine

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"shiplog/events"
	"shiplog/internal/engine/enginetest"
)

func TestPull(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	api := b.push("api")
	if has, err := b.Has(t.Context(), api.Digest); err != nil || has {
		t.Errorf("has it before: %v, %v", has, err)
	}
	if err := b.Pull(t.Context(), api, io.Discard); err != nil {
		t.Fatal(err)
	}
	if has, err := b.Has(t.Context(), api.Digest); err != nil || !has {
		t.Errorf("has it after: %v, %v", has, err)
	}
	// Again, without a registry.
	gone := api
	gone.User, gone.Password = "", ""
	if err := b.Pull(t.Context(), gone, io.Discard); err != nil {
		t.Errorf("an image that is there: %v", err)
	}
	for _, tt := range []struct {
		what   string
		change func(*Image)
		err    error
	}{
		{"no such digest", func(i *Image) { i.Digest = events.Digest("sha256:" + strings.Repeat("2", 64)) }, ErrNoImage},
		{"no such repository", func(i *Image) { i.Repository += "x"; i.Digest = events.Digest("sha256:" + strings.Repeat("3", 64)) }, ErrNoImage},
		{"no digest", func(i *Image) { i.Digest = "" }, nil},
		{"wrong password", func(i *Image) {
			i.Repository = b.push("secret").Repository
			i.Digest = b.push("secret").Digest
			i.Password = "x"
		}, nil},
		{"no credentials", func(i *Image) {
			i.Repository = b.push("secret").Repository
			i.Digest = b.push("secret").Digest
			i.User = ""
		}, nil},
		{"not by plain http", func(i *Image) {
			i.Repository = b.push("secret").Repository
			i.Digest = b.push("secret").Digest
			i.Plain = false
		}, nil},
	} {
		if tt.what == "not by plain http" && b.pod == nil {
			continue // Docker always speaks http to 127.0.0.1
		}
		image := api
		tt.change(&image)
		err := b.Pull(t.Context(), image, io.Discard)
		if err == nil || tt.err != nil && !errors.Is(err, tt.err) {
			t.Errorf("%s: %v, want %v", tt.what, err, tt.err)
		}
		if tt.err == nil && errors.Is(err, ErrNoImage) {
			t.Errorf("%s: %v", tt.what, err)
		}
	}
}

// A registry that serves another manifest than the one asked for.
func TestPullSubstituted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	real, other := b.push("api"), b.push("evil")
	liar := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, string(real.Digest)) {
			r.URL.Path = strings.NewReplacer("/api/", "/evil/", string(real.Digest), string(other.Digest)).Replace(r.URL.Path)
			r.SetBasicAuth(b.reg.Credentials())
			rec := httptest.NewRecorder()
			b.reg.ServeHTTP(rec, r)
			rec.Header().Set("Docker-Content-Digest", string(real.Digest))
			for k, v := range rec.Header() {
				w.Header()[k] = v
			}
			w.WriteHeader(rec.Code)
			_, _ = w.Write(rec.Body.Bytes())
			return
		}
		b.reg.ServeHTTP(w, r)
	}))
	defer liar.Close()
	image := real
	image.Repository = strings.Replace(real.Repository, b.host, strings.TrimPrefix(liar.URL, "http://"), 1)
	if err := b.Pull(t.Context(), image, io.Discard); !errors.Is(err, ErrNoImage) {
		t.Errorf("pulled a substitute: %v", err)
	}
	if has, err := b.Has(t.Context(), real.Digest); err != nil || has {
		t.Errorf("has the real one: %v, %v", has, err)
	}
}

func TestPullFromNowhere(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	dead := httptest.NewServer(nil)
	dead.Close()
	image := b.push("api")
	image.Repository = strings.TrimPrefix(dead.URL, "http://") + "/a/b"
	if err := b.Pull(t.Context(), image, io.Discard); err == nil || errors.Is(err, ErrNoImage) || errors.Is(err, ErrDown) {
		t.Errorf("%v", err)
	}
}

func TestInfo(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	i, err := b.Info(t.Context())
	if err != nil || i.Name != "podman" && i.Name != "docker" || i.Version == "" || !strings.HasPrefix(i.API, "1.") {
		t.Errorf("%+v, %v", i, err)
	}
	for _, w := range i.Warnings {
		if strings.Contains(w, "rootless") || strings.Contains(w, "netavark") || strings.Contains(w, "seccomp") {
			t.Errorf("a warning that is not true: %s", w)
		}
	}
	b.Docker.api.Close()
}

func TestOpenFails(t *testing.T) {
	if _, err := Open(t.Context(), Options{Host: "unix:///nonexistent.sock", Instance: "t"}); !errors.Is(err, ErrDown) || !strings.Contains(err.Error(), "/nonexistent.sock") {
		t.Errorf("%v", err)
	}
	if _, err := Open(t.Context(), Options{Host: engineHost, Instance: "a b"}); err == nil {
		t.Error("a bad instance name is accepted")
	}
	t.Setenv("DOCKER_HOST", "")
	t.Setenv("CONTAINER_HOST", engineHost)
	d, err := Open(t.Context(), Options{Instance: "t"})
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
	t.Setenv("CONTAINER_HOST", "")
	if _, err := Open(t.Context(), Options{Instance: "t"}); !errors.Is(err, ErrDown) || !strings.Contains(err.Error(), "--engine-host") {
		t.Errorf("without any engine: %v", err)
	}
}

// An image that is asked for by the digest of an index is known by that digest ever after.
func TestIndex(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ours, err := buildApp()
	if err != nil {
		t.Fatal(err)
	}
	if ours, err = enginetest.Label(ours, t.Name()); err != nil {
		t.Fatal(err)
	}
	foreign, err := random.Image(100, 1)
	if err != nil {
		t.Fatal(err)
	}
	index := mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: foreign, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "s390x"}}},
		mutate.IndexAddendum{Add: ours, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: runtime.GOARCH}}})
	image := b.image
	image.Repository = b.host + "/" + string(b.app) + "/index"
	tag, err := name.NewTag(image.Repository+":x", name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(tag, index, remote.WithAuth(&authn.Basic{Username: image.User, Password: image.Password})); err != nil {
		t.Fatal(err)
	}
	digest, _ := index.Digest()
	image.Digest = events.Digest(digest.String())
	if err := b.Pull(t.Context(), image, io.Discard); err != nil {
		t.Fatal(err)
	}
	if has, err := b.Has(t.Context(), image.Digest); err != nil || !has {
		t.Errorf("has it: %v, %v", has, err)
	}
	r := b.rollout("web", 1)
	r.Image = image
	if up := b.roll(r); up[0].Digest != image.Digest {
		t.Errorf("runs %s, want %s", up[0].Digest, image.Digest)
	}
}
