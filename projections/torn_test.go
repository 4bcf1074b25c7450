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

	bolt "go.etcd.io/bbolt"
)

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
		got := records(t, torn)
		if got == "" {
			found++
			continue
		}
		same(t, fmt.Sprintf("torn file %d", i), got, records(t, now))
	}
	if lost < 50 || found < lost/2 {
		t.Errorf("%d of %d torn files were found", found, lost)
	}
}

// TestSeal changes a file so that its structure and all its checksums fit, and yet it is not what was written.
func TestSeal(t *testing.T) {
	all := write(16, 300, 2)
	whole, want := filed(t, all), rebuilt(t, all, len(all))
	older := map[string][]byte{}
	edit(t, filed(t, all[:290]), func(heads *bolt.Bucket) error {
		return heads.ForEach(func(key, value []byte) error {
			older[string(key)] = bytes.Clone(value)
			return nil
		})
	})
	for name, spoil := range map[string]func(heads *bolt.Bucket) error{
		"a record less": func(heads *bolt.Bucket) error {
			key, _ := heads.Cursor().First()
			return heads.Delete(key)
		},
		"older records": func(heads *bolt.Bucket) error {
			for key, value := range older {
				if err := heads.Put([]byte(key), value); err != nil {
					return err
				}
			}
			return nil
		},
	} {
		if damage := survive(t, name, edit(t, whole, spoil), all, want); !strings.Contains(damage, "seal") {
			t.Errorf("%s: %q", name, damage)
		}
	}
}

// edit changes the heads in the bytes of a file.
func edit(t *testing.T, b []byte, use func(heads *bolt.Bucket) error) []byte {
	t.Helper()
	path := filepath.Join(scratch(t), "edited")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error { return use(tx.Bucket([]byte(headsTable.String()))) })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	if b, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	return b
}
