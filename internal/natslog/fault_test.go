package natslog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"shiplog/events"
	"shiplog/internal/natslog"
)

// Beyond the server's own window for ids, the same batch must still be known.
func TestAgainAfterDuplicateWindow(t *testing.T) {
	o := natslog.Options{}.Duplicates(100 * time.Millisecond)
	log := open(t, start(t, natslog.ServerOptions{}), o)
	batches := [][]events.Append{{single(1)}, {single(2), single(3)}}
	var want []events.Recorded
	for _, b := range batches {
		recorded, err := log.Append(t.Context(), b...)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, recorded...)
	}
	time.Sleep(500 * time.Millisecond) // the window is over: nothing tells but the clock
	var got []events.Recorded
	for _, b := range batches {
		recorded, err := log.Append(t.Context(), b...)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, recorded...)
	}
	wantEvents(t, got, want)
	wantEvents(t, replay(t, log), want)
}

// Two processes may write to one stream: positions must be right then too.
func TestTwoWriters(t *testing.T) {
	s := start(t, natslog.ServerOptions{})
	logs := []*natslog.Log{open(t, s, natslog.Options{}), open(t, s, natslog.Options{})}
	var mu sync.Mutex
	told := map[events.Position]events.Recorded{}
	var wg sync.WaitGroup
	const workers, each = 40, 10
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				recorded, err := logs[w%2].Append(t.Context(), single(w*each+i))
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				told[recorded[0].Position] = recorded[0]
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	got := replay(t, logs[0])
	if len(got) != workers*each || len(told) != workers*each {
		t.Fatalf("%d events in the log, %d positions answered, want %d", len(got), len(told), workers*each)
	}
	for _, r := range got {
		if told[r.Position].Hash != r.Hash {
			t.Fatalf("%s holds %s; the writer was told otherwise", r.Position, r.ID)
		}
	}
}

// The server restarts while appends and a follower are under way: nothing acknowledged is lost, nothing is doubled, and
// the follower sees everything once.
func TestRestartUnderLoad(t *testing.T) {
	s := start(t, natslog.ServerOptions{})
	log := open(t, s, natslog.Options{})
	const workers, each = 8, 40
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	followed := make(chan []events.Recorded)
	go func() {
		var seen []events.Recorded
		for r, err := range log.Follow(ctx, events.Position{}) {
			if err != nil {
				t.Error("follow:", err)
				break
			}
			if seen = append(seen, r); len(seen) == workers*each {
				break
			}
		}
		followed <- seen
	}()
	var wg sync.WaitGroup
	acked := make(chan int, workers*each)
	for w := range workers {
		wg.Go(func() {
			for i := w * each; i < (w+1)*each; {
				if _, err := log.Append(ctx, single(i)); err == nil {
					acked <- i
					i++
				} else if !errors.Is(err, events.ErrUnavailable) || ctx.Err() != nil {
					t.Errorf("event %d: %v", i, err)
					return
				}
			}
		})
	}
	for n := range 3 {
		for len(acked) < (n+1)*workers*each/5 && ctx.Err() == nil && !t.Failed() {
			time.Sleep(time.Millisecond)
		}
		if err := s.Restart(); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	got := replay(t, log)
	wantEvents(t, <-followed, got)
	seen := map[events.ID]bool{}
	for _, r := range got {
		if seen[r.ID] {
			t.Errorf("%s is in the log twice", r.ID)
		}
		seen[r.ID] = true
	}
	if len(got) != workers*each || len(acked) != workers*each {
		t.Errorf("%d events in the log, %d acknowledged, want %d", len(got), len(acked), workers*each)
	}
}

func TestUnavailable(t *testing.T) {
	s, err := natslog.Start(natslog.ServerOptions{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	log, err := natslog.Open(t.Context(), s.Conn(), natslog.Options{Timeout: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	appendEach(t, log, 1)
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err = log.Append(t.Context(), single(2))
	wantError(t, err, events.ErrUnavailable)
	_, err = log.Head(t.Context(), "app.x")
	wantError(t, err, events.ErrUnavailable)
	_, err = log.Last(t.Context())
	wantError(t, err, events.ErrUnavailable)
	wantError(t, log.Health(t.Context()), events.ErrUnavailable)
	for _, err := range log.Replay(t.Context(), events.Position{}) {
		wantError(t, err, events.ErrUnavailable)
	}
	if err := log.Close(); err != nil {
		t.Error(err)
	}
	_, err = log.Append(t.Context(), single(2))
	wantError(t, err, events.ErrUnavailable)
}

func TestFilling(t *testing.T) {
	var out bytes.Buffer
	s := start(t, natslog.ServerOptions{})
	log := open(t, s, natslog.Options{MaxBytes: 1 << 20, Log: slog.New(slog.NewTextHandler(&out, nil))})
	big := func(i int, urgent bool) error {
		a := single(i)
		a.Events[0].Event = events.AppStopped{Reason: strings.Repeat("x", 20_000)}
		a.Urgent = urgent
		_, err := log.Append(t.Context(), a)
		return err
	}
	fill := func(from int, urgent bool) (int, float64) {
		t.Helper()
		for i := from; ; i++ {
			err := big(i, urgent)
			if err == nil && i < 100 {
				continue
			}
			wantError(t, err, events.ErrFull)
			used, max, err := log.Usage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return i, float64(used) / float64(max)
		}
	}
	n, share := fill(0, false)
	if share < 0.85 || share > 0.9 {
		t.Errorf("an ordinary append is refused at %.2f of MaxBytes, want just under 0.90", share)
	}
	if !strings.Contains(out.String(), "filling") {
		t.Errorf("no warning was logged: %q", out.String())
	}
	wantError(t, log.Health(t.Context()), nil)
	n, share = fill(n, true)
	if share < 0.95 {
		t.Errorf("an urgent append is refused at %.2f of MaxBytes", share)
	}
	wantError(t, log.Health(t.Context()), events.ErrFull)
	if got := len(replay(t, log)); got != n {
		t.Errorf("%d events, want the %d that were acknowledged", got, n)
	}
}

// A bit that flips on the disk makes the server drop events and say nothing. We must notice.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	s, err := natslog.Start(natslog.ServerOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	want := appendEach(t, open(t, s, natslog.Options{}), 40)
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	block := filepath.Join(dir, "jetstream", "$G", "streams", "SHIPLOG", "msgs", "1.blk")
	data, err := os.ReadFile(block)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(data, want[20].Body)
	data[at+len(want[20].Body)/2] ^= 1
	if err := os.WriteFile(block, data, 0o600); err != nil {
		t.Fatal(err)
	}
	log := open(t, start(t, natslog.ServerOptions{Dir: dir}), natslog.Options{Timeout: time.Second})
	n := 0
	for r, e := range log.Replay(t.Context(), want[0].Position) {
		if err = e; e == nil {
			n++
			if r.Hash != want[n].Hash {
				t.Fatalf("event %s differs from what was written", r.Position)
			}
		}
	}
	health := log.Health(t.Context())
	last, _ := log.Last(t.Context())
	beyond := firstError(log, want[39].Position)
	t.Logf("replay: %d events, %v; health: %v; last %s; reading on from the old end: %v", n, err, health, last, beyond)
	if !errors.Is(err, events.ErrCorrupt) && !errors.Is(health, events.ErrCorrupt) && !errors.Is(beyond, events.ErrCorrupt) {
		t.Error("the damage was not noticed")
	}
}

func firstError(log events.Log, after events.Position) error {
	for _, err := range log.Replay(context.Background(), after) {
		if err != nil {
			return err
		}
	}
	return nil
}

// An event that does not follow the one before it is named.
func TestBrokenChain(t *testing.T) {
	log := open(t, start(t, natslog.ServerOptions{}), natslog.Options{})
	first := appendEach(t, log, 3)[0]
	forged, err := events.Seal(first.Subject, events.Hash{1, 2, 3}, push(99))
	if err != nil {
		t.Fatal(err)
	}
	log.Inject(forged)
	for name, err := range map[string]error{
		"replay": firstError(log, events.Position{}),
		"read": func() error {
			for _, err := range log.Read(t.Context(), first.Subject, events.Position{}) {
				if err != nil {
					return err
				}
			}
			return nil
		}(),
	} {
		if !errors.Is(err, events.ErrCorrupt) || !strings.Contains(fmt.Sprint(err), "1/4") {
			t.Errorf("%s: error %v, want one that names 1/4", name, err)
		}
	}
}

// Readers leave no consumers behind.
func TestNoConsumersLeft(t *testing.T) {
	s := start(t, natslog.ServerOptions{})
	log := open(t, s, natslog.Options{})
	appendEach(t, log, 5)
	for range 5 {
		replay(t, log)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range log.Follow(ctx, events.Position{}) {
		cancel()
	}
	stream, err := natslog.JetStream(s).Stream(t.Context(), "SHIPLOG")
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(5 * time.Second); ; {
		info, err := stream.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if info.State.Consumers == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d consumers are left", info.State.Consumers)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
