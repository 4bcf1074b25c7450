package natslog_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"shiplog/events"
	"shiplog/internal/natslog"
)

// smallDisk mounts a file system of some MiB.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("natslog-test", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Fatalf("mount a small tmpfs: %v: this test runs as root", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
			_ = unix.Unmount(dir, unix.MNT_DETACH)
		}
	})
	return dir
}

// fill writes files into dir until nothing fits any more.
func fill(t *testing.T, dir string) (filler string) {
	t.Helper()
	filler = filepath.Join(dir, "filler")
	f, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; size /= 2 {
		for err == nil {
			_, err = f.Write(make([]byte, size))
		}
		if !errors.Is(err, unix.ENOSPC) {
			t.Fatal(err)
		}
		err = nil
	}
	return filler
}

// On a full disk nothing is acknowledged that is not stored, and after room returned the log works again by itself.
func TestDiskFull(t *testing.T) {
	dir := smallDisk(t, "48m")
	s := start(t, natslog.ServerOptions{Dir: filepath.Join(dir, "nats")}.FillDisk())
	log := open(t, s, natslog.Options{Timeout: time.Second})
	acked := appendEach(t, log, 50)
	filler := fill(t, dir)

	refused := 0
	for i := 50; refused < 3; i++ { // the server's last block may still have some room
		if i == 5000 {
			t.Fatal("appends go on although the disk is full")
		}
		began := time.Now()
		recorded, err := log.Append(t.Context(), single(i))
		if err == nil {
			acked = append(acked, recorded...)
			continue
		}
		refused++
		if !errors.Is(err, events.ErrUnavailable) && !errors.Is(err, events.ErrFull) {
			t.Errorf("event %d: %v", i, err)
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("the refusal took %s", took)
		}
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	for {
		recorded, err := log.Append(ctx, single(100_000))
		if err == nil {
			acked = append(acked, recorded...)
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("15 s after room returned: %v", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	stored := map[events.ID]int{}
	for _, r := range replay(t, log) {
		stored[r.ID]++
	}
	for _, r := range acked {
		if stored[r.ID] != 1 {
			t.Errorf("%s was acknowledged and is in the log %d times", r.ID, stored[r.ID])
		}
	}
	if err := log.Health(t.Context()); err != nil {
		t.Error(err)
	}
}

// Before the disk is full ordinary appends are refused, then urgent ones.
func TestDiskReserve(t *testing.T) {
	dir := smallDisk(t, "40m")
	log := open(t, start(t, natslog.ServerOptions{Dir: filepath.Join(dir, "nats")}), natslog.Options{})
	_, err := log.Append(t.Context(), single(1))
	wantError(t, err, events.ErrFull)
	urgent := single(1)
	urgent.Urgent = true
	if _, err := log.Append(t.Context(), urgent); err != nil {
		t.Errorf("an urgent append: %v", err)
	}
	fill(t, dir)
	time.Sleep(300 * time.Millisecond) // how long the free room is remembered
	_, err = log.Append(t.Context(), events.Append{Subject: "app.x", Urgent: true, Events: []events.Draft{push(2)}})
	wantError(t, err, events.ErrFull)
}
