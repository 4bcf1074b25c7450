package events

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

// inverse fuzzes a parser: what it accepts is written back as something it reads the same, and is safe to show.
func inverse[T ~string](f *testing.F, parse func(string) (T, error), seeds ...string) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := parse(s)
		if err != nil {
			if v != "" {
				t.Errorf("%q is refused and gives %q", s, v)
			}
			if len(err.Error()) > 1000 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
			return
		}
		if again, err := parse(string(v)); err != nil || again != v {
			t.Errorf("%q gives %q, which gives %q, %v", s, v, again, err)
		}
		if strings.ContainsAny(string(v), " \n\r\t\x00") {
			t.Errorf("%q is accepted", s)
		}
	})
}

func FuzzParseID(f *testing.F) {
	inverse(f, ParseID, "5b0f6f1e-6a0e-5d43-9a55-9b7a4e1d6c11", "5B0F6F1E-6A0E-5D43-9A55-9B7A4E1D6C11", "")
}

func FuzzParseDigest(f *testing.F) {
	inverse(f, ParseDigest, "sha256:"+commit256, "sha256:"+commit1, "")
}

func FuzzParseRefName(f *testing.F) {
	inverse(f, ParseRefName, "refs/heads/main", "refs/tags/v1.0", "refs/heads/-x", "refs/heads/a..b", "refs/heads/\xff")
}

func FuzzParseRevision(f *testing.F) {
	for _, s := range []string{"main@sha1:" + commit1, "refs/tags/v1@sha256:" + commit256, "sha1:" + commit1, "a@b@sha1:" + commit1, ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRevision(s)
		if err != nil {
			return
		}
		if r.String() != s {
			t.Errorf("%q reads as %#v, which is written %q", s, r, r)
		}
		if r.Ref != "" {
			if _, err := ParseRefName(string(r.Ref)); err != nil {
				t.Error(err)
			}
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, k := range registry {
		f.Add(k.name, k.version, []byte("{}"))
		f.Add(k.name, k.version, golden(&testing.T{}, goldenFile(k.name, k.version), nil))
	}
	f.Add("Nothing", -1, []byte("null"))
	f.Fuzz(func(t *testing.T, name string, version int, body []byte) {
		e := Decode(name, version, body)
		if u, ok := e.(Unknown); ok {
			if u.Type != name || u.Version != version || u.Why == "" {
				t.Errorf("%#v for %q %d", u, name, version)
			}
			return
		}
		// What was read can be written, and then reads the same.
		again, err := Encode(e)
		if err != nil {
			if len(body) < MaxBytes/8 { // escapes can make it longer
				t.Errorf("%s reads, but cannot be written: %v", body, err)
			}
			return
		}
		if got := Decode(name, version, again); !reflect.DeepEqual(got, e) && !sameWritten(t, got, e) {
			t.Errorf("%s\nreads as %#v\nand then as %#v", body, e, got)
		}
	})
}

// sameWritten tells an empty map, slice or zone from a missing one: they mean the same.
func sameWritten(t *testing.T, a, b Event) bool {
	if _, ok := a.(Unknown); ok {
		return false
	}
	x, err1 := Encode(a)
	y, err2 := Encode(b)
	return err1 == nil && err2 == nil && string(x) == string(y)
}

func FuzzOpen(f *testing.F) {
	r, err := Seal("app.x", Hash{1}, Draft{ID: NamedID("x"), At: time.Unix(1, 0), Actor: Self, Cause: "c", Deployment: NamedID("d"), Event: AppStarted{}})
	if err != nil {
		f.Fatal(err)
	}
	h := r.Headers()
	f.Add("app.x", h[HeaderID], h[HeaderType], h[HeaderVersion], h[HeaderAt], h[HeaderActor], h[HeaderCause], h[HeaderDeployment], h[HeaderPrev], h[HeaderReader], r.Body)
	f.Add("", "", "", "", "", "", "", "", "", "", []byte(nil))
	f.Fuzz(func(t *testing.T, subject, id, name, version, at, actor, cause, deployment, prev, reader string, body []byte) {
		headers := map[string]string{HeaderID: id, HeaderType: name, HeaderVersion: version, HeaderAt: at, HeaderActor: actor, HeaderCause: cause,
			HeaderDeployment: deployment, HeaderPrev: prev, HeaderReader: reader}
		r, err := Open(Position{1, 1}, Subject(subject), func(name string) string { return headers[name] }, body)
		if err != nil {
			return
		}
		// Only one spelling is accepted: the hash covers every byte there was.
		for k, v := range r.Headers() {
			if headers[k] != v {
				t.Errorf("%s: %q was read as %q", k, headers[k], v)
			}
		}
		for k, v := range headers {
			if r.Headers()[k] != v {
				t.Errorf("%s: %q was read as %q", k, v, r.Headers()[k])
			}
		}
		for k := range headers {
			changed := map[string]string{}
			for name, v := range headers {
				changed[name] = v
			}
			changed[k] += "0"
			if other, err := Open(Position{1, 1}, r.Subject, func(name string) string { return changed[name] }, body); err == nil && other.Hash == r.Hash {
				t.Errorf("changing %s to %q leaves the hash", k, changed[k])
			}
		}
		if other, err := Open(Position{1, 1}, r.Subject+"x", func(name string) string { return headers[name] }, body); err == nil && other.Hash == r.Hash {
			t.Error("changing the subject leaves the hash")
		}
	})
}
