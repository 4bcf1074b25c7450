package natslog

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"shiplog/internal/deliveries"
)

// Deliveries keeps webhook deliveries that led to nothing, for a limited time. It is safe for concurrent use.
type Deliveries struct {
	conn   *Conn
	opts   SideOptions
	stream jetstream.Stream
}

// OpenDeliveries opens the store of deliveries, and creates its stream when it is missing.
func OpenDeliveries(ctx context.Context, conn *Conn, o SideOptions) (*Deliveries, error) {
	o = o.withDefaults("SHIPLOG_DELIVERIES", 64<<20)
	stream, err := openSide(ctx, conn, o, o.Root+"-deliveries.*")
	return &Deliveries{conn: conn, opts: o, stream: stream}, err
}

// Record keeps a delivery. An error is no reason to refuse the delivery.
func (d *Deliveries) Record(ctx context.Context, v deliveries.Delivery) error {
	ctx, cancel := d.conn.bound(ctx, d.opts.Timeout)
	defer cancel()
	v.ID, v.Reason = clip(v.ID, 256), clip(v.Reason, 1024)
	v.Event, v.Provider = clip(v.Event, 256), clip(v.Provider, 64)
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("record the delivery %q: %w", v.ID, err)
	}
	if s := d.conn.server; s != nil {
		if err := s.checkDisk(int64(len(body))+diskReserve, false); err != nil {
			return fmt.Errorf("record the delivery %q: %w", v.ID, err)
		}
	}
	if _, err := d.conn.leader.Publish(ctx, d.opts.Root+"-deliveries."+token(string(v.App)), body); err != nil {
		return fmt.Errorf("record the delivery %q: %w", v.ID, unavailable(err))
	}
	return nil
}

// List returns the newest deliveries, newest first, at most limit of them.
func (d *Deliveries) List(ctx context.Context, limit int) ([]deliveries.Delivery, error) {
	infoCtx, cancel := d.conn.bound(ctx, d.opts.Timeout)
	defer cancel()
	info, err := d.stream.Info(infoCtx)
	if err != nil {
		return nil, fmt.Errorf("list deliveries: %w", unavailable(err))
	}
	first, last := info.State.FirstSeq, info.State.LastSeq
	if limit <= 0 || info.State.Msgs == 0 {
		return nil, nil
	}
	if n := uint64(limit); last >= n {
		first = max(first, last-n+1)
	}
	f := &feed{conn: d.conn, stream: d.opts.Stream, sequence: first - 1, timeout: d.opts.Timeout}
	defer f.close()
	var out []deliveries.Delivery
	for f.sequence < last {
		msg, err := f.next(ctx)
		if err != nil {
			return nil, fmt.Errorf("list deliveries: %w", err)
		}
		var v deliveries.Delivery
		if err := json.Unmarshal(msg.Data(), &v); err != nil {
			return nil, fmt.Errorf("delivery %d cannot be read: %w", msg.sequence, err)
		}
		out = append(out, v)
	}
	slices.Reverse(out)
	return out, nil
}

func clip(s string, n int) string { return s[:min(len(s), n)] }
