package natslog

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// SideOptions configure a stream beside the log: lines, deliveries. It forgets its oldest messages by size and age, and is
// not synced: what it holds is a convenience. The zero value is good.
type SideOptions struct {
	Root     string        // first part of every subject. Default: "shiplog"
	Stream   string        // Default: "SHIPLOG_LOGS" or "SHIPLOG_DELIVERIES"
	MaxBytes int64         // Default: 1 GiB for lines, 64 MiB for deliveries
	MaxAge   time.Duration // Default: 30 days
	Timeout  time.Duration // of every call to the server. Default: 5 s
	Log      *slog.Logger  // Default: nothing is logged
}

func (o SideOptions) withDefaults(stream string, maxBytes int64) SideOptions {
	if o.Root == "" {
		o.Root = "shiplog"
	}
	if o.Stream == "" {
		o.Stream = stream
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = maxBytes
	}
	if o.MaxAge == 0 {
		o.MaxAge = 30 * 24 * time.Hour
	}
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second
	}
	o.Log = orDiscard(o.Log)
	return o
}

// openSide creates the stream, or sets an existing one to what is wanted: nothing in it is precious.
func openSide(ctx context.Context, conn *Conn, o SideOptions, subjects string) (jetstream.Stream, error) {
	if err := checkRoot(o.Root); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	s, err := conn.leader.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: o.Stream, Subjects: []string{subjects},
		Storage: jetstream.FileStorage, Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardOld,
		MaxBytes: o.MaxBytes, MaxAge: o.MaxAge, PersistMode: jetstream.AsyncPersistMode,
	})
	if err != nil {
		return nil, fmt.Errorf("open the stream %s (MaxBytes %d must fit in the server's store): %w", o.Stream, o.MaxBytes, err)
	}
	return s, nil
}
