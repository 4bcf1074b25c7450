package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// The projection is thrown away, cut and flipped in many ways; each time it is noticed where it matters, and what is
// built anew from the log is the same, byte for byte, and the same as what the test itself makes of the log.
func TestProjectionIsBuiltAnew(t *testing.T) {
	seed := fromEnv(t, "SHIPLOG_SEED", uint64(time.Now().UnixNano())%1_000_000)
	random := rand.New(rand.NewPCG(seed, 0))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("repeat with SHIPLOG_SEED=%d", seed)
		}
	})
	s := start(t)
	s.lived()
	before := s.projected()
	want := s.dump()
	if again := s.dump(); again != want {
		t.Errorf("two dumps of one projection differ:\n%s", firstDifference(want, again))
	}

	s.rebuildSays("the one that runs", "equal")
	s.sameDump("rebuilt while it runs", want)
	s.down()
	s.rebuildSays("the one that does not run", "no service answers", "equal")
	l := s.logged()
	l.sound(t)
	l.explains(t, want)
	l.agrees(t, before)

	file := s.path("projection.db")
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	used := len(bytes.TrimRight(whole, "\x00")) // the rest was set aside for growing
	t.Logf("%d events; the projection has %d bytes, the dump %d", len(l.events), used, len(want))
	flipped := func(bits int) []byte {
		b := bytes.Clone(whole)
		for range bits {
			at := random.IntN(used)
			for whole[at] == 0 { // most of a page holds nothing
				at = random.IntN(used)
			}
			b[at] ^= 1 << random.IntN(8)
		}
		return b
	}
	type damage struct {
		what  string
		bytes []byte // nil: no file at all
		sure  bool   // it cannot be harmless
	}
	list := []damage{{"deleted", nil, false}, {"emptied", []byte{}, true}, {"another file", bytes.Repeat([]byte("no projection\n"), 5000), true}, {"500 flips", flipped(500), true}}
	for range 4 {
		at := random.IntN(used)
		list = append(list, damage{fmt.Sprintf("cut at %d of %d", at, used), whole[:at], true})
	}
	for n := range 6 {
		list = append(list, damage{fmt.Sprintf("flip %d", n+1), flipped(1), false})
	}
	noticed := 0
	for _, d := range list {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		if d.bytes != nil {
			if err := os.WriteFile(file, d.bytes, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		was := s.aside()
		s.up()
		s.sameDump(d.what, want)
		if found := !slices.Equal(was, s.aside()); found {
			noticed++
		} else if d.sure {
			t.Errorf("%s: nothing was moved aside", d.what)
		}
		if left := s.aside(); len(left) > 2 {
			t.Errorf("%s: %d damaged files are kept: %v", d.what, len(left), left)
		}
		s.down()
	}
	t.Logf("%d of %d damages were noticed; what was not was harmless, as the dumps show", noticed, len(list))

	if err := os.WriteFile(file, list[3].bytes, 0o600); err != nil {
		t.Fatal(err)
	}
	s.rebuildSays("damaged, not running", "nothing to compare")
	s.up()
	s.sameDump("rebuilt after damage", want)
	s.flipWhileRunning(random, want)
	s.agreesStill(t, before)
}

// lived gives the service a history: two apps with pushes, a rollback, an end of it, a restart, and one that was deleted.
func (s *site) lived() {
	s.t.Helper()
	s.quick("hello")
	s.quick("gone")
	s.quick("empty")
	r := s.clone("hello")
	for _, name := range []string{"one", "two"} {
		r.hello(name)
		r.push()
		s.answers("hello", name)
		s.settled("hello")
	}
	s.shiplog("rollback", "hello", "v1", "--yes", "--reason", "two was no good: 100% of “requests” failed")
	r.hello("three")
	r.push()
	s.eventually("the push is held", 20*time.Second, func() error {
		if v := s.lastVerdict("hello"); v != "held by pin" {
			return fmt.Errorf("the verdict is %q", v)
		}
		return nil
	})
	s.shiplog("unpin", "hello", "--yes", "--wait")
	s.shiplog("restart", "hello")
	s.settled("hello")
	s.shiplog("apps", "delete", "gone", "--yes")
}

// dump is the projection as text.
func (s *site) dump() string {
	s.t.Helper()
	out, err := s.tryDump()
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

func (s *site) tryDump() (string, error) {
	out, err := s.fetch("GET", s.url+"/v2/projection/dump", nil)
	if err == nil && strings.Contains(string(out), "the dump ends early") {
		err = fmt.Errorf("%s", strings.TrimSpace(last(string(out), 300)))
	}
	return string(out), err
}

// sameDump waits until the projection is there, and compares it.
func (s *site) sameDump(what, want string) {
	s.t.Helper()
	var got string
	checkpoint, _, _ := strings.Cut(want, "\n")
	s.eventually(what+": the projection is there", 20*time.Second, func() (err error) {
		got, err = s.tryDump()
		if now, _, _ := strings.Cut(got, "\n"); err == nil && now != checkpoint {
			err = fmt.Errorf("it is at %s, want %s", now, checkpoint)
		}
		return err
	})
	if got != want {
		s.t.Errorf("%s: the dump is another one:\n%s", what, firstDifference(want, got))
	}
}

func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(w), len(g)) {
		var a, b string
		if i < len(w) {
			a = w[i]
		}
		if i < len(g) {
			b = g[i]
		}
		if a != b {
			return fmt.Sprintf("line %d was  %s\nline %d is   %s", i+1, a[:min(600, len(a))], i+1, b[:min(600, len(b))])
		}
	}
	return "none"
}

// aside lists the projections that were moved aside.
func (s *site) aside() []string {
	list, _ := filepath.Glob(s.path("projection.db.damaged-*"))
	return list
}

// rebuildSays runs the command, which must succeed and say every text.
func (s *site) rebuildSays(what string, texts ...string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, built.shiplog, "rebuild", "--data", s.dir)
	cmd.Env = append(os.Environ(), "SHIPLOG_URL="+s.url, "SHIPLOG_TOKEN="+s.token)
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Errorf("shiplog rebuild of %s: %v: %s", what, err, out)
	}
	for _, text := range texts {
		if !strings.Contains(string(out), text) {
			s.t.Errorf("shiplog rebuild of %s says %q, and not %q", what, out, text)
		}
	}
}

// flipWhileRunning flips bits of the file under the running service until it notices.
func (s *site) flipWhileRunning(random *rand.Rand, want string) {
	s.t.Helper()
	f, err := os.OpenFile(s.path("projection.db"), os.O_RDWR, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	whole, err := os.ReadFile(f.Name())
	if err != nil {
		s.t.Fatal(err)
	}
	used := len(bytes.TrimRight(whole, "\x00"))
	was := s.aside()
	for n := 1; n <= 200; n++ {
		at, one := int64(random.IntN(used)), make([]byte, 1)
		if _, err := f.ReadAt(one, at); err != nil {
			s.t.Fatal(err)
		}
		one[0] ^= 1 << random.IntN(8)
		if _, err := f.WriteAt(one, at); err != nil {
			s.t.Fatal(err)
		}
		got, err := s.tryDump()
		if err == nil && got == want {
			continue // in a page that holds nothing
		}
		if err == nil {
			s.t.Errorf("after flip %d, at %d, the dump is wrong and nothing was noticed:\n%s", n, at, firstDifference(want, got))
		}
		s.sameDump("flipped while it runs", want)
		s.eventually("the damaged projection is moved aside", 5*time.Second, func() error {
			if slices.Equal(was, s.aside()) {
				return fmt.Errorf("it is not")
			}
			return nil
		})
		s.t.Logf("flip %d under the running service was noticed: %v", n, err)
		return
	}
	s.t.Error("200 flips under the running service were not noticed")
}
