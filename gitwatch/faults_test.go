package gitwatch

import (
	"context"
	"fmt"

	"shiplog/events"
	"shiplog/internal/deploy"
)

// broken is a desk whose log takes nothing.
type broken struct{ Desk }

func (broken) Do(context.Context, events.ID, deploy.Order) (deploy.Result, error) {
	return deploy.Result{}, fmt.Errorf("append: %w", events.ErrUnavailable)
}

// deaf is a desk whose answers get lost.
type deaf struct{ Desk }

func (d deaf) Do(ctx context.Context, app events.ID, o deploy.Order) (deploy.Result, error) {
	_, _ = d.Desk.Do(ctx, app, o)
	return deploy.Result{}, fmt.Errorf("append: %w", events.ErrUnavailable)
}
