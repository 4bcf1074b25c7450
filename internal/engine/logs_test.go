package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func logText(t *testing.T, b *bench, opts LogOptions) string {
	t.Helper()
	var text strings.Builder
	for line, err := range b.Logs(t.Context(), b.app, opts) {
		if err != nil {
			t.Fatal(err)
		}
		text.WriteString(line.Text + "\n")
	}
	return text.String()
}

func TestLogs(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.rollout("web", 1)
	r.Count = 2
	b.roll(r)
	b.roll(b.rollout("api", 2))
	for began := time.Now(); strings.Count(logText(t, b, LogOptions{}), "\n") < 3 && time.Since(began) < 10*time.Second; {
		time.Sleep(20 * time.Millisecond) // an instance can be healthy before the engine has written down what it said
	}
	seen := map[string]int{}
	for line, err := range b.Logs(t.Context(), b.app, LogOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		if time.Since(line.At).Abs() > time.Minute {
			t.Errorf("written at %v", line.At)
		}
		seen[line.Component+" "+strings.TrimPrefix(line.Instance, b.name)+" "+line.Text]++
	}
	want := map[string]int{
		"web -web-g1-1 testapp v1 starts": 1, "web -web-g1-2 testapp v1 starts": 1, "api -api-g2-1 testapp v2 starts": 1,
	}
	if fmt.Sprint(seen) != fmt.Sprint(want) {
		t.Errorf("%v", seen)
	}
	for _, tt := range []struct {
		opts  LogOptions
		lines int
	}{
		{LogOptions{Component: "web"}, 2}, {LogOptions{Component: "api"}, 1}, {LogOptions{Component: "none"}, 0}, {LogOptions{Instance: b.name + "-web-g1-2"}, 1},
		{LogOptions{Tail: 2}, 2}, {LogOptions{Tail: 100}, 3}, {LogOptions{Since: time.Now().Add(time.Hour)}, 0}, {LogOptions{Since: time.Now().Add(-time.Hour)}, 3},
	} {
		if got := strings.Count(logText(t, b, tt.opts), "\n"); got != tt.lines {
			t.Errorf("%+v: %d lines, want %d", tt.opts, got, tt.lines)
		}
	}
}

// Following: every line once and in order, over the restart of an instance, and with one that starts later.
func TestLogsFollow(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.rollout("web", 1)
	r.Env["TICK"] = "30ms"
	first := b.roll(r)[0]
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	got := map[string][]string{}
	stage := 0
	for line, err := range b.Logs(ctx, b.app, LogOptions{Follow: true}) {
		if err != nil {
			t.Fatal(err)
		}
		lines := append(got[line.Instance], line.Text)
		got[line.Instance] = lines
		switch {
		case stage == 0 && len(lines) == 10:
			stage++
			b.kill(first)
		case stage == 1 && line.Text == "tick 3" && slices.Index(lines, "tick 3") != len(lines)-1:
			stage++
			next := b.rollout("web", 2)
			next.Env["TICK"] = "30ms"
			b.roll(next)
		case stage == 2 && len(got[b.name+"-web-g2-1"]) == 20:
			cancel()
		}
	}
	if stage != 2 {
		t.Fatalf("stage %d: %q", stage, got)
	}
	for instance, lines := range got {
		want := 0
		for k, line := range lines {
			if line == "testapp v1 starts" || line == "testapp v2 starts" {
				want = 0
				continue
			}
			if want++; line != fmt.Sprint("tick ", want) {
				t.Fatalf("%s: line %d is %q, want tick %d:\n%q", instance, k, line, want, lines)
			}
		}
	}
}

// A caller that stops early leaves nothing running.
func TestLogsStopEarly(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.rollout("web", 1)
	r.Env["TICK"] = "10ms"
	b.roll(r)
	for _, opts := range []LogOptions{{Follow: true}, {}} {
		n := 0
		for range b.Logs(t.Context(), b.app, opts) {
			if n++; n == 3 {
				break
			}
		}
		if n != 3 {
			t.Errorf("%d lines", n)
		}
	}
}

func TestLineWriter(t *testing.T) {
	stamp := "2026-11-21T10:00:00.5Z "
	long := strings.Repeat("ä", maxLine)
	for _, tt := range []struct {
		what, in string
		want     []string
	}{
		{"lines", stamp + "one\n" + stamp + "two\n", []string{"one", "two"}},
		{"no break at the end", stamp + "one", []string{"one"}},
		{"an empty line", stamp + "\n", []string{""}},
		{"a bare timestamp", strings.TrimSpace(stamp) + "\n", []string{""}},
		{"carriage return", stamp + "one\r\n", []string{"one"}},
		{"not UTF-8", stamp + "a\xffb\n", []string{"a\ufffdb"}},
		{"no timestamp", "hello world\n", []string{"hello world"}},
		{"a long line", stamp + long + "\n" + stamp + "next\n", []string{long[:maxLine], long[maxLine:], "next"}},
		{"nothing", "", nil},
	} {
		for _, chunk := range []int{1, 7, 1 << 20} {
			if chunk == 1 && len(tt.in) > maxLine {
				continue
			}
			var got []string
			w := &lineWriter{emit: func(at time.Time, text string) bool {
				got = append(got, text)
				return true
			}}
			for part := range slices.Chunk([]byte(tt.in), chunk) {
				if _, err := w.Write(part); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.flush(); err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("%s by %d: %d lines, want %d (%v)", tt.what, chunk, len(got), len(tt.want), err)
			}
		}
	}
}

func FuzzLineWriter(f *testing.F) {
	f.Add([]byte("2026-11-21T10:00:00Z a b\n\xff\n2026-"), 3)
	f.Add([]byte(strings.Repeat("x", maxLine+100)), 1000)
	f.Fuzz(func(t *testing.T, in []byte, chunk int) {
		if chunk < 1 || chunk > 1<<20 {
			return
		}
		w := &lineWriter{emit: func(_ time.Time, text string) bool {
			if strings.Contains(text, "\n") || len(text) > 3*(maxLine+64) {
				t.Errorf("a line of %d bytes", len(text))
			}
			return true
		}}
		for part := range slices.Chunk(in, chunk) {
			if n, err := w.Write(part); n != len(part) || err != nil {
				t.Fatal(n, err)
			}
		}
		if err := w.flush(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestCursor(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	c := &cursor{}
	for _, s := range []int{1, 2, 2, 3, 3} {
		if !c.fresh(at(s)) {
			t.Errorf("%d is not fresh", s)
		}
	}
	c.skip = c.count // read again, from a second before
	var fresh []int
	for _, s := range []int{2, 2, 3, 3, 3, 4} {
		if c.fresh(at(s)) {
			fresh = append(fresh, s)
		}
	}
	if fmt.Sprint(fresh) != "[3 4]" {
		t.Errorf("fresh: %v", fresh)
	}
}
