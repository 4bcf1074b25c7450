package projections

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	bolt "go.etcd.io/bbolt"

	"shiplog/events"
)

// snapshot is one checkpoint held fast: its pages are not used again while tx is open.
type snapshot struct {
	tx    *bolt.Tx
	meta  meta
	state state
	apps  []*app // by key
}

// snapshot calls f with the store as it is now. The log goes on meanwhile.
func (s *Store) snapshot(use func(f *file, snap snapshot) error) error {
	f, err := s.reading()
	if err != nil {
		return err
	}
	defer f.readers.Done()
	err = guard(func() error {
		snap, err := f.snapshot()
		if err != nil {
			return err
		}
		defer snap.tx.Rollback()
		return use(f, snap)
	})
	if errors.Is(err, errDamaged) {
		s.condemn(f, err)
	}
	return err
}

func (f *file) snapshot() (snap snapshot, err error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	info, err := f.raw.Stat()
	if err != nil {
		return snap, err
	}
	if snap.meta, err = readMeta(f.raw, info.Size()); err != nil {
		return snap, err
	}
	snap.state, snap.apps = f.state, slices.Collect(maps.Values(f.apps))
	slices.SortFunc(snap.apps, func(a, b *app) int { return cmp.Compare(string(idKey(a.id)), string(idKey(b.id))) })
	snap.tx, err = f.db.Begin(false)
	return snap, err
}

// Dump writes every table as text, one record a line, sorted, once all of it is verified. Equal histories have equal
// dumps, byte for byte, however they were batched: folds are written as they are at the checkpoint.
func (s *Store) Dump(w io.Writer) error {
	out := bufio.NewWriterSize(w, 1<<16)
	return s.snapshot(func(f *file, snap snapshot) error {
		fmt.Fprintf(out, "checkpoint %s %s\nstream %d %s\n", snap.state.At, snap.state.Hash, snap.state.At.Epoch, snap.state.First)
		_, err := inspect(f.raw, snap.meta, func(t table, key, payload []byte) error {
			if t == foldsTable {
				return nil
			}
			_, err := fmt.Fprintf(out, "%s %x %q\n", t, key, payload)
			return err
		})
		if err != nil {
			return err
		}
		for _, a := range snap.apps {
			state, err := json.Marshal(a.state)
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "%s %x %q\n", foldsTable, idKey(a.id), state)
		}
		return out.Flush()
	})
}

// Check reads everything and verifies it: the file's structure, every record's checksum, every table's seal, every
// event's hash and place in its chain, that the events and the lists of every app have no gap. What it finds is an error
// that says where, and starts a rebuild.
func (s *Store) Check() error {
	return s.snapshot(func(f *file, snap snapshot) error {
		c := checker{snap: snap, chain: map[events.Subject]events.Hash{}}
		if _, err := inspect(f.raw, snap.meta, c.record); err != nil {
			return err
		}
		if c.last != snap.state.At.Sequence {
			return damagef("its last event is %d, its checkpoint %s", c.last, snap.state.At)
		}
		if c.listed != c.ofApps {
			return damagef("%d events are of apps, their timelines have %d", c.ofApps, c.listed)
		}
		return nil
	})
}

// checker sees all records, table by table; events come before heads and timeline.
type checker struct {
	snap   snapshot
	last   uint64                         // sequence of the event before
	chain  map[events.Subject]events.Hash // hash of each subject's last event
	ofApps uint64
	listed uint64
	list   []byte // table and app of the ordinal before
	next   uint64
}

func (c *checker) record(t table, key, payload []byte) error {
	switch t {
	case eventsTable:
		return c.event(lastNumber(key), payload)
	case headsTable:
		var head events.Head
		if err := json.Unmarshal(payload, &head); err != nil || head.Hash != c.chain[events.Subject(key)] {
			return damagef("%s: the head of %s is not its last event", t, key)
		}
	case timelineTable:
		c.listed += uint64(len(payload) / 8)
		return c.ordinal(t, key)
	case deploymentsTable, pushesTable:
		return c.ordinal(t, key)
	}
	return nil
}

func (c *checker) event(sequence uint64, payload []byte) error {
	if c.last != 0 && sequence != c.last+1 {
		return damagef("after event %d comes event %d", c.last, sequence)
	}
	c.last = sequence
	r, err := decodeEvent(events.Position{Epoch: c.snap.state.At.Epoch, Sequence: sequence}, payload)
	if err != nil {
		return damagef("%w", err)
	}
	if r.Prev != c.chain[r.Subject] {
		return damagef("event %s does not follow the one before it on %s", r.Position, r.Subject)
	}
	c.chain[r.Subject] = r.Hash
	if _, ok := r.Subject.App(); ok {
		c.ofApps++
	}
	return nil
}

// ordinal verifies that an app's records are numbered from 0 without a gap.
func (c *checker) ordinal(t table, key []byte) error {
	list := append([]byte{byte(t)}, key[:16]...)
	if string(list) != string(c.list) {
		c.list, c.next = list, 0
	}
	if n := lastNumber(key); n != c.next {
		return damagef("%s: after ordinal %d comes %d", t, c.next, n)
	}
	c.next++
	return nil
}
