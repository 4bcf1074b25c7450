package natslog_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"shiplog/events"
	"shiplog/internal/natslog"
)

func TestOpenVerifies(t *testing.T) {
	for setting, change := range map[string]func(*jetstream.StreamConfig){
		"subjects":             func(c *jetstream.StreamConfig) { c.Subjects = []string{"shiplog.app.*"} },
		"storage":              func(c *jetstream.StreamConfig) { c.Storage, c.MaxBytes = jetstream.MemoryStorage, 1<<20 },
		"retention":            func(c *jetstream.StreamConfig) { c.Retention = jetstream.InterestPolicy },
		"discard":              func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld },
		"max_msgs":             func(c *jetstream.StreamConfig) { c.MaxMsgs = 10 },
		"max_msgs_per_subject": func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 10 },
		"max_msg_size":         func(c *jetstream.StreamConfig) { c.MaxMsgSize = 1000 },
		"max_age":              func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour },
		"duplicate_window":     func(c *jetstream.StreamConfig) { c.Duplicates = time.Minute },
		"deny_delete":          func(c *jetstream.StreamConfig) { c.DenyDelete = false },
		"deny_purge":           func(c *jetstream.StreamConfig) { c.DenyPurge = false },
		"allow_rollup_hdrs":    func(c *jetstream.StreamConfig) { c.AllowRollup, c.DenyPurge = true, false },
		"allow_msg_ttl":        func(c *jetstream.StreamConfig) { c.AllowMsgTTL = true },
		"allow_direct":         func(c *jetstream.StreamConfig) { c.AllowDirect = true },
		"allow_atomic":         func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = false },
		"persist_mode": func(c *jetstream.StreamConfig) {
			c.PersistMode, c.AllowAtomicPublish = jetstream.AsyncPersistMode, false
		},
		"metadata shiplog_epoch": func(c *jetstream.StreamConfig) { c.Metadata = nil },
	} {
		t.Run(setting, func(t *testing.T) {
			s := start(t, natslog.ServerOptions{})
			cfg := natslog.StreamConfig()
			change(&cfg)
			if _, err := natslog.JetStream(s).CreateStream(t.Context(), cfg); err != nil {
				t.Fatal(err)
			}
			_, err := natslog.Open(t.Context(), s.Conn(), natslog.Options{})
			names := []string{setting}
			switch setting { // these cannot differ alone: either may be named
			case "allow_rollup_hdrs":
				names = append(names, "deny_purge")
			case "persist_mode":
				names = append(names, "allow_atomic")
			}
			for _, name := range names {
				if err != nil && strings.Contains(err.Error(), " has "+name+" ") {
					return
				}
			}
			t.Errorf("error %v, want one that names %s", err, setting)
		})
	}
}

func TestOpenAgain(t *testing.T) {
	s := start(t, natslog.ServerOptions{})
	open(t, s, natslog.Options{MaxBytes: 1 << 20})
	if _, max, err := open(t, s, natslog.Options{MaxBytes: 2 << 20}).Usage(t.Context()); err != nil || max != 2<<20 {
		t.Errorf("after raising MaxBytes it is %d, %v", max, err)
	}
	appendEach(t, open(t, s, natslog.Options{MaxBytes: 2 << 20}), 20)
	if _, err := natslog.Open(t.Context(), s.Conn(), natslog.Options{MaxBytes: 1000}); err == nil || !strings.Contains(err.Error(), "MaxBytes") {
		t.Errorf("MaxBytes below what is used: error %v", err)
	}
	for _, root := range []string{"a.b", "a>", " "} {
		if _, err := natslog.Open(t.Context(), s.Conn(), natslog.Options{Root: root}); err == nil {
			t.Errorf("the root %q was accepted", root)
		}
	}
	other := open(t, s, natslog.Options{Root: "second", MaxBytes: 1 << 20})
	if last, err := other.Last(t.Context()); err != nil || last != (events.Position{Epoch: 1}) {
		t.Errorf("a log with another root ends at %s, %v", last, err)
	}
}

func TestHighestEpoch(t *testing.T) {
	s := start(t, natslog.ServerOptions{})
	log := open(t, s, natslog.Options{})
	old := appendEach(t, log, 1)[0]
	js := natslog.JetStream(s)
	cfg := natslog.StreamConfig()
	cfg.Subjects = []string{"shiplog-1.sealed"}
	if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	cfg = natslog.StreamConfig()
	cfg.Name, cfg.Metadata = "SHIPLOG-2", map[string]string{"shiplog_epoch": "2"}
	cfg.MaxBytes = 1 << 20
	if _, err := js.CreateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	next := open(t, s, natslog.Options{MaxBytes: 1 << 20})
	if last, err := next.Last(t.Context()); err != nil || last != (events.Position{Epoch: 2}) {
		t.Fatalf("the log ends at %s, %v; want 2/0", last, err)
	}
	_, err := next.Append(t.Context(), events.Append{Subject: old.Subject, Expect: old.Head(), Events: []events.Draft{push(1)}})
	wantError(t, err, events.ErrConflict)
}

func TestSurvivesRestart(t *testing.T) {
	dir := t.TempDir()
	s, err := natslog.Start(natslog.ServerOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	want := appendEach(t, open(t, s, natslog.Options{}), 30)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := natslog.Start(natslog.ServerOptions{}); err == nil {
		t.Error("started without a directory")
	}
	log := open(t, start(t, natslog.ServerOptions{Dir: dir}), natslog.Options{})
	wantEvents(t, replay(t, log), want)
	if err := log.Health(t.Context()); err != nil {
		t.Error(err)
	}
}
