package projections

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"shiplog/events"
)

// filed returns the bytes of a closed projection file of a history.
func filed(t testing.TB, all []events.Recorded) []byte {
	t.Helper()
	path := filepath.Join(scratch(t), "projection.db")
	if _, err := Rebuild(t.Context(), quiet(path), newTape(all)); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// survive opens a damaged file, catches up with all, and demands that the projection is right, whatever was found.
// It returns what was wrong with the file.
func survive(t *testing.T, what string, damaged []byte, all []events.Recorded, want string) string {
	t.Helper()
	opts := quiet(filepath.Join(scratch(t), "projection.db"))
	if err := os.WriteFile(opts.Path, damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	s := run(t, opts, newTape(all))
	s.until(len(all))
	same(t, what, s.dump(), want)
	damage := s.Status().LastDamage
	s.halt()
	if _, err := os.Stat(opts.Path + ".damaged-1"); (err == nil) != (damage != "") {
		t.Fatalf("%s: damage %q, moved aside: %v", what, damage, err)
	}
	return damage
}

func TestBitFlips(t *testing.T) {
	all := write(5, 300, 3)
	whole, want := filed(t, all[:250]), rebuilt(t, all, len(all))
	rng := rand.New(rand.NewPCG(6, 6))
	found := 0
	for i := range 200 {
		damaged := bytes.Clone(whole)
		bit := rng.IntN(len(damaged) * 8)
		damaged[bit/8] ^= 1 << (bit % 8)
		if survive(t, fmt.Sprintf("flip %d of bit %d", i, bit), damaged, all, want) != "" {
			found++
		}
	}
	if found < 60 {
		t.Errorf("only %d of 200 flips were found", found)
	}
}

// records lists what a file holds; "" when there is doubt about it.
func records(t testing.TB, b []byte) string {
	t.Helper()
	m, err := readMeta(bytes.NewReader(b), int64(len(b)))
	var out bytes.Buffer
	if err == nil {
		_, err = inspect(bytes.NewReader(b), m, func(t table, key, payload []byte) error {
			fmt.Fprintf(&out, "%s %x %x\n", t, key, payload)
			return nil
		})
	}
	if err != nil && !errors.Is(err, errDamaged) {
		t.Fatal(err)
	}
	if err != nil {
		return ""
	}
	return out.String()
}

// TestEveryByteMatters flips a bit in bytes all over the file: it is found, or the records read are all the same.
func TestEveryByteMatters(t *testing.T) {
	whole := filed(t, write(7, 40, 1))
	want := records(t, whole)
	found, tried := 0, 0
	for i := 2 * pageSize; i < len(whole); i += 1 + i%43 {
		tried++
		damaged := bytes.Clone(whole)
		damaged[i] ^= 1 << (i % 8)
		switch got := records(t, damaged); got {
		case "":
			found++
		case want:
		default:
			t.Fatalf("byte %d was changed, and so was what is read", i)
		}
	}
	if want == "" || found < tried/5 {
		t.Errorf("only %d of %d bytes matter", found, tried)
	}
}

// TestBranches flips bytes of branch pages: their keys have no checksum, and lead lookups to the wrong page.
func TestBranches(t *testing.T) {
	whole := filed(t, write(7, 200, 1))
	tried := 0
	for at := 2 * pageSize; at < len(whole); at += pageSize {
		p, err := parsePage(uint64(at/pageSize), whole[at:at+pageSize])
		if err != nil || p.flags != branchPage {
			continue
		}
		if m, _ := readMeta(bytes.NewReader(whole), int64(len(whole))); p.id >= m.pages {
			continue
		}
		used := pageHeader
		_ = p.entries(func(_ uint32, key, _ []byte, _ uint64) error {
			used += element + len(key)
			return nil
		})
		for i := at; i < at+used; i++ {
			tried++
			damaged := bytes.Clone(whole)
			damaged[i] ^= 1 << (i % 8)
			if records(t, damaged) != "" {
				t.Fatalf("byte %d of branch page %d was changed, and nobody minds", i-at, p.id)
			}
		}
	}
	if tried < 100 {
		t.Errorf("the file has hardly any branches: %d bytes", tried)
	}
}

func TestTruncated(t *testing.T) {
	all := write(8, 700, 3)
	whole, want := filed(t, all[:600]), rebuilt(t, all, len(all))
	rng := rand.New(rand.NewPCG(8, 8))
	sizes := []int{0, 1, 4095, 4096, 4097, 8192, len(whole) - 1, len(whole) - pageSize}
	for range 12 {
		sizes = append(sizes, rng.IntN(len(whole)))
	}
	for _, n := range sizes {
		survive(t, fmt.Sprintf("cut to %d of %d", n, len(whole)), whole[:n], all, want)
	}
}

func TestStrangeFiles(t *testing.T) {
	all := write(9, 300, 2)
	want := rebuilt(t, all, len(all))
	for what, content := range map[string]string{"empty": "", "text": "hello", "zeros": strings.Repeat("\x00", 1<<16), "ones": strings.Repeat("\xff", 1<<16)} {
		if survive(t, what, []byte(content), all, want) == "" {
			t.Errorf("%s: nothing was found wrong", what)
		}
	}
}

func TestDeletedFile(t *testing.T) {
	all := write(11, 500, 3)
	opts := quiet(filepath.Join(scratch(t), "projection.db"))
	log := newTape(all)
	s := run(t, opts, log)
	s.until(len(all))
	want := s.dump()
	s.halt()
	if err := os.Remove(opts.Path); err != nil {
		t.Fatal(err)
	}
	s = run(t, opts, log)
	s.until(len(all))
	same(t, "after deletion", s.dump(), want)
}

// TestDamageWhileRunning breaks the file under a running store: reads never give a wrong answer, and it is rebuilt.
func TestDamageWhileRunning(t *testing.T) {
	all := write(12, 3000, 3)
	want := rebuilt(t, all, len(all))
	for name, spoil := range map[string]func(t *testing.T, path string){
		"cut": func(t *testing.T, path string) {
			if err := os.Truncate(path, 2*pageSize); err != nil {
				t.Fatal(err)
			}
		},
		"noise": func(t *testing.T, path string) {
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			info, _ := f.Stat()
			if _, err := f.WriteAt(bytes.Repeat([]byte{0xa5}, int(info.Size())-2*pageSize), 2*pageSize); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			opts := quiet(filepath.Join(scratch(t), "projection.db"))
			s := run(t, opts, newTape(all))
			s.until(len(all))
			app := all[1].Subject
			id, _ := app.App()
			before, total, err := s.Timeline(id, 0, 10000)
			if err != nil || total == 0 {
				t.Fatal(total, err)
			}
			spoil(t, opts.Path)
			if list, _, err := s.Timeline(id, 0, 10000); err != nil {
				if !errors.Is(err, ErrRebuilding) {
					t.Fatal(err)
				}
			} else if len(list) != len(before) {
				t.Fatalf("%d events, not %d", len(list), len(before))
			}
			if _, ok := s.State(id); !ok {
				t.Error("the state is gone while it is rebuilt")
			}
			s.eventually("rebuilt", func() bool {
				st := s.Status()
				return st.Rebuilds == 1 && !st.Rebuilding && st.LastDamage != ""
			})
			same(t, "rebuilt", s.dump(), want)
		})
	}
}

func TestKeepsTwoDamaged(t *testing.T) {
	all := write(13, 50, 1)
	opts := quiet(filepath.Join(scratch(t), "projection[1].db"))
	for i := range 5 {
		if err := os.WriteFile(opts.Path, fmt.Appendf(nil, "broken %d", i), 0o600); err != nil {
			t.Fatal(err)
		}
		s := run(t, opts, newTape(all))
		s.until(len(all))
		s.halt()
	}
	list, last := asides(opts.Path)
	if len(list) != 2 || last != 5 {
		t.Fatalf("%v, last %d", list, last)
	}
	if b, _ := os.ReadFile(opts.Path + ".damaged-4"); string(b) != "broken 3" {
		t.Errorf("%q", b)
	}
}

// FuzzInspect judges a sound file with a patch in it: it must neither panic nor run away, and never call changed records
// sound.
func FuzzInspect(f *testing.F) {
	whole := filed(f, write(14, 40, 1))
	want := records(f, whole)
	f.Add(uint32(0), []byte{1}, uint32(0))
	f.Add(uint32(3*pageSize+10), []byte{0xff, 0xff}, uint32(100))
	f.Fuzz(func(t *testing.T, at uint32, patch []byte, cut uint32) {
		b := bytes.Clone(whole[:len(whole)-int(cut)%pageSize])
		copy(b[int(at)%len(b):], patch)
		if got := records(t, b); got != "" && got != want && int(at)%len(b) >= 2*pageSize {
			t.Error("changed records passed for sound")
		}
	})
}

func FuzzDecodeEvent(f *testing.F) {
	for _, r := range write(15, 40, 2) {
		f.Add(encodeEvent(r))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeEvent(events.Position{Epoch: 1, Sequence: 1}, b)
		if err == nil && r.Hash.String() == "" {
			t.Error("an event without a hash")
		}
	})
}
