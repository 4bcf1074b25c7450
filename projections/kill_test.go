package projections

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"shiplog/events"
)

const killEnv = "SHIPLOG_TEST_PROJECT_INTO"

// TestMain lets the test binary be the process that is killed.
func TestMain(m *testing.M) {
	if path := os.Getenv(killEnv); path != "" {
		projectForEver(path)
	}
	os.Exit(m.Run())
}

// projectForEver projects a history that grows, a few events at a time. How far it has grown is in the file .shown, which
// is written first: so the log is never behind the projection.
func projectForEver(path string) {
	log := newTape(write(20, killEvents, 4))
	shown, _ := os.ReadFile(path + ".shown")
	n, _ := strconv.Atoi(string(bytes.TrimSpace(shown)))
	log.show(n)
	opts := quiet(path)
	opts.Settle = 5 * time.Millisecond
	s, err := Open(opts)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go func() { _ = s.Run(context.Background(), log) }()
	f, err := os.OpenFile(path+".shown", os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	for i := 0; n < killEvents; i, n = i+1, n+1+n%5 {
		if _, err := f.WriteAt(fmt.Appendf(nil, "%8d\n", n), 0); err != nil {
			panic(err)
		}
		log.show(n)
		if i%10 == 9 {
			if err := s.Wait(context.Background(), events.Position{Epoch: 1, Sequence: uint64(n)}); err != nil {
				panic(err)
			}
			fmt.Println(n)
		}
		if i%40 == 39 {
			time.Sleep(7 * time.Millisecond) // so that it settles at times
		}
	}
	select {}
}

const killEvents = 6000

func TestKilled(t *testing.T) {
	all := write(20, killEvents, 4)
	opts := quiet(filepath.Join(scratch(t), "projection.db"))
	rng := rand.New(rand.NewPCG(20, 20))
	last := uint64(0)
	for i := range 20 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), killEnv+"="+opts.Path)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		progress := bufio.NewReader(out)
		for range rng.IntN(12) { // none: it is killed as it starts
			if _, err := progress.ReadString('\n'); err != nil {
				t.Fatalf("the child made no progress: %v", err)
			}
		}
		time.Sleep(time.Duration(rng.IntN(5000)) * time.Microsecond)
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait()

		s, err := Open(opts)
		if err != nil {
			t.Fatal(err)
		}
		st := s.Status()
		if st.LastDamage != "" {
			t.Fatalf("kill %d damaged the file: %s", i, st.LastDamage)
		}
		if st.Rebuilding { // killed while it was made for the first time
			s.Close()
			continue
		}
		at := st.Checkpoint.Sequence
		if at < last {
			t.Fatalf("kill %d: the checkpoint went back from %d to %d", i, last, at)
		}
		last = at
		if at > 0 {
			var got bytes.Buffer
			if err := s.Dump(&got); err != nil {
				t.Fatal(err)
			}
			same(t, fmt.Sprintf("kill %d at event %d", i, at), got.String(), rebuilt(t, all, int(at)))
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if last < 100 {
		t.Errorf("only %d events were projected between the kills", last)
	}
}
