package natslog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"shiplog/events"
)

// Options configure the log of events. The zero value is good.
type Options struct {
	Root     string // first token of every subject. Default: "shiplog"
	Stream   string // name of the stream of epoch 1. Default: the root in capitals
	MaxBytes int64  // most that the stream may hold. Default: 8 GiB. May be raised later
	Replicas int    // 1, or 3 on a cluster. Default: 1

	Timeout time.Duration // of every call to the server. Default: 5 s
	Log     *slog.Logger  // gets warnings about room. Default: nothing is logged

	duplicates time.Duration // window of the server's own check of ids. Default: 10 min; other values are for tests
}

const epochKey = "shiplog_epoch"

func (o Options) withDefaults() Options {
	if o.Root == "" {
		o.Root = "shiplog"
	}
	if o.Stream == "" {
		o.Stream = strings.ToUpper(o.Root)
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 8 << 30
	}
	if o.Replicas == 0 {
		o.Replicas = 1
	}
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second
	}
	if o.duplicates == 0 {
		o.duplicates = 10 * time.Minute
	}
	o.Log = orDiscard(o.Log)
	return o
}

// stream is what the stream of an epoch must be.
func (o Options) stream(epoch uint64) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        streamName(o.Stream, epoch),
		Description: "Shiplog's events. Never edit, purge or delete.",
		Subjects:    []string{o.Root + ".app.*", o.Root + ".name.*.*"},
		Storage:     jetstream.FileStorage,
		Retention:   jetstream.LimitsPolicy,
		Discard:     jetstream.DiscardNew,
		MaxBytes:    o.MaxBytes,
		MaxMsgs:     -1,
		MaxMsgSize:  -1,
		Duplicates:  o.duplicates,
		DenyDelete:  true,
		DenyPurge:   true,
		Replicas:    o.Replicas,

		MaxConsumers:       -1,
		MaxMsgsPerSubject:  -1,
		AllowAtomicPublish: true,
		AllowDirect:        false, // a direct get may be answered by a replica that is behind; heads come from the leader
		PersistMode:        jetstream.DefaultPersistMode,
		Metadata:           map[string]string{epochKey: strconv.FormatUint(epoch, 10)},
	}
}

func streamName(base string, epoch uint64) string {
	if epoch == 1 {
		return base
	}
	return fmt.Sprintf("%s-%d", base, epoch)
}

// Open opens the log: the stream of the highest epoch, which it creates when there is none, or else verifies. It fails,
// naming the setting, on a stream that could lose or change events. The log must be closed; the connection stays open.
func Open(ctx context.Context, conn *Conn, o Options) (*Log, error) {
	o = o.withDefaults()
	if err := checkRoot(o.Root); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 4*o.Timeout)
	defer cancel()
	epoch, stream, err := findStream(ctx, conn.leader, o)
	if err != nil {
		return nil, fmt.Errorf("open the log %s: %w", o.Stream, err)
	}
	l := newLog(conn, o, epoch, stream)
	if err := l.Health(ctx); err != nil {
		o.Log.Error("the log is not in order", "stream", stream.CachedInfo().Config.Name, "error", err)
	}
	return l, nil
}

// checkRoot accepts what can be one part of a subject.
func checkRoot(root string) error {
	if events.Subject("app."+root).Check() != nil {
		return fmt.Errorf("%q cannot be the root of subjects: letters, digits, - and _ only", root)
	}
	return nil
}

func findStream(ctx context.Context, js jetstream.JetStream, o Options) (epoch uint64, s jetstream.Stream, err error) {
	for n := uint64(1); ; n++ {
		next, err := js.Stream(ctx, streamName(o.Stream, n))
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			break
		}
		if err != nil {
			return 0, nil, unavailable(err)
		}
		epoch, s = n, next
	}
	if s == nil {
		s, err = js.CreateStream(ctx, o.stream(1))
		if err != nil {
			return 0, nil, fmt.Errorf("create the stream (MaxBytes %d must fit in the server's store): %w", o.MaxBytes, err)
		}
		epoch = 1
	}
	s, err = verify(ctx, js, s, o.stream(epoch))
	return epoch, s, err
}

// verify compares a stream with what it must be. Only MaxBytes may differ: it is set to what is wanted.
func verify(ctx context.Context, js jetstream.JetStream, s jetstream.Stream, want jetstream.StreamConfig) (jetstream.Stream, error) {
	info := s.CachedInfo()
	got := info.Config
	if got.MaxMsgSize == 0 {
		got.MaxMsgSize = -1
	}
	for _, c := range []struct {
		setting   string
		got, want any
	}{
		{"subjects", strings.Join(slices.Sorted(slices.Values(got.Subjects)), " "), strings.Join(slices.Sorted(slices.Values(want.Subjects)), " ")},
		{"storage", got.Storage, want.Storage},
		{"retention", got.Retention, want.Retention},
		{"discard", got.Discard, want.Discard},
		{"discard_new_per_subject", got.DiscardNewPerSubject, false},
		{"max_msgs", got.MaxMsgs, want.MaxMsgs},
		{"max_msgs_per_subject", got.MaxMsgsPerSubject, want.MaxMsgsPerSubject},
		{"max_msg_size", got.MaxMsgSize, want.MaxMsgSize},
		{"max_age", got.MaxAge, want.MaxAge},
		{"duplicate_window", got.Duplicates, want.Duplicates},
		{"deny_delete", got.DenyDelete, want.DenyDelete},
		{"deny_purge", got.DenyPurge, want.DenyPurge},
		{"allow_rollup_hdrs", got.AllowRollup, false},
		{"allow_msg_ttl", got.AllowMsgTTL, false},
		{"allow_direct", got.AllowDirect, want.AllowDirect},
		{"allow_atomic", got.AllowAtomicPublish, want.AllowAtomicPublish},
		{"persist_mode", got.PersistMode, want.PersistMode},
		{"num_replicas", got.Replicas, want.Replicas},
		{"sealed", got.Sealed, false},
		{"mirror", got.Mirror != nil, false},
		{"sources", len(got.Sources), 0},
		{"subject_transform", got.SubjectTransform != nil, false},
		{"metadata " + epochKey, got.Metadata[epochKey], want.Metadata[epochKey]},
	} {
		if c.got != c.want {
			return nil, fmt.Errorf("stream %s has %s %v where the log needs %v: it is not used, because events could get lost: "+
				"correct the setting, or name another stream", got.Name, c.setting, c.got, c.want)
		}
	}
	if got.MaxBytes == want.MaxBytes {
		return s, nil
	}
	if want.MaxBytes < int64(info.State.Bytes) {
		return nil, fmt.Errorf("stream %s holds %d bytes: MaxBytes %d is too little", got.Name, info.State.Bytes, want.MaxBytes)
	}
	got = info.Config
	got.MaxBytes = want.MaxBytes
	s, err := js.UpdateStream(ctx, got)
	if err != nil {
		return nil, fmt.Errorf("set MaxBytes of stream %s to %d: %w", got.Name, want.MaxBytes, err)
	}
	return s, nil
}
