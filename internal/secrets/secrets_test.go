package secrets

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"shiplog/events"
)

const canary = "canary-5f0c-value"

func open(t *testing.T) (s *Store, dir, keys string) {
	t.Helper()
	root := t.TempDir()
	dir, keys = filepath.Join(root, "secrets"), filepath.Join(root, "keys")
	s, err := Open(dir, keys)
	if err != nil {
		t.Fatal(err)
	}
	return s, dir, keys
}

func put(t *testing.T, s *Store, owner, name, value string) Version {
	t.Helper()
	v, err := s.Put(owner, name, []byte(value))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func fileOf(t *testing.T, dir string, v Version) string {
	t.Helper()
	found, _ := filepath.Glob(filepath.Join(dir, "*", "*", string(v)+".age"))
	if len(found) != 1 {
		t.Fatalf("files of %s: %v", v, found)
	}
	return found[0]
}

func TestPutGet(t *testing.T) {
	s, dir, keys := open(t)
	one := put(t, s, "app-1", "env/web/TOKEN", canary)
	if again := put(t, s, "app-1", "env/web/TOKEN", canary); again != one {
		t.Error("the same value got another version")
	}
	two := put(t, s, "app-1", "env/web/TOKEN", "other")
	if back := put(t, s, "app-1", "env/web/TOKEN", canary); back != one {
		t.Error("a value that comes back got a third version")
	}
	if elsewhere := put(t, s, "app-2", "env/web/TOKEN", canary); elsewhere == one {
		t.Error("two owners share a version")
	}
	s, err := Open(dir, keys) // as after a restart
	if err != nil {
		t.Fatal(err)
	}
	for v, want := range map[Version]string{one: canary, two: "other"} {
		if got, err := s.Get("app-1", "env/web/TOKEN", v); err != nil || string(got) != want {
			t.Errorf("got %q, %v", got, err)
		}
	}
	for _, c := range [][2]string{{"app-2", "env/web/TOKEN"}, {"app-1", "env/TOKEN"}, {"..", ".."}} {
		if _, err := s.Get(c[0], c[1], one); !errors.Is(err, ErrNotFound) {
			t.Errorf("%v: got %v", c, err)
		}
	}
	for _, v := range []Version{"", "../x", "zz", Version(strings.ToUpper(string(one)) + "A")} {
		if _, err := s.Get("app-1", "env/web/TOKEN", v); !errors.Is(err, ErrNotFound) {
			t.Errorf("%q: got %v", v, err)
		}
	}
}

func TestOddOwnersNamesAndValues(t *testing.T) {
	s, dir, _ := open(t)
	for i, name := range []string{"..", ".", "/", "../../x", "a/b", "a%2fb", "a b\x00\n", "é", strings.Repeat("n", 200)} {
		for _, value := range []string{"", "\x00\xff", strings.Repeat("x", MaxBytes)} {
			v := put(t, s, name, name, value)
			if got, err := s.Get(name, name, v); err != nil || string(got) != value {
				t.Errorf("%d: %v", i, err)
			}
			if found, err := s.find(name, v); err != nil || found != name {
				t.Errorf("find %q: %q, %v", name, found, err)
			}
		}
	}
	if outside, _ := filepath.Glob(filepath.Join(filepath.Dir(dir), "*")); len(outside) != 2 {
		t.Errorf("it wrote outside its directory: %v", outside)
	}
	for _, c := range [][2]string{{"", "x"}, {"x", ""}, {strings.Repeat("n", 300), "x"}, {"x", strings.Repeat("/", 200)}} {
		if _, err := s.Put(c[0], c[1], nil); err == nil {
			t.Errorf("%.20q was accepted", c)
		}
	}
	if _, err := s.Put("a", "b", make([]byte, MaxBytes+1)); err == nil {
		t.Error("a huge value was accepted")
	}
}

func TestFilesAreThereWithTheirModes(t *testing.T) {
	s, dir, keys := open(t)
	put(t, s, "app", "name", canary)
	for root, want := range map[string]int{dir: 1, keys: 1} {
		files := 0
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			if info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s has mode %o", path, info.Mode().Perm())
			}
			if d.IsDir() {
				return nil
			}
			files++
			content, err := os.ReadFile(path)
			if bytes.Contains(content, []byte(canary)) {
				t.Errorf("%s holds the value", path)
			}
			return err
		})
		if err != nil || files != want {
			t.Errorf("%s: %d files, %v", root, files, err)
		}
	}
}

func TestTampering(t *testing.T) {
	s, dir, _ := open(t)
	a, b := put(t, s, "app", "name", canary), put(t, s, "app", "name", "other")
	path := fileOf(t, dir, a)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string) {
		t.Helper()
		got, err := s.Get("app", "name", a)
		if err == nil || errors.Is(err, ErrNotFound) {
			t.Errorf("%s: got %q, %v", what, got, err)
		} else if strings.Contains(err.Error(), canary) {
			t.Errorf("%s: the error holds the value: %v", what, err)
		}
	}
	for i := range whole {
		bad := bytes.Clone(whole)
		bad[i] ^= 1
		os.WriteFile(path, bad, 0o600)
		check(fmt.Sprintf("bit in byte %d", i))
	}
	for _, n := range []int{0, 1, 100, len(whole) - 1} {
		os.WriteFile(path, whole[:n], 0o600)
		check(fmt.Sprintf("cut to %d", n))
	}
	// Another version's file in its place: encrypted to the right key, and still refused.
	other, _ := os.ReadFile(fileOf(t, dir, b))
	os.WriteFile(path, other, 0o600)
	check("swapped")

	// It does not keep anybody from setting the value anew.
	if v := put(t, s, "app", "name", canary); v == a {
		t.Error("the broken version was given again")
	}
}

func TestKey(t *testing.T) {
	_, dir, keys := open(t)
	key := filepath.Join(keys, "secrets.key")
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	s, err := Open(dir, keys)
	if err != nil {
		t.Fatalf("nothing is stored yet, so a new key does no harm: %v", err)
	}
	put(t, s, "app", "name", canary)

	text, _ := os.ReadFile(key)
	os.Remove(key)
	if _, err := Open(dir, keys); err == nil || !strings.Contains(err.Error(), "is missing") {
		t.Errorf("missing: %v", err)
	}
	if _, err := os.Stat(key); err == nil {
		t.Error("a new key was made over stored secrets")
	}
	os.WriteFile(key, []byte("AGE-SECRET-KEY-1"+canary), 0o600)
	if _, err := Open(dir, keys); err == nil || strings.Contains(err.Error(), canary) {
		t.Errorf("broken: %v", err)
	}
	os.WriteFile(key, text, 0o644)
	os.Chmod(key, 0o644)
	if _, err := Open(dir, keys); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("open to all: %v", err)
	}
	os.Chmod(key, 0o600)
	if _, err := Open(dir, keys); err != nil {
		t.Error(err)
	}

	// Another store's key opens nothing, and says so.
	_, _, otherKeys := open(t)
	s, err = Open(dir, otherKeys)
	if err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*", "*", "*.age"))
	v := Version(strings.TrimSuffix(filepath.Base(files[0]), ".age"))
	if _, err := s.Get("app", "name", v); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("another key: %v", err)
	}
}

func TestConcurrentPuts(t *testing.T) {
	s, dir, _ := open(t)
	versions := make([]Version, 24)
	var wg sync.WaitGroup
	for i := range versions {
		wg.Go(func() {
			v, err := s.Put("app", fmt.Sprint("name", i%2), fmt.Appendf(nil, "value %d", i%4))
			if err != nil {
				t.Error(err)
			}
			versions[i] = v
		})
	}
	wg.Wait()
	for i, v := range versions {
		if v != versions[i%4] {
			t.Errorf("%d and %d have one value and two versions", i, i%4)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*", "*", "*")); len(left) != 4 {
		t.Errorf("files: %v", left)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*", "*", ".new-*")); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
}

func sample() events.Spec {
	return events.Spec{Name: "shop",
		Envs:     []events.Env{{Key: "TOKEN", Value: canary, Type: "SECRET"}, {Key: "MODE", Value: "plain"}},
		Services: []events.Component{{Name: "web", Envs: []events.Env{{Key: "TOKEN", Value: canary + "2", Type: "SECRET"}}}},
		Workers:  []events.Component{{Name: "mail"}},
	}
}

func TestSealAndReveal(t *testing.T) {
	s, _, _ := open(t)
	in := sample()
	sealed, err := s.Seal("app", in)
	if err != nil {
		t.Fatal(err)
	}
	if in.Hash() != sample().Hash() {
		t.Error("the argument was changed")
	}
	if text := fmt.Sprintf("%+v", sealed); strings.Contains(text, canary) {
		t.Errorf("the value is in the sealed spec: %s", text)
	}
	if sealed.Envs[1].Value != "plain" || !strings.HasPrefix(sealed.Envs[0].Value, "EV[1:") {
		t.Errorf("got %+v", sealed.Envs)
	}
	again, err := s.Seal("app", sealed)
	if err != nil || again.Hash() != sealed.Hash() {
		t.Errorf("own references are not accepted as they are: %v", err)
	}
	if anew, err := s.Seal("app", sample()); err != nil || anew.Hash() != sealed.Hash() {
		t.Errorf("the same values make another spec: %v", err)
	}
	for want, e := range map[string]events.Env{canary: sealed.Envs[0], canary + "2": sealed.Services[0].Envs[0], "plain": sealed.Envs[1]} {
		if got, err := s.Reveal("app", e); err != nil || got != want {
			t.Errorf("reveal %s: %v", e.Key, err)
		}
	}
	moved := sealed.Envs[0]
	moved.Key = "RENAMED"
	if got, err := s.Reveal("app", moved); err != nil || got != canary {
		t.Errorf("a renamed variable lost its value: %v", err)
	}
}

func TestSealRefuses(t *testing.T) {
	s, dir, _ := open(t)
	other, err := s.Seal("other", sample())
	if err != nil {
		t.Fatal(err)
	}
	mine, err := s.Seal("app", sample())
	if err != nil {
		t.Fatal(err)
	}
	foreign, own := other.Envs[0].Value, mine.Services[0].Envs[0].Value
	v, _ := s.open("app", own)
	os.Remove(fileOf(t, dir, v))
	for _, c := range []struct{ value, kind, want string }{
		{foreign, "SECRET", "is not this app's"},
		{"EV[1:" + strings.Repeat("0", 32) + ":x]", "SECRET", "is not this app's"},
		{"EV[1:]", "SECRET", "is not this app's"},
		{"EV[1:abc:def", "SECRET", "is not this app's"},
		{"EV[2:" + own[5:], "SECRET", "is not this app's"},
		{own[:len(own)-2] + "]", "SECRET", "is not this app's"},
		{own, "SECRET", "is not stored here any more"},
		{own, "GENERAL", "give it type SECRET"},
		{"", "SECRET", "without a value"},
	} {
		in := sample()
		in.Services[0].Envs = append(in.Services[0].Envs, events.Env{Key: "SECOND", Value: c.value, Type: c.kind})
		_, err := s.Seal("app", in)
		var refused *Refused
		if !errors.As(err, &refused) || refused.Path != "services[0].envs[1].value" || refused.Key != "SECOND" || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: got %v, want %s", c.kind, c.value, err, c.want)
		}
		if c.kind == "SECRET" {
			if got, err := s.Reveal("app", events.Env{Key: "SECOND", Value: c.value, Type: c.kind}); err == nil {
				t.Errorf("revealed %q", got)
			}
		}
	}
}

func FuzzReference(f *testing.F) {
	root := f.TempDir()
	s, err := Open(filepath.Join(root, "s"), filepath.Join(root, "k"))
	if err != nil {
		f.Fatal(err)
	}
	v, err := s.Put("app", "n", []byte(canary))
	if err != nil {
		f.Fatal(err)
	}
	own := s.Reference("app", v)
	f.Add(own)
	f.Add("EV[1:::]")
	f.Fuzz(func(t *testing.T, reference string) {
		got, err := s.Reveal("app", events.Env{Key: "K", Value: reference, Type: "SECRET"})
		if (err == nil) != (reference == own) {
			t.Fatalf("%q gave %q, %v", reference, got, err)
		}
		if utf8.ValidString(reference) && unescape(escape(reference)) != reference {
			t.Fatalf("escape is not reversible for %q", reference)
		}
	})
}
