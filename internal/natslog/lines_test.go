package natslog_test

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"testing"
	"time"

	"shiplog/events"
	"shiplog/internal/deliveries"
	"shiplog/internal/logs"
	"shiplog/internal/natslog"
)

func openLines(t *testing.T) *natslog.Lines {
	t.Helper()
	lines, err := natslog.OpenLines(t.Context(), start(t, natslog.ServerOptions{}).Conn(), natslog.SideOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

var build = logs.Stream{App: events.NamedID("app"), Deployment: events.NamedID("deployment"), Component: "web", Kind: logs.Build}

func texts(t *testing.T, seq iter.Seq2[logs.Line, error]) []string {
	t.Helper()
	var out []string
	for line, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		if time.Since(line.At).Abs() > time.Minute {
			t.Fatalf("line %q is dated %s", line.Text, line.At)
		}
		out = append(out, line.Text)
	}
	return out
}

func wantTexts(t *testing.T, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") || len(got) != len(want) {
		t.Errorf("lines %q, want %q", got, want)
	}
}

func TestLines(t *testing.T) {
	store := openLines(t)
	wantTexts(t, texts(t, store.Read(t.Context(), build, false)))
	w := store.Writer(build)
	fmt.Fprint(w, "one\ntw")
	fmt.Fprint(w, "o\r\n\nlast without a break")
	other := build
	other.Kind = logs.Deploy
	ow := store.Writer(other)
	fmt.Fprintln(ow, "other")
	for _, c := range []interface{ Close() error }{w, ow, w} {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"one", "two", "", "last without a break"}
	for _, follow := range []bool{false, true} {
		wantTexts(t, texts(t, store.Read(t.Context(), build, follow)), want...)
	}
	if _, err := w.Write([]byte("late\n")); err == nil {
		t.Error("a closed log takes lines")
	}
	again := store.Writer(build)
	fmt.Fprintln(again, "second attempt")
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	wantTexts(t, texts(t, store.Read(t.Context(), build, true)), append(want, "second attempt")...)
}

func TestLinesFollowed(t *testing.T) {
	store := openLines(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	w := store.Writer(build)
	step := make(chan struct{}, 1)
	written := make(chan time.Time, 3)
	go func() {
		for i := range 3 {
			<-step
			written <- time.Now()
			fmt.Fprintln(w, "line", i)
		}
		<-step
		w.Close()
	}()
	step <- struct{}{}
	n := 0
	for line, err := range store.Read(ctx, build, true) {
		if err != nil || line.Text != fmt.Sprint("line ", n) {
			t.Fatalf("line %d is %q, %v", n, line.Text, err)
		}
		if late := time.Since(<-written); late > time.Second { // 250 ms on an idle machine
			t.Errorf("line %d could be read after %s", n, late)
		}
		n++
		step <- struct{}{}
	}
	if n != 3 || ctx.Err() != nil {
		t.Errorf("following ended after %d lines, %v", n, ctx.Err())
	}
}

func TestLinesFollowEndsWithContext(t *testing.T) {
	store := openLines(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	wantTexts(t, texts(t, store.Read(ctx, build, true)))
}

func TestLinesLimits(t *testing.T) {
	store := openLines(t)
	w := store.Writer(build)
	long := strings.Repeat("x", 100<<10)
	fmt.Fprintln(w, long)
	for range 11 << 10 {
		fmt.Fprintln(w, long[:1023])
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	got := texts(t, store.Read(t.Context(), build, true))
	if len(got[0]) != 64<<10 || len(got[1]) != 36<<10 {
		t.Errorf("a line of 100 KiB came back in %d and %d bytes", len(got[0]), len(got[1]))
	}
	size := 0
	for _, x := range got {
		size += len(x) + 1
	}
	if size > 10<<20+100 || size < 10<<20-2048 || !strings.Contains(got[len(got)-1], "10 MiB") {
		t.Errorf("%d bytes were kept, the last line is %q", size, got[len(got)-1])
	}
}

func TestDeliveries(t *testing.T) {
	store, err := natslog.OpenDeliveries(t.Context(), start(t, natslog.ServerOptions{}).Conn(), natslog.SideOptions{})
	if err != nil {
		t.Fatal(err)
	}
	list := func(limit int) string {
		t.Helper()
		all, err := store.List(t.Context(), limit)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, d := range all {
			ids = append(ids, d.ID)
		}
		return strings.Join(ids, " ")
	}
	if got := list(5); got != "" {
		t.Errorf("an empty store lists %q", got)
	}
	at := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	for _, id := range []string{"a", "b", "c"} {
		d := deliveries.Delivery{ID: id, Provider: "github", Event: "ping", At: at, Verdict: deliveries.Ping}
		if id == "b" {
			d.App = events.NamedID("app")
		}
		if err := store.Record(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	for limit, want := range map[int]string{0: "", 1: "c", 2: "c b", 3: "c b a", 100: "c b a"} {
		if got := list(limit); got != want {
			t.Errorf("the newest %d are %q, want %q", limit, got, want)
		}
	}
	if all, _ := store.List(t.Context(), 1); all[0].At != at || all[0].Verdict != deliveries.Ping {
		t.Errorf("came back as %+v", all[0])
	}
}
