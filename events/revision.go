package events

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Commit is a full git object id in lower-case hex: 40 digits (SHA-1) or 64 (SHA-256). The zero value is "none".
type Commit string

// ParseCommit reads a full object id. The all-zero id, which git uses for "no object", is refused.
func ParseCommit(s string) (Commit, error) {
	if (len(s) != 40 && len(s) != 64) || !isHex(s) || strings.Trim(s, "0") == "" {
		return "", fmt.Errorf("%q is not a commit (40 or 64 lower-case hex digits)", clip(s))
	}
	return Commit(s), nil
}

// Short returns the first 7 digits, as git shows them.
func (c Commit) Short() string { return string(c[:min(7, len(c))]) }

// RefName is a full git ref name: "refs/heads/main", "refs/tags/v1". The zero value is "no ref".
type RefName string

// ParseRefName reads a full ref name under git's rules (git-check-ref-format(1)), and stricter: no name part may begin
// with "-", so that a ref can never be taken for an option.
func ParseRefName(s string) (RefName, error) {
	bad := func(why string) (RefName, error) {
		return "", fmt.Errorf("%q is not a full ref name: %s", clip(s), why)
	}
	switch {
	case !strings.HasPrefix(s, "refs/"):
		return bad("it does not begin with refs/")
	case len(s) > 255:
		return bad("it is longer than 255 bytes")
	case !utf8.ValidString(s): // git allows it, JSON does not carry it
		return bad("it is not UTF-8")
	case strings.ContainsAny(s, " ~^:?*[\\\x7f") || strings.Contains(s, "..") || strings.Contains(s, "@{"):
		return bad("git forbids a character in it")
	case strings.HasSuffix(s, "."):
		return bad("it ends in a dot")
	}
	parts := strings.Split(s, "/")
	if len(parts) < 3 {
		return bad("it has no name")
	}
	for _, p := range parts {
		if p == "" || p[0] == '.' || p[0] == '-' || strings.HasSuffix(p, ".lock") {
			return bad("a part of it is empty or begins or ends in a forbidden way")
		}
	}
	for _, c := range s {
		if c < ' ' {
			return bad("it has a control character")
		}
	}
	return RefName(s), nil
}

// Branch returns the ref of the branch called name, Tag that of the tag. Neither checks the name.
func Branch(name string) RefName { return RefName("refs/heads/" + name) }

// Tag returns the ref of the tag called name.
func Tag(name string) RefName { return RefName("refs/tags/" + name) }

// Short returns the name people use: "main" for refs/heads/main, "v1" for refs/tags/v1.
func (r RefName) Short() string {
	s := strings.TrimPrefix(string(r), "refs/heads/")
	return strings.TrimPrefix(s, "refs/tags/")
}

// IsBranch reports whether the ref is a branch, IsTag whether it is a tag.
func (r RefName) IsBranch() bool { return strings.HasPrefix(string(r), "refs/heads/") }

// IsTag reports whether the ref is a tag.
func (r RefName) IsTag() bool { return strings.HasPrefix(string(r), "refs/tags/") }

// Revision is a commit and the ref it was found at, written "main@sha1:<commit>" for a branch,
// "refs/tags/v1@sha1:<commit>" for any other ref, and "sha1:<commit>" when no ref is known. The form is Flux's.
// The zero value is "no revision" and is written as the empty string.
type Revision struct {
	Ref    RefName // where it was found; "" when a bare commit was asked for
	Commit Commit  // what is built
}

// ParseRevision is the inverse of String.
func ParseRevision(s string) (Revision, error) {
	if s == "" {
		return Revision{}, nil
	}
	name, id := "", s
	if i := strings.LastIndex(s, "@"); i >= 0 {
		name, id = s[:i], s[i+1:]
		if name == "" {
			return Revision{}, fmt.Errorf("%q has no ref before the @", clip(s))
		}
	}
	algorithm, hex, _ := strings.Cut(id, ":")
	commit, err := ParseCommit(hex)
	if err != nil {
		return Revision{}, fmt.Errorf("%q is not a revision (ref@sha1:commit): %w", clip(s), err)
	}
	if algorithm != commit.algorithm() {
		return Revision{}, fmt.Errorf("%q is not a revision: %s does not have %d digits", clip(s), clip(algorithm), len(hex))
	}
	if name == "" {
		return Revision{Commit: commit}, nil
	}
	if !strings.HasPrefix(name, "refs/") {
		name = "refs/heads/" + name
	} else if strings.HasPrefix(name, "refs/heads/") && !strings.HasPrefix(name, "refs/heads/refs/") {
		return Revision{}, fmt.Errorf("%q is not a revision: a branch is written by its short name", clip(s))
	}
	ref, err := ParseRefName(name)
	if err != nil {
		return Revision{}, err
	}
	return Revision{Ref: ref, Commit: commit}, nil
}

// String returns the written form.
func (r Revision) String() string {
	if r.Commit == "" {
		return ""
	}
	id := r.Commit.algorithm() + ":" + string(r.Commit)
	if r.Ref == "" {
		return id
	}
	name := string(r.Ref)
	if short, ok := strings.CutPrefix(name, "refs/heads/"); ok && !strings.HasPrefix(short, "refs/") {
		name = short
	}
	return name + "@" + id
}

// IsZero reports whether there is no revision.
func (r Revision) IsZero() bool { return r.Commit == "" }

// MarshalText writes the String form.
func (r Revision) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (r *Revision) UnmarshalText(b []byte) (err error) {
	*r, err = ParseRevision(string(b))
	return err
}

func (c Commit) algorithm() string {
	if len(c) == 64 {
		return "sha256"
	}
	return "sha1"
}
