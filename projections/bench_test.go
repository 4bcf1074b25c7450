package projections

import (
	"context"
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"shiplog/events"
)

// BenchmarkRebuild measures how fast a file is built from a log whose events are decoded already.
func BenchmarkRebuild(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		for _, apps := range []int{20, 1000} {
			all := write(3, n, apps)
			log := newTape(all)
			log.quick = true
			b.Run(fmt.Sprintf("events=%d/apps=%d", n, apps), func(b *testing.B) {
				before := cpu(b)
				for range b.N {
					r, err := Rebuild(context.Background(), quiet(filepath.Join(b.TempDir(), "projection.db")), log)
					if err != nil || r.Events != uint64(n) {
						b.Fatalf("%+v, %v", r, err)
					}
				}
				b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/float64(n)/float64(b.N), "cpu-ns/event")
				b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
			})
		}
	}
}

// BenchmarkLive measures how long an event takes from the log to being visible to queries.
func BenchmarkLive(b *testing.B) {
	const before = 20_000
	log := newTape(write(4, before+100_000, 50))
	log.quick = true
	log.show(before)
	s := run(b, quiet(filepath.Join(b.TempDir(), "projection.db")), log)
	s.until(before)
	b.ResetTimer()
	for i := range b.N {
		n := before + 1 + i%100_000
		log.show(n)
		if err := s.Wait(context.Background(), events.Position{Epoch: 1, Sequence: uint64(n)}); err != nil {
			b.Fatal(err)
		}
	}
}

// cpu is the processor time that this process has used, which tells more than the clock on a machine that others use too.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
