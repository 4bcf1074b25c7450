package git

import (
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"shiplog/events"
)

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
