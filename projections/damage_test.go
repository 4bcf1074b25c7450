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

// TestEveryByteMatters flips a bit in bytes all over the file: it is found, or the records read are all the same.
func TestEveryByteMatters(t *testing.T) {
	whole := filed(t, write(7, 40, 1))
	var want bytes.Buffer
	list := func(b []byte, to *bytes.Buffer) error {
		m, err := readMeta(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return err
		}
		_, err = inspect(bytes.NewReader(b), m, func(t table, key, payload []byte) error {
			fmt.Fprintf(to, "%s %x %x\n", t, key, payload)
			return nil
		})
		return err
	}
	if err := list(whole, &want); err != nil {
		t.Fatal(err)
	}
	found, tried := 0, 0
	for i := 0; i < len(whole); i += 1 + i%43 {
		tried++
		damaged := bytes.Clone(whole)
		damaged[i] ^= 1 << (i % 8)
		var got bytes.Buffer
		switch err := list(damaged, &got); {
		case err != nil && !errors.Is(err, errDamaged):
			t.Fatalf("byte %d: %v", i, err)
		case err != nil:
			found++
		case got.String() != want.String() && i >= 2*pageSize: // in the meta pages: an older transaction is as good
			t.Fatalf("byte %d was changed, and so was what is read", i)
		}
	}
	if found < tried/5 {
		t.Errorf("only %d of %d bytes matter", found, tried)
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

// TestTorn takes pages of an older state of the file into a newer one, as a power cut does that loses writes.
func TestTorn(t *testing.T) {
	all := write(10, 1200, 3)
	opts := quiet(filepath.Join(scratch(t), "projection.db"))
	log := newTape(all)
	log.show(400)
	s := run(t, opts, log)
	s.until(400)
	var states [][]byte
	for n := 401; n <= 1200; n += 10 {
		log.show(n)
		s.until(n)
		b, err := os.ReadFile(opts.Path)
		if err != nil {
			t.Fatal(err)
		}
		states = append(states, b)
	}
	s.halt()
	rng, lost, found := rand.New(rand.NewPCG(10, 10)), 0, 0
	for i, now := range states[1:] {
		before := states[max(0, i-rng.IntN(4))]
		torn := bytes.Clone(now)
		differ := 0
		for page := 2 * pageSize; page < min(len(before), len(now)); page += pageSize {
			if bytes.Equal(before[page:page+pageSize], now[page:page+pageSize]) || rng.IntN(3) > 0 {
				continue
			}
			copy(torn[page:], before[page:page+pageSize])
			differ++
		}
		if differ == 0 {
			continue
		}
		lost++
		got, err := inspectFile(bytes.NewReader(torn), int64(len(torn)))
		if err != nil {
			found++
			continue
		}
		if whole, err := inspectFile(bytes.NewReader(now), int64(len(now))); err != nil || got != whole {
			t.Fatalf("state %d: torn, and taken for %s (%v)", i, got.At, err)
		}
	}
	if lost < 50 || found < lost/2 {
		t.Errorf("%d of %d torn files were found", found, lost)
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

func FuzzInspect(f *testing.F) {
	whole := filed(f, write(14, 40, 1))
	f.Add(whole, uint32(0), byte(0))
	f.Add(whole, uint32(3*pageSize+10), byte(1))
	f.Fuzz(func(t *testing.T, b []byte, at uint32, with byte) {
		if len(b) > 1<<20 {
			return
		}
		if len(b) > 0 {
			b = bytes.Clone(b)
			b[int(at)%len(b)] ^= with
		}
		if _, err := inspectFile(bytes.NewReader(b), int64(len(b))); err != nil && !errors.Is(err, errDamaged) {
			t.Fatal(err)
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
