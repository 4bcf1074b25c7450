package natslog

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"shiplog/events"
)

// What is kept free on the disk. JetStream does not survive a full one by itself: its stream is stuck from then on.
const (
	diskReserve       = 48 << 20 // for other than urgent appends
	diskReserveUrgent = 16 << 20
)

// disk is the free room under a directory, looked up at most every 250 ms.
type disk struct {
	mu    sync.Mutex
	free  int64 // bytes
	asked time.Time
}

func (d *disk) available(dir string) int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if time.Since(d.asked) > 250*time.Millisecond {
		var st unix.Statfs_t
		if err := unix.Statfs(dir, &st); err != nil {
			return 1 << 62 // not known: the write itself will tell
		}
		d.free, d.asked = int64(st.Bavail)*st.Bsize, time.Now()
	}
	return d.free
}

// checkDisk refuses an append of n bytes when the disk is nearly full.
func (s *Server) checkDisk(n int64, urgent bool) error {
	reserve := int64(diskReserve)
	if urgent {
		reserve = diskReserveUrgent
	}
	if s.opts.fillDisk {
		return nil
	}
	if free := s.disk.available(s.opts.Dir); free-n < reserve {
		kept := ", and the rest is kept for rollback, pin and stop"
		if urgent {
			kept = ""
		}
		return fmt.Errorf("%w: %d MiB are free on the disk of %s%s: make room there", events.ErrFull, free>>20, s.opts.Dir, kept)
	}
	return nil
}

// probe writes and syncs 1 MiB beside the streams: whether the disk takes data again.
func probe(dir string) error {
	path := filepath.Join(dir, ".probe")
	defer os.Remove(path)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, 1<<20))
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}
