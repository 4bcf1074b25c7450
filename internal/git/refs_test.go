package git

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"shiplog/events"
)

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
