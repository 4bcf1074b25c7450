package apitest

import (
	"context"
	"slices"
	"strings"

	"shiplog/events"
	"shiplog/internal/deploy"
	"shiplog/internal/memlog"
)

// Fold is a History that folds the log anew for each question.
type Fold struct {
	Log   *memlog.Log
	Block chan struct{} // Wait waits for it, when set
}

func (f *Fold) apps() map[events.ID]deploy.App {
	apps := map[events.ID]deploy.App{}
	for _, r := range f.Log.All() {
		if id, ok := r.Subject.App(); ok {
			apps[id] = deploy.Evolve(apps[id], r)
		}
	}
	return apps
}

func (f *Fold) AppByName(name string) (events.ID, bool) {
	for id, a := range f.apps() {
		if a.Name == name && a.Exists() {
			return id, true
		}
	}
	return "", false
}

func (f *Fold) Apps(offset, limit int) ([]deploy.App, int, error) {
	var list []deploy.App
	for _, a := range f.apps() {
		if a.Exists() {
			list = append(list, a)
		}
	}
	slices.SortFunc(list, func(x, y deploy.App) int { return strings.Compare(x.Name, y.Name) })
	return cut(list, offset, limit)
}

func (f *Fold) Deployments(app events.ID, offset, limit int) ([]deploy.Deployment, int, error) {
	var list []deploy.Deployment
	for _, d := range f.apps()[app].Deployments {
		list = append(list, *d)
	}
	slices.SortFunc(list, func(x, y deploy.Deployment) int { return int(y.Generation) - int(x.Generation) })
	return cut(list, offset, limit)
}

func (f *Fold) Deployment(app, id events.ID) (deploy.Deployment, bool, error) {
	d := f.apps()[app].Deployments[id]
	if d == nil {
		return deploy.Deployment{}, false, nil
	}
	return *d, true, nil
}

func (f *Fold) Releases(app events.ID, offset, limit int) ([]deploy.Release, int, error) {
	list := slices.Clone(f.apps()[app].Releases)
	slices.Reverse(list)
	return cut(list, offset, limit)
}

func (f *Fold) Timeline(app events.ID, offset, limit int) ([]events.Recorded, int, error) {
	var list []events.Recorded
	for _, r := range f.Log.All() {
		if r.Subject == events.AppSubject(app) {
			list = append(list, r)
		}
	}
	slices.Reverse(list)
	return cut(list, offset, limit)
}

func (f *Fold) Wait(ctx context.Context, at events.Position) error {
	if f.Block == nil {
		return nil
	}
	select {
	case <-f.Block:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func cut[T any](list []T, offset, limit int) ([]T, int, error) {
	lo := min(offset, len(list))
	return list[lo:min(lo+limit, len(list))], len(list), nil
}
