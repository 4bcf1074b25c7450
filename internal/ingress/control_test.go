package ingress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestFence(t *testing.T) {
	r := start1(t)
	ctx := context.Background()
	old, now := serve(t, says("old")), serve(t, says("now"))
	r.set(hello(5, now))
	r.set(hello(5, now))
	if err := r.Set(ctx, hello(4, old)); !errors.Is(err, ErrStale) {
		t.Errorf("an older generation: %v", err)
	}
	if _, text := r.do("GET", "http://hello.localhost/", nil); text != "now" {
		t.Errorf("got %q", text)
	}
	if err := r.Remove(ctx, "app-1", 4); !errors.Is(err, ErrStale) {
		t.Errorf("an older removal: %v", err)
	}
	other := hello(9, old)
	other.App = "app-2"
	if err := r.Set(ctx, other); !errors.Is(err, ErrHostTaken) || !strings.Contains(err.Error(), "app-1") {
		t.Errorf("another app's host: %v", err)
	}
	if err := r.Remove(ctx, "app-1", 6); err != nil {
		t.Fatal(err)
	}
	if err := r.Remove(ctx, "app-1", 6); err != nil {
		t.Errorf("removing twice: %v", err)
	}
	if err := r.Set(ctx, hello(6, old)); !errors.Is(err, ErrStale) {
		t.Errorf("after the removal: %v", err)
	}
	if res, _ := r.do("GET", "http://hello.localhost/", nil); res.StatusCode != 404 {
		t.Errorf("got %d", res.StatusCode)
	}
	r.set(other)
	if _, text := r.do("GET", "http://hello.localhost/", nil); text != "old" {
		t.Errorf("a freed host: got %q", text)
	}
}

func TestConcurrentSets(t *testing.T) {
	r := start1(t)
	ctx := context.Background()
	addr := serve(t, says("ok"))
	var wg sync.WaitGroup
	for app := range 8 {
		wg.Go(func() {
			for g := range 10 {
				a := hello(uint64(g), addr)
				a.App, a.Hosts = fmt.Sprint("app-", app), []string{fmt.Sprintf("h%d.localhost", app)}
				if err := r.Set(ctx, a); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	apps, err := r.Table(ctx)
	if err != nil || len(apps) != 8 {
		t.Fatalf("%d apps, %v", len(apps), err)
	}
	saved, err := os.ReadFile(r.o.State)
	if err != nil {
		t.Fatal(err)
	}
	s, err := parseState(saved)
	for _, a := range apps {
		if a.Generation != 9 || err != nil || !a.equal(s.Apps[a.App]) {
			t.Errorf("%+v, saved %+v, %v", a, s.Apps[a.App], err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(r.o.State), ".in*")); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
}

func TestRestart(t *testing.T) {
	o := options(t)
	r := startWith(t, o)
	r.set(hello(3, serve(t, says("ok"))))
	if err := r.Remove(context.Background(), "gone", 7); err != nil {
		t.Fatal(err)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(o.Socket); err == nil {
		t.Error("the socket stays behind")
	}
	r = startWith(t, o)
	if _, text := r.do("GET", "http://hello.localhost/", nil); text != "ok" {
		t.Errorf("got %q", text)
	}
	for _, a := range []AppRoutes{hello(2), {App: "gone", Generation: 7, State: Stopped}} {
		if err := r.Set(context.Background(), a); !errors.Is(err, ErrStale) {
			t.Errorf("the fence of %s is forgotten: %v", a.App, err)
		}
	}
}

func TestCorruptState(t *testing.T) {
	for i, text := range []string{"", "{", `{"version":2,"apps":{}}`, `{"version":1,"apps":{"a":{"app":"b","state":"serving"}}}`, "\x00\x00"} {
		o := options(t)
		if err := os.WriteFile(o.State, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		r := startWith(t, o)
		if !strings.Contains(r.log.String(), "saved routes cannot be read") {
			t.Errorf("%d: it does not say so: %s", i, r.log)
		}
		aside, _ := filepath.Glob(o.State + ".corrupt-*")
		if len(aside) != 1 {
			t.Fatalf("%d: it is not moved aside", i)
		}
		if kept, _ := os.ReadFile(aside[0]); string(kept) != text {
			t.Errorf("%d: what is aside is not what was there", i)
		}
		r.set(hello(1, serve(t, says("ok"))))
		if _, text := r.do("GET", "http://hello.localhost/", nil); text != "ok" {
			t.Errorf("%d: got %q", i, text)
		}
	}
}

func TestStateThatCannotBeSaved(t *testing.T) {
	r := start1(t)
	r.set(hello(1, serve(t, says("one"))))
	dir := filepath.Dir(r.o.State)
	if err := os.Rename(dir, dir+"-away"); err != nil {
		t.Fatal(err)
	}
	moved := NewClient(filepath.Join(dir+"-away", "ingress.sock"))
	err := moved.Set(context.Background(), hello(2, serve(t, says("two"))))
	if err == nil || !strings.Contains(err.Error(), "save the routes") {
		t.Errorf("got %v", err)
	}
	if _, text := r.do("GET", "http://hello.localhost/", nil); text != "one" {
		t.Errorf("what was not saved is in force: %q", text)
	}
	if err := os.Rename(dir+"-away", dir); err != nil {
		t.Fatal(err)
	}
	if err := r.Set(context.Background(), hello(2, serve(t, says("two")))); err != nil {
		t.Errorf("it does not recover: %v", err)
	}
}

func TestControlSocket(t *testing.T) {
	r := start1(t)
	if info, err := os.Stat(r.o.Socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	raw := func(method, path, body string) int {
		req, _ := http.NewRequest(method, "http://ingress"+path, strings.NewReader(body))
		res, err := r.Client.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	for _, c := range []struct {
		method, path, body string
		want               int
	}{
		{"PUT", "/apps/a", "", 422}, {"PUT", "/apps/a", "{", 422}, {"PUT", "/apps/a", "null", 422},
		{"PUT", "/apps/a", `{"app":"b","state":"stopped"}`, 422}, {"PUT", "/apps/a", `{"app":"a","state":"x"}`, 422},
		{"PUT", "/apps/a", `{"app":"a","state":"stopped","name":"` + strings.Repeat("x", maxControlBody) + `"}`, 422},
		{"DELETE", "/apps/a", "", 422}, {"DELETE", "/apps/a?generation=-1", "", 422}, {"POST", "/drain", "[]", 422},
		{"GET", "/nothing", "", 404}, {"POST", "/table", "", 405}, {"GET", "/health", "", 200}, {"GET", "/table", "", 200},
	} {
		if got := raw(c.method, c.path, c.body); got != c.want {
			t.Errorf("%s %s %.30s: got %d, want %d", c.method, c.path, c.body, got, c.want)
		}
	}
}

func TestMetrics(t *testing.T) {
	r := start1(t)
	r.set(hello(1, serve(t, says("ok"))))
	for range 3 {
		r.do("GET", "http://hello.localhost/", nil)
	}
	r.do("GET", "http://nobody.localhost/", nil)
	metrics := func() string {
		res, err := r.Client.http.Get("http://ingress/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	text := metrics()
	for deadline := time.Now().Add(5 * time.Second); !strings.Contains(text, "shiplog_ingress_in_flight 0\n") && time.Now().Before(deadline); {
		text = metrics() // a request ends a moment after its answer has arrived
	}
	for _, want := range []string{`shiplog_ingress_requests_total{app="hello",code="2xx"} 3`, `shiplog_ingress_requests_total{app="",code="4xx"} 1`,
		"shiplog_ingress_in_flight 0\n", `shiplog_ingress_backend_in_flight{backend="127.0.0.1:`} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is not in\n%s", want, text)
		}
	}
}

func TestSecondIngressIsRefused(t *testing.T) {
	r := start1(t)
	o := r.o
	o.Listen = r.addr
	if err := Run(context.Background(), o); err == nil || !strings.Contains(err.Error(), "runs already") {
		t.Errorf("the same again: %v", err)
	}
	o.Socket = filepath.Join(t.TempDir(), "s")
	if err := Run(context.Background(), o); !errors.As(err, new(*net.OpError)) {
		t.Errorf("the same address with another socket: %v", err)
	}
	o.Socket = "/tmp/" + strings.Repeat("x", 120)
	if err := Run(context.Background(), o); err == nil || !strings.Contains(err.Error(), "longer than 100 bytes") {
		t.Errorf("a long path: %v", err)
	}
	if _, err := r.Health(context.Background()); err != nil {
		t.Errorf("the first one was harmed: %v", err)
	}
}
