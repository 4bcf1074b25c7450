package main

import (
	"context"
	"time"

	"shiplog/events"
)

// compareRemotes looks for pushes that the git remote took and the log did not: at the start, and every 3 minutes.
func (s *service) compareRemotes(ctx context.Context) {
	if last, err := s.events.Last(ctx); err == nil && s.store.Wait(ctx, last) == nil {
		s.archiveOrphans() // only when every app is known
	}
	for {
		apps, _ := s.known()
		for _, app := range apps {
			if err := s.watch.Compare(ctx, app, events.Self); err != nil && ctx.Err() == nil {
				s.log.Warn("cannot compare a git remote with the log", "app", app, "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(3 * time.Minute):
		}
	}
}

// watchEngine looks every few seconds at what the engine runs, and has an app held again whose instances changed by
// themselves: one that the engine restarted has another address. (Asking is also what mends Podman's isolation of
// networks, see engine.Docker.)
func (s *service) watchEngine(ctx context.Context) {
	seen := map[events.ID]string{}
	for {
		running, err := s.engine.Instances(ctx, "")
		if err == nil {
			now := map[events.ID]string{}
			for _, i := range running {
				now[i.App] += i.ID + i.State + i.Address + "\n"
			}
			for app, what := range now {
				if before, known := seen[app]; known && before != what {
					s.reactor.Changed(app)
				}
			}
			for app := range seen {
				if now[app] == "" {
					s.reactor.Changed(app)
				}
			}
			seen = now
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(3 * time.Second):
		}
	}
}

// watchIngress starts the ingress again when it has died: it is a child that nobody else looks after.
func (s *service) watchIngress(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(2 * time.Second):
		}
		if _, err := s.ingress.Health(ctx); err == nil || ctx.Err() != nil {
			continue
		}
		s.log.Warn("the ingress does not answer and is started again")
		if err := s.ensureIngress(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("cannot start the ingress", "error", err)
		}
	}
}

// known lists the apps to look after: those that exist, and those that the engine still runs something of. It is
// complete up to the position that is returned with it.
func (s *service) known() ([]events.ID, events.Position) {
	upTo := s.store.Checkpoint()
	var ids []events.ID
	for page := 0; ; page += 100 {
		apps, total, err := s.store.Apps(page, 100)
		for _, a := range apps {
			ids = append(ids, a.ID)
		}
		if err != nil || page+100 >= total {
			break
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	running, err := s.engine.Instances(ctx, "")
	if err != nil {
		s.log.Warn("cannot ask the engine what runs", "error", err)
	}
	for _, i := range running {
		ids = append(ids, i.App)
	}
	return ids, upTo
}
