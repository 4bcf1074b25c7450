package git

import (
	"context"
	"encoding/hex"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"shiplog/events"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// list returns every path below dir with its type and permissions.
func list(t *testing.T, dir string) map[string]fs.FileMode {
	t.Helper()
	out := map[string]fs.FileMode{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if rel, _ := filepath.Rel(dir, p); rel != "." {
			out[rel] = info.Mode()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestCheckoutOfTheExactCommit(t *testing.T) {
	f := newForge(t)
	r := f.repo("hello.git", "uploadpack.allowReachableSHA1InWant=true")
	one := r.commit("refs/heads/main", r.files(map[string]string{"a.txt": "one", "dir/b.txt": "b"}), "first")
	script := r.blob("#!/bin/sh\n")
	tree := r.tree(entry{"120000", "link", r.blob("a.txt")}, entry{"100755", "run.sh", script})
	two := r.commit("refs/heads/main", tree, "second", one)

	dir, got, err := r.checkout(events.Revision{Ref: "refs/heads/main", Commit: one})
	if err != nil {
		t.Fatal(err)
	}
	if read(t, dir, "a.txt") != "one" || read(t, dir, "dir/b.txt") != "b" || len(list(t, dir)) != 3 {
		t.Errorf("files: %v", list(t, dir))
	}
	want := r.git(r.dir, "rev-parse", string(one)+"^{tree}")
	if got.Hash != want || got.Time.Unix() != 1700000000 || got.Message != "first\n" {
		t.Errorf("tree %+v, want %s", got, want)
	}
	for _, name := range []string{".", "a.txt", "dir", "dir/b.txt"} {
		if info, _ := os.Stat(filepath.Join(dir, name)); info.ModTime().Unix() != 1700000000 {
			t.Errorf("%s has the time %s, want the commit's", name, info.ModTime())
		}
	}

	dir, _, err = r.checkout(events.Revision{Commit: two})
	if err != nil {
		t.Fatal(err)
	}
	modes := list(t, dir)
	if modes["run.sh"] != 0o755 || modes["link"].Type() != fs.ModeSymlink {
		t.Errorf("modes: %v", modes)
	}
	if target, _ := os.Readlink(filepath.Join(dir, "link")); target != "a.txt" {
		t.Errorf("link points to %q", target)
	}
}

// TestCheckoutWhereTheServerRefusesExactCommits: git's default is to send only what a ref is at.
func TestCheckoutWhereTheServerRefusesExactCommits(t *testing.T) {
	f := newForge(t)
	r := f.repo("plain.git")
	var commits []events.Commit
	var parents []events.Commit
	for i := range firstDepth + 10 {
		c := r.commit("refs/heads/main", r.files(map[string]string{"n": strings.Repeat("x", i+1)}), "c", parents...)
		commits, parents = append(commits, c), []events.Commit{c}
	}
	side := r.commit("refs/heads/side", r.files(map[string]string{"side": "s"}), "side", commits[0])
	r.git(r.dir, "update-ref", "refs/heads/other", string(r.commit("", r.files(map[string]string{"o": "o"}), "o", side)))
	lost := r.commit("", r.files(map[string]string{"lost": "l"}), "lost")
	for _, c := range []struct {
		name string
		rev  events.Revision
		file string
	}{
		{"the tip", events.Revision{Ref: "refs/heads/main", Commit: commits[len(commits)-1]}, "n"},
		{"near the tip", events.Revision{Ref: "refs/heads/main", Commit: commits[len(commits)-5]}, "n"},
		{"deep", events.Revision{Ref: "refs/heads/main", Commit: commits[1]}, "n"},
		{"no ref known", events.Revision{Commit: commits[3]}, "n"},
		{"on another branch", events.Revision{Ref: "refs/heads/main", Commit: side}, "side"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if _, err := Checkout(t.Context(), r.source(), c.rev, dir); err != nil {
				t.Fatal(err)
			}
			if len(list(t, dir)) != 1 || read(t, dir, c.file) == "" {
				t.Errorf("files: %v", list(t, dir))
			}
		})
	}
	_, _, err := r.checkout(events.Revision{Ref: "refs/heads/main", Commit: lost})
	if !errors.Is(err, ErrNoRef) || !strings.Contains(err.Error(), string(lost)) || !strings.Contains(err.Error(), r.url) {
		t.Errorf("a lost commit: %v", err)
	}
}

func TestCheckoutOfAnAnnotatedTag(t *testing.T) {
	f := newForge(t)
	r := f.repo("tagged.git")
	c := r.commit("", r.files(map[string]string{"v": "1"}), "tagged only")
	r.commit("refs/heads/main", r.files(map[string]string{"v": "2"}), "main")
	r.git(r.dir, "tag", "-a", "-m", "one", "v1", string(c))
	dir, _, err := r.checkout(events.Revision{Ref: "refs/tags/v1", Commit: c})
	if err != nil || read(t, dir, "v") != "1" {
		t.Fatal(err)
	}
}

func TestCheckoutFromTheBuiltInRemote(t *testing.T) {
	f := newForge(t)
	r := f.repo("local.git")
	c := r.commit("refs/heads/main", r.files(map[string]string{"f": "x"}), "m")
	dir := t.TempDir()
	if _, err := Checkout(t.Context(), Source{Local: r.dir}, events.Revision{Commit: c}, dir); err != nil || read(t, dir, "f") != "x" {
		t.Fatal(err)
	}
	missing := events.Commit(strings.Repeat("12", 20))
	if _, err := Checkout(t.Context(), Source{Local: r.dir}, events.Revision{Commit: missing}, t.TempDir()); !errors.Is(err, ErrNoRef) {
		t.Errorf("a missing commit: %v", err)
	}
	if _, err := Checkout(t.Context(), Source{Local: r.dir + "x"}, events.Revision{Commit: c}, t.TempDir()); !errors.Is(err, ErrNoRef) {
		t.Errorf("a missing repository: %v", err)
	}
}

func TestSourcesThatAreRefused(t *testing.T) {
	f := newForge(t)
	r := f.repo("hello.git")
	c := r.commit("refs/heads/main", r.files(map[string]string{"f": "x"}), "m")
	for _, c := range []struct{ name, url string }{
		{"loopback", f.http.URL + "/hello.git"},
		{"a name for loopback", strings.Replace(f.http.URL, "127.0.0.1", "localhost", 1) + "/hello.git"},
		{"file", "file://" + r.dir},
		{"a path", r.dir},
		{"ext", "ext::sh -c true"},
		{"an option", "--upload-pack=true"},
		{"git to loopback", "git://127.0.0.1:1/x"},
		{"metadata", "http://169.254.169.254/latest/x"},
		{"mapped", "http://[::ffff:127.0.0.1]:1/x"},
		{"ssh without keys", "ssh://git@example.com/x/y"},
		{"scp-like", "git@example.com:x/y"},
		{"no path", "https://example.com"},
		{"empty", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			src := Source{URL: c.url}
			if _, err := Refs(t.Context(), src); !errors.Is(err, ErrRefused) {
				t.Errorf("Refs: %v", err)
			}
			_, err := Checkout(t.Context(), src, events.Revision{Commit: "1111111111111111111111111111111111111111"}, t.TempDir())
			if !errors.Is(err, ErrRefused) {
				t.Errorf("Checkout: %v", err)
			}
		})
	}
	if _, _, err := r.checkout(events.Revision{Commit: c}); err != nil {
		t.Errorf("listed: %v", err)
	}
}

func TestRedirects(t *testing.T) {
	f := newForge(t)
	r := f.repo("hello.git")
	c := r.commit("refs/heads/main", r.files(map[string]string{"f": "x"}), "m")
	var seen []string
	inner := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		seen = append(seen, q.Header.Get("Authorization"))
	}))
	t.Cleanup(inner.Close)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		to := inner.URL + q.URL.RequestURI()
		if strings.HasPrefix(q.URL.Path, "/old") {
			to = "/new" + strings.TrimPrefix(q.URL.RequestURI(), "/old")
		}
		if rest, ok := strings.CutPrefix(q.URL.Path, "/new"); ok {
			q.URL.Path = rest
			f.http.Config.Handler.ServeHTTP(w, q)
			return
		}
		http.Redirect(w, q, to, http.StatusFound)
	}))
	t.Cleanup(front.Close)
	_, err := Refs(t.Context(), Source{URL: front.URL + "/x.git", Allow: loopback, Token: "secret"})
	if !errors.Is(err, ErrRefused) || len(seen) != 0 {
		t.Errorf("to another host: %v, and it was asked %d times", err, len(seen))
	}
	dir := t.TempDir()
	src := Source{URL: front.URL + "/old/hello.git", Allow: loopback}
	if _, err := Checkout(t.Context(), src, events.Revision{Commit: c}, dir); err != nil || read(t, dir, "f") != "x" {
		t.Errorf("on the same host: %v", err)
	}
}

func TestErrorsKeepCredentialsAndNameTheServer(t *testing.T) {
	f := newForge(t)
	f.wrap = func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch user, password, _ := r.BasicAuth(); {
			case strings.HasPrefix(r.URL.Path, "/broken"):
				w.WriteHeader(500)
			case strings.HasPrefix(r.URL.Path, "/page"):
				_, _ = w.Write([]byte("<html>hello</html>"))
			case user != "ann" || password != "t0ken":
				w.Header().Set("WWW-Authenticate", "Basic")
				w.WriteHeader(401)
			default:
				h.ServeHTTP(w, r)
			}
		})
	}
	r := f.repo("hello.git")
	c := r.commit("refs/heads/main", r.files(map[string]string{"f": "x"}), "m")
	host := strings.TrimPrefix(f.http.URL, "http://")
	for _, c := range []struct {
		name, url   string
		user, token string
		want        error
	}{
		{"no credentials", f.http.URL + "/hello.git", "", "", ErrDenied},
		{"wrong ones in the URL", "http://ann:wr0ng@" + host + "/hello.git", "", "", ErrDenied},
		{"not there", "http://ann:t0ken@" + host + "/nothing.git", "", "", ErrNoRef},
		{"500", "http://ann:t0ken@" + host + "/broken.git", "", "", ErrUnreachable},
		{"a web page", "http://ann:t0ken@" + host + "/page.git", "", "", ErrUnreachable},
		{"nobody there", "http://ann:t0ken@127.0.0.1:1/hello.git", "", "", ErrUnreachable},
		{"no such name", "http://ann:t0ken@nowhere.invalid/hello.git", "", "", ErrUnreachable},
		{"in the URL", "http://ann:t0ken@" + host + "/hello.git", "", "", nil},
		{"beside it", f.http.URL + "/hello.git", "ann", "t0ken", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Refs(t.Context(), Source{URL: c.url, Allow: loopback, User: c.user, Token: c.token})
			if !errors.Is(err, c.want) || c.want == nil && err != nil {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if err != nil && (strings.Contains(err.Error(), "t0ken") || strings.Contains(err.Error(), "wr0ng") || !strings.Contains(err.Error(), Redact(c.url))) {
				t.Errorf("message: %v", err)
			}
		})
	}
	dir := t.TempDir()
	src := Source{URL: r.url, Allow: loopback, User: "ann", Token: "t0ken"}
	if _, err := Checkout(t.Context(), src, events.Revision{Commit: c}, dir); err != nil {
		t.Error(err)
	}
}

func TestAServerThatHangs(t *testing.T) {
	hang := make(chan struct{})
	hung := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(hung.Close)
	t.Cleanup(func() { close(hang) })
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	for _, url := range []string{hung.URL + "/x.git", "git://" + silent.Addr().String() + "/x.git"} {
		lim := defaultLimits
		lim.Time = 200 * time.Millisecond
		start := time.Now()
		_, err := checkout(t.Context(), Source{URL: url, Allow: loopback}, events.Revision{Commit: "1111111111111111111111111111111111111111"}, t.TempDir(), lim)
		if !errors.Is(err, ErrUnreachable) || time.Since(start) > 3*time.Second {
			t.Errorf("%s: %v after %s", url, err, time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		if _, err := Refs(ctx, Source{URL: url, Allow: loopback}); !errors.Is(err, ErrUnreachable) {
			t.Errorf("%s: %v", url, err)
		}
		cancel()
	}
}
