package apitest

import (
	"time"

	"shiplog/events"
	"shiplog/internal/deploy"
)

// At returns an app as it was folded at a moment.
func (w *World) At(app events.ID, t time.Time) (then deploy.App) {
	for _, r := range w.Log.All() {
		if r.Subject == events.AppSubject(app) && !r.At.After(t) {
			then = deploy.Evolve(then, r)
		}
	}
	return then
}
