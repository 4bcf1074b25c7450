package builder

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestMemoryHogIsStopped(t *testing.T) {
	r := newRoom(t, func(o *Options) { o.Limits.Memory = 192 << 20 })
	job, _ := r.job(map[string]string{"Dockerfile": "FROM busybox\nRUN head -c 1000000000 /dev/zero | sort > /dev/null\n"})
	f := r.fails(job)
	want(t, f.Reason, "out of memory", "192 MiB", "Dockerfile:2")
	if f.Retry {
		t.Error("it would run out of memory again")
	}
	r.clean()
}

func TestForkBombIsStopped(t *testing.T) {
	r := newRoom(t, func(o *Options) { o.Limits.PIDs, o.Limits.Time = 100, 20*time.Second })
	job, _ := r.job(map[string]string{"Dockerfile": "FROM busybox\nRUN for i in $(seq 1000); do sleep 1000 & done\n"})
	start := time.Now()
	f := r.fails(job)
	want(t, f.Reason, "out of processes", "limit 100")
	if took := time.Since(start); took > 15*time.Second {
		t.Errorf("it took %v", took)
	}
	r.clean()
}

func TestLogFloodIsCapped(t *testing.T) {
	r := newRoom(t, func(o *Options) { o.Limits.LogBytes = 64 << 10 })
	job, log := r.job(map[string]string{"Dockerfile": "FROM busybox\nRUN yes | head -c 20000000\n"})
	r.build(job)
	text := log.String()
	if len(text) > 65<<10 || !strings.HasSuffix(text, "\nThe build log is longer than 64 KiB: the rest is not kept.\n") {
		t.Errorf("the log has %d bytes and ends in %q", len(text), text[max(0, len(text)-100):])
	}
}

func TestFullDiskStopsTheBuild(t *testing.T) {
	r := newRoom(t, func(o *Options) { o.Limits.DiskFree = 1 << 60 })
	job, _ := r.job(map[string]string{"Dockerfile": "FROM busybox\nRUN sleep 1000\n"})
	f := r.fails(job)
	want(t, f.Reason, "disk has less than", "make room")
	if !f.Retry {
		t.Error("it is not the build's fault")
	}
	r.clean()
}

func TestCapped(t *testing.T) {
	var buf strings.Builder
	c := newCapped(&buf, 5)
	for _, s := range []string{"ab", "", "cde", "f\n", "g\n"} {
		if n, err := c.Write([]byte(s)); n != len(s) || err != nil {
			t.Errorf("Write(%q): %d, %v", s, n, err)
		}
	}
	if got := buf.String(); got != "abcde\nThe build log is longer than 0 KiB: the rest is not kept.\n" {
		t.Errorf("log: %q", got)
	}
	if _, err := newCapped(nil, 5).Write([]byte("too much")); err != nil {
		t.Error(err)
	}
}

func TestOwnCgroupsAreFound(t *testing.T) {
	trees, err := findCgroupTrees()
	if err != nil {
		t.Fatal(err)
	}
	for _, tree := range trees {
		if _, err := os.Stat(tree.dir); err != nil {
			t.Error(err)
		}
	}
}
