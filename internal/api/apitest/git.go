package apitest

import (
	"context"
	"fmt"
	"sync"

	"shiplog/events"
	"shiplog/internal/deploy"
)

// Git knows the refs it was told; every component's source has the same ones.
type Git struct {
	mu    sync.Mutex
	Refs  map[string]events.Target
	kinds map[string]events.RefKind
	Err   error // of every question
	Asked int
}

func (g *Git) Set(name string, kind events.RefKind, c events.Commit) {
	g.mu.Lock()
	defer g.mu.Unlock()
	ref := events.Branch(name)
	switch kind {
	case events.RefTag:
		ref = events.Tag(name)
	case events.RefCommit:
		ref = ""
	}
	t := events.Target{Revision: events.Revision{Ref: ref, Commit: c}}
	for _, n := range []string{name, string(kind) + ":" + name} {
		g.Refs[n], g.kinds[n] = t, kind
	}
}

func (g *Git) Newest(_ context.Context, a deploy.App, spec events.Spec, c events.Component) (events.Target, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.Asked++
	if g.Err != nil {
		return events.Target{}, g.Err
	}
	if c.Image != nil {
		return events.Target{Image: c.Image.Repository, Digest: DigestOf(c.Name, CommitA)}, nil
	}
	_, branch, _ := c.Repository()
	if p, ok := a.PinOf(c.Name); ok && p.Kind == events.RefBranch {
		branch = p.Ref
	}
	return g.Refs[branch], nil
}

func (g *Git) Ref(_ context.Context, _ deploy.App, c events.Component, ref string) (deploy.Resolved, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.Asked++
	t, ok := g.Refs[ref]
	switch {
	case g.Err != nil:
		return deploy.Resolved{}, g.Err
	case c.Image != nil, !ok:
		return deploy.Resolved{}, fmt.Errorf("%s: no such ref", ref)
	}
	return deploy.Resolved{Target: t, Kind: g.kinds[ref]}, nil
}
