package git

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"shiplog/events"
)

func TestSubmodules(t *testing.T) {
	f := newForge(t)
	allow := "uploadpack.allowReachableSHA1InWant=true"
	lib := f.repo("lib.git", allow)
	inner := f.repo("inner.git", allow)
	innerCommit := inner.commit("refs/heads/main", inner.files(map[string]string{"deep.txt": "deep"}), "inner")
	libCommit := lib.commit("refs/heads/main", lib.tree(
		entry{"100644", ".gitmodules", lib.blob("[submodule \"x\"]\n\tpath = nested\n\turl = ../inner.git\n")},
		entry{"100644", "lib.txt", lib.blob("lib")},
		entry{"160000", "nested", string(innerCommit)},
	), "lib")
	top := f.repo("top.git", allow)
	name := "lib"
	with := func(url string, commit events.Commit) events.Commit {
		modules := top.blob("[submodule \"" + name + "\"]\n\tpath = vendor/lib\n\turl = " + url + "\n\tupdate = !touch /tmp/shiplog-hostile\n")
		return top.commit("refs/heads/main", top.tree(
			entry{"100644", ".gitmodules", modules},
			entry{"40000", "vendor", top.tree(entry{"160000", "lib", string(commit)}, entry{"160000", "stray", string(commit)})},
		), "top")
	}
	for _, url := range []string{"../lib.git", "./../lib.git", lib.url} {
		dir, _, err := top.checkout(events.Revision{Commit: with(url, libCommit)})
		if err != nil {
			t.Fatalf("%s: %v", url, err)
		}
		if read(t, dir, "vendor/lib/lib.txt") != "lib" || read(t, dir, "vendor/lib/nested/deep.txt") != "deep" || len(list(t, dir)) != 8 {
			t.Errorf("%s: %v", url, list(t, dir))
		}
	}
	for _, c := range []struct {
		url  string
		want error
	}{
		{"file://" + lib.dir, ErrRefused},
		{lib.dir, ErrRefused},
		{"ext::sh -c touch% /tmp/shiplog-hostile", ErrRefused},
		{"git://127.0.0.1/lib.git", ErrRefused},
		{"-u./x", ErrRefused},
		{"../../../../x", ErrRefused},
		{"ssh://git@example.com/x.git", ErrRefused},
		{"http://169.254.169.254/x.git", ErrRefused},
		{f.http.URL + "/nothing.git", ErrNoRef},
	} {
		if _, _, err := top.checkout(events.Revision{Commit: with(c.url, libCommit)}); !errors.Is(err, c.want) || !strings.Contains(err.Error(), `submodule "vendor/lib"`) {
			t.Errorf("%s: %v", c.url, err)
		}
	}
	local := Source{Local: top.dir, Allow: loopback}
	if _, err := Checkout(t.Context(), local, events.Revision{Commit: with("../lib.git", libCommit)}, t.TempDir()); !errors.Is(err, ErrRefused) {
		t.Errorf("relative from the built-in remote: %v", err)
	}
	if _, err := Checkout(t.Context(), local, events.Revision{Commit: with(lib.url, libCommit)}, t.TempDir()); err != nil {
		t.Errorf("absolute from the built-in remote: %v", err)
	}
	name = "../../evil" // which git does not take for a submodule
	if dir, _, err := top.checkout(events.Revision{Commit: with(lib.url, libCommit)}); err != nil || len(list(t, dir)) != 4 {
		t.Errorf("a submodule's name that is a path: %v", err)
	}
	loop := f.repo("loop.git", allow)
	var last events.Commit
	for i := range maxSubmoduleDepth + 2 {
		entries := []entry{{"100644", ".gitmodules", loop.blob("[submodule \"s\"]\n\tpath = s\n\turl = " + loop.url + "\n")}}
		if i > 0 {
			entries = append(entries, entry{"160000", "s", string(last)})
		}
		last = loop.commit("refs/heads/main", loop.tree(entries...), fmt.Sprint(i))
		loop.git(loop.dir, "update-ref", fmt.Sprint("refs/heads/b", i), string(last))
	}
	if _, _, err := loop.checkout(events.Revision{Commit: last}); !errors.Is(err, ErrTooBig) {
		t.Errorf("nested too deep: %v", err)
	}
	if _, err := os.Lstat("/tmp/shiplog-hostile"); err == nil {
		t.Error("a command of a submodule ran")
	}
}

// TestCredentialsGoToOneServer: a submodule elsewhere does not get the token.
func TestCredentialsGoToOneServer(t *testing.T) {
	own, other := newForge(t), newForge(t)
	seen := map[string]string{}
	for name, f := range map[string]*forge{"own": own, "other": other} {
		f.wrap = func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				seen[name] += r.Header.Get("Authorization")
				h.ServeHTTP(w, r)
			})
		}
	}
	sub := other.repo("sub.git")
	c := sub.commit("refs/heads/main", sub.files(map[string]string{"f": "x"}), "m")
	top := own.repo("top.git")
	tip := top.commit("refs/heads/main", top.tree(
		entry{"100644", ".gitmodules", top.blob("[submodule \"s\"]\n\tpath = s\n\turl = " + sub.url + "\n")}, entry{"160000", "s", string(c)}), "m")
	src := top.source()
	src.User, src.Token = "ann", "secret"
	if _, err := Checkout(t.Context(), src, events.Revision{Commit: tip}, t.TempDir()); err != nil {
		t.Fatal(err)
	}
	if seen["own"] == "" || seen["other"] != "" {
		t.Errorf("credentials were sent: %v", seen)
	}
}

func FuzzModules(f *testing.F) {
	f.Add([]byte("[submodule \"x\"]\n\tpath = nested\n\turl = ../inner.git\n"))
	f.Add([]byte("[submodule]\n[submodule \"\"]\npath=\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		urls, err := parseModules(text)
		if err != nil {
			return
		}
		for _, raw := range urls {
			if u, err := resolveURL("https://example.com/a/b.git", raw); err == nil {
				_, _ = parseURL(u)
			}
		}
	})
}
