package projections

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"shiplog/events"
	"shiplog/internal/deploy"
)

// Fold returns the state of an app after an event. It consumes the state it gets.
type Fold func(deploy.App, events.Recorded) deploy.App

// file is one open projection file with what is kept in memory beside it. One goroutine writes, any number read.
type file struct {
	db   *bolt.DB
	raw  *os.File // another handle, for reading without the memory map
	fold Fold

	private bool           // nobody reads yet, and it is thrown away when a write fails: no need for copies and stored folds
	readers sync.WaitGroup // those who may begin a transaction

	// mu is held by the writer while it commits, and by readers while they begin: so that what a reader sees in memory and
	// in its transaction is of one checkpoint. It is never held while a transaction is open.
	mu    sync.RWMutex
	state state
	apps  map[events.ID]*app
	names map[string]events.ID // of existing apps
	heads map[events.Subject]events.Head
}

// mapSize is the address space taken at first: a file under it never has to be mapped anew, for which bbolt would have to
// wait for every reader.
const mapSize = 1 << 30

// createFile makes an empty file at path, in place of whatever is there.
func createFile(path string, fold Fold) (*file, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	f := &file{fold: fold}
	err := f.open(path)
	if err == nil {
		err = f.db.Update(func(tx *bolt.Tx) error {
			for _, name := range append(bucketNames[:], metaBucket) {
				if _, err := tx.CreateBucket([]byte(name)); err != nil {
					return err
				}
			}
			return f.state.put(tx)
		})
	}
	if err != nil {
		f.abandon()
		return nil, fmt.Errorf("create %s: %w", path, err)
	}
	f.apps, f.names, f.heads = map[events.ID]*app{}, map[string]events.ID{}, map[events.Subject]events.Head{}
	return f, nil
}

// openFile opens a file that is there. Whatever is wrong inside it is errDamaged.
func openFile(path string, fold Fold) (*file, error) {
	raw, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer raw.Close()
	info, err := raw.Stat()
	if err != nil {
		return nil, err
	}
	state, err := inspectFile(raw, info.Size())
	if err != nil {
		return nil, err
	}
	f := &file{fold: fold, state: state}
	if err := f.open(path); err != nil {
		f.abandon()
		return nil, err
	}
	if err := guard(f.load); err != nil {
		f.abandon()
		return nil, err
	}
	return f, nil
}

func (f *file) open(path string) error {
	return guard(func() (err error) {
		f.db, err = bolt.Open(path, 0o600, &bolt.Options{
			Timeout: time.Second, PageSize: pageSize, FreelistType: bolt.FreelistMapType, InitialMmapSize: mapSize,
			NoSync: true, NoGrowSync: true, NoStatistics: true,
		})
		if err != nil {
			return err
		}
		f.raw, err = os.Open(path)
		return err
	})
}

// guard runs what reads the memory map. A panic of bbolt and a fault in the map (the file was cut, the disk fails) are
// errors then, and mean damage.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = damagef("reading it failed: %v", p)
		}
	}()
	return f()
}

// project adds events in one transaction. When it fails nothing has changed, in the file or in memory.
func (f *file) project(list []events.Recorded) error { return f.write(list, false) }

// save stores every fold, so that the next start replays nothing.
func (f *file) save() error { return f.write(nil, true) }

func (f *file) write(list []events.Recorded, saveAll bool) error {
	b := &batch{
		file: f, state: f.state, apps: map[events.ID]*app{}, heads: map[events.Subject]events.Head{}, saveAll: saveAll,
	}
	return guard(func() error {
		tx, err := f.db.Begin(true)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		if err := b.apply(tx, list); err != nil {
			return err
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if err := tx.Commit(); err != nil {
			return fmt.Errorf("write the projection: %w", err)
		}
		f.publish(b)
		return nil
	})
}

func (f *file) publish(b *batch) {
	f.state = b.state
	for subject, head := range b.heads {
		f.heads[subject] = head
	}
	for id, a := range b.apps {
		f.apps[id] = a
		f.name(a)
	}
}

// name keeps the index of names of existing apps.
func (f *file) name(a *app) {
	name := a.state.Name
	if a.state.Exists() {
		f.names[name] = a.id
	} else if f.names[name] == a.id {
		delete(f.names, name)
	}
}

// load brings what is kept in memory to the checkpoint: stored folds, and the events since.
func (f *file) load() error {
	f.apps, f.names, f.heads = map[events.ID]*app{}, map[string]events.ID{}, map[events.Subject]events.Head{}
	return f.db.View(func(tx *bolt.Tx) error {
		err := tx.Bucket([]byte(bucketNames[headsTable])).ForEach(func(subject, value []byte) error {
			var head events.Head
			err := decodeRecord(headsTable, subject, value, &head)
			f.heads[events.Subject(subject)] = head
			return err
		})
		if err != nil {
			return err
		}
		return tx.Bucket([]byte(bucketNames[foldsTable])).ForEach(func(key, value []byte) error {
			var stored storedFold
			if err := decodeRecord(foldsTable, key, value, &stored); err != nil {
				return err
			}
			a := &app{id: stored.ID, state: stored.State, stored: len(value)}
			if err := f.catchUp(tx, a, stored.Sequence); err != nil {
				return err
			}
			f.apps[a.id] = a
			f.name(a)
			return nil
		})
	})
}

// catchUp folds the app's events after a sequence, and finds how long its lists are.
func (f *file) catchUp(tx *bolt.Tx, a *app, after uint64) (err error) {
	a.deployments = length(tx, deploymentsTable, a.id)
	a.pushes = length(tx, pushesTable, a.id)
	if blocks := length(tx, timelineTable, a.id); blocks > 0 {
		last, err := must(tx, timelineTable, appKey(a.id, blocks-1))
		if err != nil {
			return err
		}
		a.events = (blocks-1)*blockSize + uint64(len(last)/8)
	}
	if a.moment, err = lastMoment(tx, a.id, endOfTime); err != nil {
		return err
	}
	var missed []events.Recorded
	for n := a.events; n > 0; n-- {
		sequence, err := sequenceAt(tx, a.id, n-1)
		if err != nil {
			return err
		}
		if sequence <= after {
			break
		}
		r, err := readEvent(tx, f.state.At.Epoch, sequence)
		if err != nil {
			return err
		}
		missed = append(missed, r)
	}
	for i := len(missed) - 1; i >= 0; i-- {
		a.state = foldSafely(f.fold, a.state, missed[i])
		a.unsaved += 256 + len(missed[i].Body)
	}
	return findOpen(tx, a)
}

// length returns how many ordinals an app has in a table.
func length(tx *bolt.Tx, t table, id events.ID) uint64 {
	c := tx.Bucket([]byte(bucketNames[t])).Cursor()
	end := appKey(id, ^uint64(0))
	key, _ := c.Seek(end)
	if key == nil {
		key, _ = c.Last()
	} else {
		key, _ = c.Prev()
	}
	if len(key) != len(end) || string(key[:16]) != string(end[:16]) {
		return 0
	}
	return lastNumber(key) + 1
}

func decodeRecord(t table, key, value []byte, into any) error {
	payload, err := opened(bucketNames[t], seeds[t], key, value)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(payload, into); err != nil {
		return damagef("%s: record %x cannot be read: %w", t, key, err)
	}
	return nil
}

// close waits for readers, syncs and closes.
func (f *file) close() error {
	f.readers.Wait()
	err := errors.Join(guard(f.db.Sync), guard(f.db.Close), f.raw.Close())
	if err != nil {
		return fmt.Errorf("close the projection: %w", err)
	}
	return nil
}

// abandon gives up a file that is damaged. Its readers and locks may be in any state, so nobody waits for it to close.
func (f *file) abandon() {
	if f.raw != nil {
		f.raw.Close()
	}
	if f.db != nil {
		go func() { _ = guard(f.db.Close) }()
	}
}
