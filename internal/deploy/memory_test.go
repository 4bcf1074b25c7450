package deploy

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"shiplog/events"
	"shiplog/internal/memlog"
)

// Orders for apps that do not exist leave nothing in memory, however many there are.
func TestNobodyIsRemembered(t *testing.T) {
	h := NewHandler(memlog.New(), nil)
	for i := range 100 {
		o := Order{ID: fmt.Sprint(i), Actor: "token:ann", At: time.Unix(1, 0), Command: StopApp{}}
		var r *Refusal
		if _, err := h.Do(t.Context(), events.NamedID("nobody", o.ID), o); !errors.As(err, &r) || r.Code != CodeNotFound {
			t.Fatalf("got %v, want not found", err)
		}
	}
	if len(h.apps) > 0 {
		t.Errorf("%d apps are remembered that never were", len(h.apps))
	}
}

// A decision that does not fit in the log is a refusal, which is final, and no error of the log's, which is not.
func TestTooLargeIsRefused(t *testing.T) {
	log := memlog.New()
	h := NewHandler(log, nil)
	o := Order{ID: "create", Actor: "token:ann", At: time.Unix(1, 0), Command: CreateApp{Spec: many(2000)}}
	var r *Refusal
	if _, err := h.Create(t.Context(), "hello", o); !errors.As(err, &r) || r.Code != CodeInvalid {
		t.Errorf("got %v, want a refusal", err)
	}
	if n := len(log.All()); n > 0 {
		t.Errorf("%d events were written", n)
	}
}

func TestCanceledOrder(t *testing.T) {
	log := memlog.New()
	h := NewHandler(log, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o := Order{ID: "create", Actor: "token:ann", At: time.Unix(1, 0), Command: CreateApp{Spec: many(1)}}
	if _, err := h.Create(ctx, "hello", o); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it was canceled", err)
	}
	if res, err := h.Create(t.Context(), "hello", o); err != nil || len(res.Recorded) != 2 || len(log.All()) != 2 {
		t.Errorf("the order again: %v, %d events", err, len(log.All()))
	}
}
