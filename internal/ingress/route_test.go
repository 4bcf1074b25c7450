package ingress

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func TestRouting(t *testing.T) {
	r := start1(t)
	echo := func(name string) string {
		return serve(t, func(w http.ResponseWriter, q *http.Request) {
			fmt.Fprintf(w, "%s %s %s", name, q.RequestURI, q.Header.Get("X-Forwarded-Prefix"))
		})
	}
	r.set(AppRoutes{App: "app-1", Name: "shop", Generation: 1, Hosts: []string{"Shop.localhost", "shop.example.com"}, State: Serving,
		Routes: []Route{
			{Path: "/", Backends: []string{echo("web")}},
			{Path: "/api", Backends: []string{echo("api")}},
			{Path: "/api/v2", PreservePrefix: true, Backends: []string{echo("v2")}},
		}})
	for url, want := range map[string]string{
		"http://shop.localhost/":                  "web / ",
		"http://SHOP.localhost:8000/x?a=b;c&%zz":  "web /x?a=b;c&%zz ",
		"http://shop.example.com./":               "web / ",
		"http://shop.localhost/api":               "api / /api",
		"http://shop.localhost/api/":              "api / /api",
		"http://shop.localhost/api/a%2fb/c%20d?q": "api /a%2fb/c%20d?q /api",
		"http://shop.localhost/apix":              "web /apix ",
		"http://shop.localhost/api/v2/x":          "v2 /api/v2/x ",
		"http://shop.localhost/api/v22":           "api /v22 /api",
		"http://shop.localhost//api":              "web //api ",
		"http://shop.localhost/a//b/../c/":        "web /a//b/../c/ ",
	} {
		if _, got := r.do("GET", url, nil); got != want {
			t.Errorf("%s: got %q, want %q", url, got, want)
		}
	}
}

func TestPages(t *testing.T) {
	r := start1(t)
	ctx := context.Background()
	for _, a := range []AppRoutes{
		{App: "a", Hosts: []string{"stopped"}, State: Stopped},
		{App: "b", Hosts: []string{"deploying"}, State: Deploying},
		{App: "c", Hosts: []string{"gone"}, State: Serving, Routes: []Route{{Path: "/", Backends: []string{deadAddr(t)}}}},
		{App: "d", Hosts: []string{"none"}, State: Serving, Routes: []Route{{Path: "/"}}},
		{App: "e", Hosts: []string{"part"}, State: Serving, Routes: []Route{{Path: "/api"}}},
	} {
		if err := r.Set(ctx, a); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		host, code string
		status     int
		retry      string
	}{
		{"nobody", "no-app", 404, ""}, {"stopped", "stopped", 503, ""}, {"deploying", "deploying", 503, "2"},
		{"gone", "unreachable", 502, ""}, {"none", "unreachable", 502, ""}, {"part", "no-route", 404, ""},
	} {
		for accept, kind := range map[string]string{"text/html,*/*": "text/html", "*/*": "text/plain", "": "text/plain"} {
			res, body := r.do("POST", "http://"+c.host+"/", strings.NewReader("x"), "Accept", accept)
			if res.StatusCode != c.status || res.Header.Get("Shiplog-Ingress") != c.code || res.Header.Get("Retry-After") != c.retry ||
				!strings.HasPrefix(res.Header.Get("Content-Type"), kind) || len(body) < 20 {
				t.Errorf("%s, %q: got %d %v %s", c.host, accept, res.StatusCode, res.Header, body)
			}
		}
		if res, body := r.do("HEAD", "http://"+c.host+"/", nil); res.StatusCode != c.status || body != "" {
			t.Errorf("HEAD %s: got %d %q", c.host, res.StatusCode, body)
		}
	}
	req, _ := http.NewRequest("GET", "http://"+r.addr, nil)
	req.Host, req.Header = "<script>", http.Header{"Accept": {"text/html"}}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err == nil {
		defer res.Body.Close()
		var b [4096]byte
		n, _ := res.Body.Read(b[:])
		if strings.Contains(string(b[:n]), "<script>") {
			t.Error("the host is written into the page as it came")
		}
	}
}

func TestCheckRefusesBadRoutes(t *testing.T) {
	for i, change := range []func(*AppRoutes){
		func(a *AppRoutes) { a.App = "" },
		func(a *AppRoutes) { a.App = "../x" },
		func(a *AppRoutes) { a.Name = "a\"b" },
		func(a *AppRoutes) { a.State = "" },
		func(a *AppRoutes) { a.Hosts = []string{""} },
		func(a *AppRoutes) { a.Hosts = []string{"a b"} },
		func(a *AppRoutes) { a.Routes[0].Path = "api" },
		func(a *AppRoutes) { a.Routes = append(a.Routes, a.Routes[0]) },
		func(a *AppRoutes) { a.Routes[0].Backends = []string{"host"} },
		func(a *AppRoutes) { a.Routes[0].Backends = []string{"host:0"} },
		func(a *AppRoutes) { a.Routes[0].Backends = []string{":80"} },
	} {
		a := hello(1, "127.0.0.1:1")
		change(&a)
		if _, err := a.Check(); err == nil {
			t.Errorf("%d was accepted: %+v", i, a)
		}
	}
}

func FuzzRoute(f *testing.F) {
	f.Add("Hello.localhost:80", "/api/x%2f")
	f.Add("[::1]:8000", "/")
	b := &backend{addr: "127.0.0.1:1"}
	t1 := newTable(map[string]AppRoutes{"a": {App: "a", Hosts: []string{"hello.localhost"}, State: Serving, Routes: []Route{{Path: "/"}, {Path: "/api"}}}},
		func(string) *backend { return b }, func(AppRoutes) *counts { return &counts{} })
	f.Fuzz(func(t *testing.T, host, path string) {
		h := canonicalHost(host)
		if canonicalHost(h+":80") != h && !strings.ContainsAny(h, "[]:") && !strings.HasSuffix(h, ".") {
			t.Fatalf("%q gives %q, and that with a port %q", host, h, canonicalHost(h+":80"))
		}
		if !strings.HasPrefix(path, "/") {
			return
		}
		rt, ok := t1.sites["hello.localhost"].route(path)
		if !ok || !strings.HasPrefix(rt.rest(path), "/") {
			t.Fatalf("%q goes nowhere", path)
		}
	})
}

func FuzzState(f *testing.F) {
	f.Add([]byte(`{"version":1,"apps":{"a":{"app":"a","hosts":["x"],"state":"serving","routes":[{"path":"/","backends":["h:1"]}]}}}`))
	f.Add([]byte(`{"version":1,"apps":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseState(b)
		if err != nil {
			return
		}
		newTable(s.Apps, func(string) *backend { return nil }, func(AppRoutes) *counts { return nil })
	})
}
