package builder

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"shiplog/events"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

func TestVerify(t *testing.T) {
	reg := newTestRegistry(t)
	good, goodSize := image(t, "linux", runtime.GOARCH)
	arm, _ := image(t, "linux", "s390x")
	windows, _ := image(t, "windows", runtime.GOARCH)
	index := mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: arm, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "s390x"}}},
		mutate.IndexAddendum{Add: good, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: runtime.GOARCH}}})
	foreign := mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: arm, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "s390x"}}})
	for tag, it := range map[string]remote.Taggable{"good": good, "arm": arm, "windows": windows, "index": index, "foreign": foreign} {
		reg.push(t, "app/web:"+tag, it)
	}
	client := reg.client(t)
	repo := reg.host + "/app/web"
	for _, tt := range []struct {
		what     string
		repo     string
		digest   events.Digest
		err      error
		manifest events.Digest
	}{
		{"an image", repo, digest(t, good), nil, digest(t, good)},
		{"an index", repo, digest(t, index), nil, digest(t, good)},
		{"another architecture", repo, digest(t, arm), ErrPlatform, ""},
		{"another system", repo, digest(t, windows), ErrPlatform, ""},
		{"an index without ours", repo, digest(t, foreign), ErrPlatform, ""},
		{"a missing digest", repo, events.Digest("sha256:" + strings.Repeat("0", 64)), ErrNoImage, ""},
		{"a missing repository", reg.host + "/none", digest(t, good), ErrNoImage, ""},
		{"no name", "UPPER/../case", digest(t, good), ErrImageName, ""},
	} {
		got, err := client.Verify(t.Context(), tt.repo, tt.digest)
		if !errors.Is(err, tt.err) {
			t.Errorf("%s: %v, want %v", tt.what, err, tt.err)
			continue
		}
		if err != nil {
			if !strings.Contains(err.Error(), string(tt.digest)) {
				t.Errorf("%s: the error names no digest: %v", tt.what, err)
			}
			continue
		}
		want := RegistryImage{Digest: tt.digest, Manifest: tt.manifest, Platform: "linux/" + runtime.GOARCH, Size: goodSize}
		if got != want {
			t.Errorf("%s: %+v, want %+v", tt.what, got, want)
		}
	}
}

// Each way in which a registry can serve something else than what was asked for.
func TestLies(t *testing.T) {
	reg := newTestRegistry(t)
	good, _ := image(t, "linux", runtime.GOARCH)
	other, _ := image(t, "linux", runtime.GOARCH)
	reg.push(t, "app/web:good", good)
	reg.push(t, "app/web:other", other)
	d, o := digest(t, good), digest(t, other)
	config, _ := good.ConfigName()
	layers, _ := good.Layers()
	layer, _ := layers[1].Digest()
	for _, tt := range []struct {
		what string
		lie  func(w http.ResponseWriter, r *http.Request) bool // answers, or not
		err  error
		says string
	}{
		{"another manifest", func(w http.ResponseWriter, r *http.Request) bool {
			if strings.HasSuffix(r.URL.Path, "/manifests/"+string(d)) {
				b, _ := other.RawManifest()
				w.Header().Set("Docker-Content-Digest", string(d))
				_, _ = w.Write(b)
				return true
			}
			return false
		}, ErrLies, string(o)},
		{"another config", on(config.String(), func(w http.ResponseWriter) { _, _ = io.WriteString(w, `{"os":"linux"}`) }), ErrLies, config.String()},
		{"a layer of another size", on(layer.String(), func(w http.ResponseWriter) { w.Header().Set("Content-Length", "7") }), ErrLies, layer.String()},
		{"a missing layer", on(layer.String(), func(w http.ResponseWriter) { w.WriteHeader(404) }), ErrNoImage, layer.String()},
		{"a missing config", on(config.String(), func(w http.ResponseWriter) { w.WriteHeader(404) }), ErrNoImage, config.String()},
		{"no manifest at all", on(string(d), func(w http.ResponseWriter) { _, _ = io.WriteString(w, "<html>") }), ErrLies, string(d)},
		{"an endless manifest", on(string(d), func(w http.ResponseWriter) {
			for range maxManifest / 1000 * 2 {
				if _, err := w.Write(make([]byte, 1000)); err != nil {
					return
				}
			}
		}), errBadManifest, string(d)},
		{"overload", on(string(d), func(w http.ResponseWriter) { w.WriteHeader(429) }), ErrRegistryDown, "429"},
		{"failure", on("/v2/", func(w http.ResponseWriter) { w.WriteHeader(500) }), ErrRegistryDown, string(d)},
		{"denial", on(string(d), func(w http.ResponseWriter) { w.WriteHeader(403) }), ErrDenied, string(d)},
	} {
		reg.lie = tt.lie
		_, err := reg.client(t).Verify(t.Context(), reg.host+"/app/web", d)
		if !errors.Is(err, tt.err) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want %v naming %q", tt.what, err, tt.err, tt.says)
		}
	}
}

func TestResolve(t *testing.T) {
	reg := newTestRegistry(t)
	img, _ := image(t, "linux", runtime.GOARCH)
	reg.push(t, "library/nginx:1.27", img)
	reg.push(t, "app/web:d-1", img)
	client := reg.client(t)
	client.mirrors["index.docker.io"] = reg.url("http")
	for _, tt := range []struct {
		image, tag string
		err        error
	}{
		{reg.host + "/app/web", "d-1", nil},
		{"nginx", "1.27", nil},
		{"docker.io/library/nginx", "1.27", nil},
		{"index.docker.io/nginx", "1.27", nil},
		{"nginx", "none", ErrNoImage},
		{"nginx", "", ErrImageName},
		{"nginx", "../1.27", ErrImageName},
		{"nginx", "1.27@sha256:00", ErrImageName},
		{"nginx?x", "1.27", ErrImageName},
		{"", "1.27", ErrImageName},
	} {
		got, err := client.Resolve(t.Context(), tt.image, tt.tag)
		if !errors.Is(err, tt.err) || (err == nil && got != digest(t, img)) {
			t.Errorf("%s:%s is %q, %v; want %v", tt.image, tt.tag, got, err, tt.err)
		}
	}
	reg.lie = func(w http.ResponseWriter, r *http.Request) bool { // names no digest
		if r.Method == http.MethodHead && strings.Contains(r.URL.Path, "/manifests/") {
			w.WriteHeader(200)
			return true
		}
		return false
	}
	if got, err := client.Resolve(t.Context(), reg.host+"/app/web", "d-1"); err != nil || got != digest(t, img) {
		t.Errorf("computed: %q, %v", got, err)
	}
}

func TestUnreachable(t *testing.T) {
	dead := httptest.NewServer(nil)
	host := strings.TrimPrefix(dead.URL, "http://")
	dead.Close()
	client, err := NewRegistry(RegistryOptions{Host: host, Plain: true})
	if err != nil {
		t.Fatal(err)
	}
	d := events.Digest("sha256:" + strings.Repeat("0", 64))
	if _, err := client.Verify(t.Context(), host+"/a/b", d); !errors.Is(err, ErrRegistryDown) {
		t.Error(err)
	}
	done := make(chan struct{})
	hung := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-done }))
	defer hung.Close()
	defer close(done)
	host = strings.TrimPrefix(hung.URL, "http://")
	client, _ = NewRegistry(RegistryOptions{Host: host, Plain: true, Timeout: 200 * time.Millisecond})
	start := time.Now()
	if _, err := client.Resolve(t.Context(), host+"/a/b", "x"); !errors.Is(err, ErrRegistryDown) || time.Since(start) > 5*time.Second {
		t.Errorf("after %v: %v", time.Since(start), err)
	}
}

// Our credentials go to our registry only, whoever asks for them and however.
func TestCredentialsStayHome(t *testing.T) {
	var leaked []string
	thief := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a := r.Header.Get("Authorization"); a != "" {
			leaked = append(leaked, r.URL.String()+" "+a)
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="ours"`)
		w.WriteHeader(401)
	}))
	defer thief.Close()
	reg := newTestRegistry(t)
	client, _ := NewRegistry(RegistryOptions{Host: reg.host, User: "shiplog", Password: "secret", Plain: true, Allow: loopback})
	if _, err := client.Resolve(t.Context(), strings.TrimPrefix(thief.URL, "http://")+"/a/b", "x"); !errors.Is(err, ErrDenied) {
		t.Errorf("%v", err)
	}
	reg.lie = func(w http.ResponseWriter, r *http.Request) bool { // our registry redirects
		if strings.Contains(r.URL.Path, "/manifests/") {
			http.Redirect(w, r, thief.URL+r.URL.Path, http.StatusTemporaryRedirect)
			return true
		}
		return false
	}
	if _, err := client.Resolve(t.Context(), reg.host+"/a/b", "x"); err == nil {
		t.Error("resolved by a thief")
	}
	if leaked != nil {
		t.Errorf("leaked %q", leaked)
	}
}

// A registry, or where it redirects or has its tokens made, is never in a private network.
func TestPrivateAddresses(t *testing.T) {
	hits := 0
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits++ }))
	defer inside.Close()
	reg := newTestRegistry(t)
	client := reg.client(t)
	client.base = guardedTransport(addressGuard{trusted: map[string]bool{reg.host: true}})
	if _, err := client.Resolve(t.Context(), strings.TrimPrefix(inside.URL, "http://")+"/a/b", "x"); !errors.Is(err, ErrAddress) {
		t.Errorf("direct: %v", err)
	}
	for _, path := range []string{"/manifests/", "/v2/"} {
		reg.lie = func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, path) && path == "/v2/" || !strings.Contains(r.URL.Path, path) {
				return false
			}
			if path == "/v2/" {
				w.Header().Set("WWW-Authenticate", fmt.Sprintf("Bearer realm=%q,service=x", strings.Replace(inside.URL, "127.0.0.1", "localhost", 1)))
				w.WriteHeader(401)
				return true
			}
			http.Redirect(w, r, inside.URL, http.StatusTemporaryRedirect)
			return true
		}
		if _, err := client.Resolve(t.Context(), reg.host+"/a/b", "x"); !errors.Is(err, ErrAddress) {
			t.Errorf("through %s: %v", path, err)
		}
	}
	if hits > 0 {
		t.Errorf("%d requests got through", hits)
	}
	for addr, ok := range map[string]bool{
		"93.184.215.14": true, "2606:4700::1": true, "127.0.0.1": false, "::1": false, "10.1.2.3": false, "172.31.0.1": false, "192.168.0.9": false,
		"169.254.169.254": false, "fd00::1": false, "fe80::1": false, "::ffff:10.0.0.1": false, "0.0.0.0": false, "100.64.0.1": false, "224.0.0.1": false,
		"64:ff9b::a00:1": false, "2002:a00:1::": false, "255.255.255.255": false,
	} {
		if got := (addressGuard{}).permits(netip.MustParseAddr(addr)); got != ok {
			t.Errorf("%s permitted: %v", addr, got)
		}
	}
	if !(addressGuard{allow: loopback}).permits(netip.MustParseAddr("127.0.0.2")) {
		t.Error("an allowed network is not")
	}
}

func TestRepository(t *testing.T) {
	client, err := NewRegistry(RegistryOptions{
		Host: "127.0.0.1:5000", Plain: true,
		Mirrors: map[string]string{"docker.io": "https://mirror.example/hub", "ghcr.io": "http://cache.example:5001"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		image, want string
		plain       bool
	}{
		{"nginx", "mirror.example/hub/library/nginx", false},
		{"docker.io/owner/name", "mirror.example/hub/owner/name", false},
		{"ghcr.io/o/n", "cache.example:5001/o/n", true},
		{"quay.io/o/n", "quay.io/o/n", false},
		{"127.0.0.1:5000/app/web", "127.0.0.1:5000/app/web", true},
	} {
		got, plain, err := client.Repository(tt.image)
		if err != nil || got != tt.want || plain != tt.plain {
			t.Errorf("%s is pulled from %q (plain %v), %v", tt.image, got, plain, err)
		}
	}
	for _, bad := range []map[string]string{{"docker.io": "mirror.example"}, {"docker.io": "file:///etc"}, {"bad host": "http://x"}} {
		if _, err := NewRegistry(RegistryOptions{Host: "h", Mirrors: bad}); err == nil {
			t.Errorf("mirror %v is accepted", bad)
		}
	}
}

func FuzzReadManifest(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"digest":"sha256:00","platform":{"os":"linux","architecture":"amd64"}}]}`))
	f.Add([]byte(`{"schemaVersion":2,"config":{"digest":"sha256:` + strings.Repeat("a", 64) + `","size":3},"layers":[{"size":-1}]}`))
	f.Add([]byte(`{"manifests":[{"platform":null}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, child, err := readManifest(b)
		if err != nil {
			if !errors.Is(err, errBadManifest) && !errors.Is(err, ErrPlatform) {
				t.Errorf("unknown error %v", err)
			}
			return
		}
		if (m == nil) == (child == "") {
			t.Errorf("manifest %v and child %q", m, child)
		}
		if child != "" {
			if _, err := events.ParseDigest(string(child)); err != nil {
				t.Error(err)
			}
		}
	})
}

// testRegistry is a registry that needs credentials and can be told to lie.
type testRegistry struct {
	host string
	lie  func(w http.ResponseWriter, r *http.Request) bool
}

func newTestRegistry(t *testing.T) *testRegistry {
	t.Helper()
	reg := &testRegistry{}
	honest := ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pass, _ := r.BasicAuth(); pass != "secret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			if reg.lie == nil || !reg.lie(w, r) {
				w.WriteHeader(401)
			}
			return
		}
		if reg.lie == nil || !reg.lie(w, r) {
			honest.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	reg.host = strings.TrimPrefix(srv.URL, "http://")
	return reg
}

func (r *testRegistry) client(t *testing.T) *Registry {
	t.Helper()
	c, err := NewRegistry(RegistryOptions{Host: r.host, User: "shiplog", Password: "secret", Plain: true, Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (r *testRegistry) push(t *testing.T, to string, what remote.Taggable) {
	t.Helper()
	tag, err := name.NewTag(r.host+"/"+to, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	auth := remote.WithAuth(&authn.Basic{Username: "shiplog", Password: "secret"})
	switch it := what.(type) {
	case v1.ImageIndex:
		err = remote.WriteIndex(tag, it, auth)
	case v1.Image:
		err = remote.Write(tag, it, auth)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// image makes an image for a platform and returns its size as Verify counts it.
func image(t *testing.T, system, arch string) (v1.Image, int64) {
	t.Helper()
	img, err := random.Image(1000, 2)
	if err != nil {
		t.Fatal(err)
	}
	c, _ := img.ConfigFile()
	c = c.DeepCopy()
	c.OS, c.Architecture = system, arch
	if img, err = mutate.ConfigFile(img, c); err != nil {
		t.Fatal(err)
	}
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := json.Marshal(m)
	size := int64(len(raw)) + m.Config.Size
	for _, l := range m.Layers {
		size += l.Size
	}
	return img, size
}

func digest(t *testing.T, what interface{ Digest() (v1.Hash, error) }) events.Digest {
	t.Helper()
	h, err := what.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return events.Digest(h.String())
}

// on answers requests whose path ends in what.
func on(what string, answer func(w http.ResponseWriter)) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, what) {
			return false
		}
		answer(w)
		return true
	}
}

func (r *testRegistry) url(scheme string) *url.URL { return &url.URL{Scheme: scheme, Host: r.host} }
