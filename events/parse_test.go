package events

import (
	"strings"
	"testing"
)

const (
	commit1   = "9a4df0b19a4df0b19a4df0b19a4df0b19a4df0b1"
	commit256 = "1eab30c21eab30c21eab30c21eab30c21eab30c21eab30c21eab30c21eab30c2"
)

func TestParse(t *testing.T) {
	parsers := map[string]func(string) (string, error){
		"ID":       func(s string) (string, error) { v, err := ParseID(s); return string(v), err },
		"Digest":   func(s string) (string, error) { v, err := ParseDigest(s); return string(v), err },
		"Commit":   func(s string) (string, error) { v, err := ParseCommit(s); return string(v), err },
		"RefName":  func(s string) (string, error) { v, err := ParseRefName(s); return string(v), err },
		"Revision": func(s string) (string, error) { v, err := ParseRevision(s); return v.String(), err },
	}
	id := "5b0f6f1e-6a0e-5d43-9a55-9b7a4e1d6c11"
	for _, c := range []struct{ parser, in, want string }{ // want "" is an error
		{"ID", id, id},
		{"ID", strings.ToUpper(id), id},
		{"ID", "", ""},
		{"ID", "{" + id + "}", ""},
		{"ID", strings.ReplaceAll(id, "-", ""), ""},
		{"ID", id[:35] + "g", ""},
		{"ID", "5b0f6f1e-6a0e-5d43-9a55-9b7a4e1d-c11", ""},
		{"ID", id + "\n", ""},
		{"Digest", "sha256:" + commit256, "sha256:" + commit256},
		{"Digest", "sha256:" + strings.ToUpper(commit256), ""},
		{"Digest", "sha512:" + commit256 + commit256, ""},
		{"Digest", commit256, ""},
		{"Digest", "sha256:" + commit1, ""},
		{"Commit", commit1, commit1},
		{"Commit", commit256, commit256},
		{"Commit", commit1[:39], ""},
		{"Commit", strings.Repeat("0", 40), ""},
		{"Commit", strings.Repeat("0", 64), ""},
		{"RefName", "refs/heads/main", "refs/heads/main"},
		{"RefName", "refs/heads/feature/a.b-c_d", "refs/heads/feature/a.b-c_d"},
		{"RefName", "refs/heads/$(id)", "refs/heads/$(id)"}, // git allows it: no shell may ever see it
		{"RefName", "refs/heads/größe", "refs/heads/größe"},
		{"RefName", "refs/heads/@", "refs/heads/@"},
		{"RefName", "main", ""},
		{"RefName", "refs/heads", ""},
		{"RefName", "refs/heads/", ""},
		{"RefName", "refs/heads//a", ""},
		{"RefName", "refs/heads/-x", ""},
		{"RefName", "refs/heads/a/--upload-pack=x", ""},
		{"RefName", "refs/heads/a..b", ""},
		{"RefName", "refs/heads/.a", ""},
		{"RefName", "refs/heads/a.", ""},
		{"RefName", "refs/heads/a.lock", ""},
		{"RefName", "refs/heads/a.lock/b", ""},
		{"RefName", "refs/heads/a@{1}", ""},
		{"RefName", "refs/heads/a b", ""},
		{"RefName", "refs/heads/a\nb", ""},
		{"RefName", "refs/heads/a\x7f", ""},
		{"RefName", "refs/heads/a\\b", ""},
		{"RefName", "refs/heads/a\xff", ""},
		{"RefName", "refs/heads/" + strings.Repeat("a", 300), ""},
		{"Revision", "main@sha1:" + commit1, "main@sha1:" + commit1},
		{"Revision", "feature/x@sha256:" + commit256, "feature/x@sha256:" + commit256},
		{"Revision", "refs/tags/v1@sha1:" + commit1, "refs/tags/v1@sha1:" + commit1},
		{"Revision", "sha1:" + commit1, "sha1:" + commit1},
		{"Revision", "a@b@sha1:" + commit1, "a@b@sha1:" + commit1},
		{"Revision", "refs/heads/refs/x@sha1:" + commit1, "refs/heads/refs/x@sha1:" + commit1},
		{"Revision", "refs/heads/main@sha1:" + commit1, ""},
		{"Revision", "@sha1:" + commit1, ""},
		{"Revision", "main@sha256:" + commit1, ""},
		{"Revision", "main@" + commit1, ""},
		{"Revision", "main", ""},
		{"Revision", "-x@sha1:" + commit1, ""},
	} {
		got, err := parsers[c.parser](c.in)
		if (err != nil) != (c.want == "") || err == nil && got != c.want {
			t.Errorf("%s %q: %q, %v; want %q", c.parser, c.in, got, err, c.want)
		}
	}
	if r, err := ParseRevision(""); err != nil || !r.IsZero() || r.String() != "" {
		t.Errorf("the empty revision is %v, %v", r, err)
	}
}

func TestRevisionInverse(t *testing.T) {
	for _, ref := range []RefName{"", Branch("main"), Branch("a/b"), Branch("refs/x"), Branch("refs"), Branch("heads/x"), Branch("a@b"),
		Tag("v1"), Tag("a/b"), Tag("refs/heads/x"), "refs/pull/1/head", "refs/heads/refs/heads/x"} {
		for _, commit := range []Commit{commit1, commit256} {
			r := Revision{ref, commit}
			if got, err := ParseRevision(r.String()); err != nil || got != r {
				t.Errorf("%#v is written %q and reads %#v, %v", r, r, got, err)
			}
		}
	}
}

func TestSubjects(t *testing.T) {
	app := NamedID("app")
	if id, ok := AppSubject(app).App(); !ok || id != app {
		t.Errorf("the subject of %s is that of %s", app, id)
	}
	if _, ok := NameSubject("app", "hello").App(); ok {
		t.Error("a name's subject is an app's")
	}
	for s, good := range map[Subject]bool{
		AppSubject(app): true, NameSubject("app", "hello"): true, NameSubject("domain", "www.example.com"): true,
		"": false, "app": false, "app.": false, "app.*": false, "app.>": false, "app.a.b": false, "app.a b": false, "other.a": false,
		"name.app": false, "name..a": false, "name.app.a\n": false, "app.ü": false, Subject("app." + strings.Repeat("a", 300)): false,
	} {
		if err := s.Check(); (err == nil) != good {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestHeaderSafe(t *testing.T) {
	for in, want := range map[string]string{"a b\r\nc": "a-b--c", "ü\xff": "--", "A:z._-9": "A:z._-9", strings.Repeat("x", 200): strings.Repeat("x", 128)} {
		if got := HeaderSafe(in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}
