package git

import (
	"bytes"
	"compress/zlib"
	"context"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"shiplog/events"
)

// TestHostileTrees writes trees that git itself would refuse. Nothing may appear outside the directory.
func TestHostileTrees(t *testing.T) {
	f := newForge(t)
	r := f.repo("hostile.git", "uploadpack.allowAnySHA1InWant=true")
	blob := r.blob("x")
	dir := r.tree(entry{"100644", "f", blob})
	up := r.blob("../../../outside")
	abs := r.blob("/etc")
	for _, c := range []struct {
		name string
		tree string
		want error // nil: it is written
	}{
		{"dotdot file", r.tree(entry{"100644", "..", blob}), ErrRefused},
		{"dotdot directory", r.tree(entry{"40000", "..", dir}), ErrRefused},
		{"dot", r.tree(entry{"40000", ".", dir}), ErrRefused},
		{"a path", r.tree(entry{"100644", "a/b", blob}), ErrRefused},
		{"an absolute path", r.tree(entry{"100644", "/tmp/shiplog-hostile", blob}), ErrRefused},
		{"traversal", r.tree(entry{"100644", "../x", blob}), ErrRefused},
		{".git", r.tree(entry{"40000", ".git", dir}), ErrRefused},
		{".GIT", r.tree(entry{"40000", ".GIT", dir}), ErrRefused},
		{".git as a file", r.tree(entry{"100644", ".Git", blob}), ErrRefused},
		{"git~1", r.tree(entry{"40000", "GIT~1", dir}), ErrRefused},
		{".git with a dot", r.tree(entry{"40000", ".git. .", dir}), ErrRefused},
		{".git stream", r.tree(entry{"40000", ".git::$INDEX_ALLOCATION", dir}), ErrRefused},
		{".git with what HFS ignores", r.tree(entry{"40000", ".g\u200cit", dir}), ErrRefused},
		{".git in a directory", r.tree(entry{"40000", "a", r.tree(entry{"40000", ".git", dir})}), ErrRefused},
		{"a name twice", r.tree(entry{"100644", "a", blob}, entry{"100644", "a", blob}), ErrRefused},
		{"a symlink, then through it", r.tree(entry{"120000", "a", up}, entry{"40000", "a", dir}), ErrRefused},
		{"an absolute symlink, then a file over it", r.tree(entry{"120000", "a", r.blob("/tmp/shiplog-hostile")}, entry{"100644", "a", blob}), ErrRefused},
		{"an empty symlink", r.tree(entry{"120000", "a", r.blob("")}), ErrRefused},
		{"a symlink with a zero", r.tree(entry{"120000", "a", r.blob("a\x00b")}), ErrRefused},
		{"an endless symlink", r.tree(entry{"120000", "a", r.blob(strings.Repeat("a", 5000))}), ErrRefused},
		{".gitmodules as a symlink", r.tree(entry{"120000", ".gitmodules", abs}), ErrRefused},
		{"an unknown mode", r.tree(entry{"10644", "a", blob}), nil},
		{"a device's mode", r.tree(entry{"20644", "a", blob}), nil},
		{"a setuid file", r.tree(entry{"104755", "a", blob}), nil},
		{"a long name", r.tree(entry{"100644", strings.Repeat("a", 300), blob}), ErrRefused},
		{"Dockerfile as a symlink", r.tree(entry{"120000", "Dockerfile", up}, entry{"120000", "etc", abs}), nil},
		{"names that only look like it", r.tree(entry{"100644", ".gitignore", blob}, entry{"100644", "a..b", blob}, entry{"100644", "x.git", blob}), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			commit := r.commit("refs/heads/main", c.tree, "hostile")
			for _, src := range []Source{r.source(), {Local: r.dir}} {
				outer := t.TempDir()
				dir := filepath.Join(outer, "a", "b", "c")
				if err := os.MkdirAll(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				_, err := Checkout(context.Background(), src, events.Revision{Commit: commit}, dir)
				if !errors.Is(err, c.want) || c.want == nil && err != nil {
					t.Errorf("%s: got %v, want %v", src.name(), err, c.want)
				}
				for name, mode := range list(t, outer) {
					if mode&^(fs.ModePerm|fs.ModeDir|fs.ModeSymlink) != 0 {
						t.Errorf("%s has the mode %s", name, mode)
					}
					if name != "a" && name != "a/b" && name != "a/b/c" && !strings.HasPrefix(name, "a/b/c/") {
						t.Errorf("%s was written", name)
					}
					if isDotGit(filepath.Base(name)) || strings.Contains(name, "shiplog-fetch") {
						t.Errorf("%s is left", name)
					}
				}
			}
		})
	}
	if _, err := os.Lstat("/tmp/shiplog-hostile"); err == nil {
		t.Error("a file outside was written")
	}
}

func TestLimits(t *testing.T) {
	f := newForge(t)
	r := f.repo("big.git", "uploadpack.allowAnySHA1InWant=true", "core.compression=0")
	blob := r.blob(strings.Repeat("x", 1000))
	bomb := r.tree(entry{"100644", "f", blob}) // each level holds the one below ten times: 10^6 files in seven objects
	for range 6 {
		var level []entry
		for i := range 10 {
			level = append(level, entry{"40000", fmt.Sprint("d", i), bomb})
		}
		bomb = r.tree(level...)
	}
	deep := r.tree(entry{"100644", "f", blob})
	for range maxNesting + 10 {
		deep = r.tree(entry{"40000", "d", deep})
	}
	var noise strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&noise, "%x", sha1.Sum(fmt.Append(nil, i)))
	}
	for _, c := range []struct {
		name string
		tree string
		lim  func(*limits)
	}{
		{"files", bomb, func(l *limits) { l.Files = 500 }},
		{"bytes written", bomb, func(l *limits) { l.Bytes = 100_000 }},
		{"nesting", deep, func(*limits) {}},
		{"bytes fetched", r.tree(entry{"100644", "f", r.blob(noise.String())}), func(l *limits) { l.Bytes = 100_000 }},
		{"one object", r.tree(entry{"100644", "f", r.blob(noise.String())}), func(l *limits) { l.Object = 100_000 }},
		{"objects", deep, func(l *limits) { l.Objects = 100 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			lim := defaultLimits
			c.lim(&lim)
			_, err := checkout(t.Context(), r.source(), events.Revision{Commit: r.commit("refs/heads/main", c.tree, c.name)}, fast(t), lim)
			if !errors.Is(err, ErrTooBig) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// packOf makes a pack of raw entries.
func packOf(entries ...[]byte) []byte {
	b := binary.BigEndian.AppendUint32([]byte("PACK\x00\x00\x00\x02"), uint32(len(entries)))
	for _, e := range entries {
		b = append(b, e...)
	}
	sum := sha1.Sum(b)
	return append(b, sum[:]...)
}

// packed is an entry of a pack: its type, the size it states, what comes between, and its content.
func packed(kind byte, size uint64, between, content []byte) []byte {
	first := kind<<4 | byte(size&15)
	var b []byte
	for size >>= 4; size > 0; size >>= 7 {
		b = append(b, first|0x80)
		first = byte(size & 127)
	}
	b = append(append(b, first), between...)
	var z bytes.Buffer
	w := zlib.NewWriter(&z)
	_, _ = w.Write(content)
	_ = w.Close()
	return append(b, z.Bytes()...)
}

// TestDeltaBomb: a delta of a few bytes that says that it grows to a terabyte.
func TestDeltaBomb(t *testing.T) {
	delta := binary.AppendUvarint(binary.AppendUvarint(nil, 4), 1<<40)
	delta = append(delta, 0x90, 4)
	base := packed(3, 4, nil, []byte("base"))
	bomb := packed(6, uint64(len(delta)), []byte{byte(len(base))}, delta)
	for name, pack := range map[string][]byte{
		"delta":  packOf(base, bomb),
		"object": packOf(packed(3, 1<<40, nil, []byte("base"))),
	} {
		if err := measure(t.Context(), bytes.NewReader(pack), defaultLimits); !errors.Is(err, ErrTooBig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	good := binary.AppendUvarint(binary.AppendUvarint(nil, 4), 4)
	good = append(good, 0x90, 4)
	if err := measure(t.Context(), bytes.NewReader(packOf(base, packed(6, uint64(len(good)), []byte{byte(len(base))}, good))), defaultLimits); err != nil {
		t.Errorf("a small delta: %v", err)
	}
	for _, bad := range [][]byte{nil, []byte("PACK"), packOf(base)[:20], []byte("<html>not a pack at all</html>")} {
		if err := measure(t.Context(), bytes.NewReader(bad), defaultLimits); err == nil {
			t.Errorf("%q was taken for a pack", bad)
		}
	}
}

func FuzzPack(f *testing.F) {
	base := packed(3, 4, nil, []byte("base"))
	f.Add(packOf(base))
	f.Add(packOf(base, packed(6, 4, []byte{byte(len(base))}, []byte{4, 4, 0x90, 4})))
	f.Fuzz(func(t *testing.T, pack []byte) {
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Join(dir, "objects", "pack"), 0o755); err != nil {
			t.Fatal(err)
		}
		lim := defaultLimits
		lim.Object, lim.Objects = 1<<20, 1000
		s := &server{guard: &guard{}, budget: &budget{limits: lim}}
		if err := s.store(context.Background(), bytes.NewReader(pack), dir); err != nil {
			left, _ := os.ReadDir(filepath.Join(dir, "objects", "pack"))
			for _, e := range left {
				if strings.HasPrefix(e.Name(), "tmp_") {
					t.Errorf("%s is left", e.Name())
				}
			}
		}
	})
}

// TestAnEndlessPack: a server that never stops sending.
func TestAnEndlessPack(t *testing.T) {
	f := newForge(t)
	r := f.repo("endless.git")
	c := r.commit("refs/heads/main", r.files(map[string]string{"f": "x"}), "m")
	f.wrap = func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			if q.Method == "GET" {
				h.ServeHTTP(w, q)
				return
			}
			_, _ = io.Copy(io.Discard, q.Body)
			_, _ = io.WriteString(w, "0008NAK\n")
			packet := append([]byte("fff0\x01"), make([]byte, 0xfff0-5)...)
			for {
				if _, err := w.Write(packet); err != nil {
					return
				}
			}
		})
	}
	lim := defaultLimits
	lim.Bytes = 8 << 20
	dir := t.TempDir()
	if _, err := checkout(t.Context(), r.source(), events.Revision{Ref: "refs/heads/main", Commit: c}, dir, lim); !errors.Is(err, ErrTooBig) {
		t.Errorf("got %v", err)
	}
	if left := list(t, dir); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

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

func FuzzURL(f *testing.F) {
	for _, s := range []string{"https://u:p@example.com/x.git", "git@example.com:x/y", "ssh://h/p", "ext::x", "-x", "file:///etc", "http://[::1]:80/x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := parseURL(raw)
		if err != nil {
			if !errors.Is(err, ErrRefused) {
				t.Errorf("%q: %v", raw, err)
			}
			return
		}
		if u.Hostname() == "" || u.Scheme == "file" || strings.HasPrefix(u.Hostname(), "-") {
			t.Errorf("%q became %q", raw, u)
		}
	})
}

func TestRedact(t *testing.T) {
	for raw, want := range map[string]string{
		"https://user:secret@example.com/x.git": "https://example.com/x.git",
		"https://secret@example.com/x.git":      "https://example.com/x.git",
		"https://a:b@c:secret@example.com/x":    "https://example.com/x",
		"https://example.com/x?token=secret":    "https://example.com/x",
		"http://user:secret@[::1]:80/x":         "http://[::1]:80/x",
		"git@example.com:x/y.git":               "git@example.com:x/y.git",
		"user:secret@example.com/x":             "example.com/x",
		"https://example.com/a@b":               "https://example.com/a@b",
	} {
		if got := Redact(raw); got != want {
			t.Errorf("Redact(%q) = %q, want %q", raw, got, want)
		}
	}
}

func TestPublicAddresses(t *testing.T) {
	for address, want := range map[string]bool{
		"140.82.112.3": true, "1.1.1.1": true, "2606:4700::1111": true, "::ffff:1.1.1.1": true, "64:ff9b::101:101": true,
		"127.0.0.1": false, "127.9.9.9": false, "0.0.0.0": false, "10.1.2.3": false, "172.16.0.1": false, "192.168.1.1": false,
		"169.254.169.254": false, "100.64.0.1": false, "100.100.100.200": false, "224.0.0.1": false, "255.255.255.255": false,
		"192.0.2.1": false, "198.18.0.1": false, "240.0.0.1": false, "::": false, "::1": false, "fe80::1": false, "fc00::1": false,
		"fd00:ec2::254": false, "ff02::1": false, "::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "::127.0.0.1": false,
		"64:ff9b::7f00:1": false, "64:ff9b::a9fe:a9fe": false, "2002:7f00:1::": false, "2002:a00:1::1": false, "2001:db8::1": false, "fec0::1": false,
	} {
		if got := public(netip.MustParseAddr(address)); got != want {
			t.Errorf("public(%s) = %v", address, got)
		}
	}
}

// TestGitDaemon fetches over git:// from git's own server.
func TestGitDaemon(t *testing.T) {
	f := newForge(t)
	r := f.repo("hello.git")
	old := r.commit("refs/heads/main", r.files(map[string]string{"f": "old"}), "m")
	c := r.commit("refs/heads/main", r.files(map[string]string{"f": "x"}), "m", old)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	_, port, _ := net.SplitHostPort(address)
	_ = free.Close()
	cmd := exec.Command("git", "daemon", "--export-all", "--reuseaddr", "--listen=127.0.0.1", "--port="+port, "--base-path="+f.dir, f.dir)
	cmd.Env = append(testEnv(), "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Signal(os.Interrupt); _ = cmd.Wait() })
	for deadline := time.Now().Add(5 * time.Second); ; {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("git daemon does not start: ", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	src := Source{URL: "git://" + address + "/hello.git", Allow: loopback}
	if refs, err := Refs(t.Context(), src); err != nil || refs["refs/heads/main"] != c {
		t.Fatalf("%v, %v", refs, err)
	}
	for want, commit := range map[string]events.Commit{"x": c, "old": old} {
		dir := t.TempDir()
		if _, err := Checkout(t.Context(), src, events.Revision{Ref: "refs/heads/main", Commit: commit}, dir); err != nil || read(t, dir, "f") != want {
			t.Errorf("%s: %v", want, err)
		}
	}
	if _, err := Refs(t.Context(), Source{URL: "git://" + address + "/no.git", Allow: loopback}); !errors.Is(err, ErrNoRef) {
		t.Errorf("a repository that is not there: %v", err)
	}
}

func TestRefsAndCommits(t *testing.T) {
	f := newForge(t)
	r := f.repo("hello.git")
	old := r.commit("refs/heads/main", r.files(map[string]string{"f": "old"}), "old")
	c := r.commit("refs/heads/main", r.files(map[string]string{"f": "x"}), "m", old)
	r.git(r.dir, "tag", "-a", "-m", "one", "v1", string(old))
	r.git(r.dir, "tag", "-a", "-m", "two", "v1-again", "v1")
	r.git(r.dir, "tag", "light", string(c))
	r.git(r.dir, "tag", "of-a-file", r.blob("f"))
	r.git(r.dir, "update-ref", "refs/shiplog/keep/x", string(old))
	want := map[events.RefName]events.Commit{"refs/heads/main": c, "refs/tags/v1": old, "refs/tags/v1-again": old, "refs/tags/light": c}
	for _, src := range []Source{r.source(), {Local: r.dir}} {
		got, err := Refs(t.Context(), src)
		delete(got, "refs/tags/of-a-file") // a server does not say what a tag is of
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v, %v", src.name(), got, err)
		}
		some, err := Resolve(t.Context(), src, "refs/tags/v1", "refs/heads/no")
		if err != nil || len(some) != 1 || some["refs/tags/v1"] != old {
			t.Errorf("%s: %v, %v", src.name(), some, err)
		}
		for commit, want := range map[events.Commit]bool{c: true, old: true, events.Commit(strings.Repeat("1", 40)): false, events.Commit(r.blob("f")): false} {
			if got, err := HasCommit(t.Context(), src, commit); err != nil || got != want {
				t.Errorf("%s has %s: %v, %v", src.name(), commit, got, err)
			}
		}
	}
	empty := f.repo("empty.git")
	if refs, err := Refs(t.Context(), empty.source()); err != nil || len(refs) != 0 {
		t.Errorf("an empty repository: %v, %v", refs, err)
	}
	if _, _, err := empty.checkout(events.Revision{Commit: c}); !errors.Is(err, ErrNoRef) {
		t.Errorf("a checkout of an empty repository: %v", err)
	}
	if _, err := HasCommit(t.Context(), Source{URL: "http://127.0.0.1:1/x", Allow: loopback}, c); !errors.Is(err, ErrUnreachable) {
		t.Errorf("a server that is down: %v", err)
	}
	if d, err := Describe(r.dir, c); err != nil || d.Message != "m\n" || d.Author != "Ann <ann@example.org>" || d.Time.Unix() != 1700000000 {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestExpand(t *testing.T) {
	f := newForge(t)
	r := f.repo("hello.git")
	c := r.commit("refs/heads/main", r.files(map[string]string{"f": "x"}), "m")
	for n := 7; n <= 40; n++ {
		if got, err := Expand(r.dir, string(c[:n])); err != nil || got != c {
			t.Errorf("%d digits: %s, %v", n, got, err)
		}
	}
	for _, bad := range []string{"", string(c[:6]), strings.ToUpper(string(c)), string(c) + "0", "../../x", "1111111", r.blob("x")[:10]} {
		if got, err := Expand(r.dir, bad); !errors.Is(err, ErrNoRef) {
			t.Errorf("%q: %s, %v", bad, got, err)
		}
	}
	one, two := events.Commit(strings.Repeat("1", 40)), events.Commit(strings.Repeat("1", 39)+"2")
	var ambiguous *AmbiguousError
	if _, err := Only("1111111", []events.Commit{one, two, one}, "x"); !errors.As(err, &ambiguous) || !strings.Contains(err.Error(), string(two)) || len(ambiguous.Commits) != 2 {
		t.Errorf("ambiguous: %v", err)
	}
	r.git(r.dir, "gc", "--quiet")
	if got, err := Expand(r.dir, string(c[:9])); err != nil || got != c {
		t.Errorf("in a pack: %s, %v", got, err)
	}
}
