package git

import (
	"errors"
	"strings"
	"testing"
)

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
