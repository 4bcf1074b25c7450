package api

import (
	"context"
	"slices"
	"strings"

	"shiplog/events"
	"shiplog/internal/deploy"
)

// asked finds a ref at the git servers and registries of the app's sources. In an app with several sources it has to be
// found in one of them alone, unless the component is said.
func (s *server) asked(ctx context.Context, a deploy.App, component, ref string) (deploy.PinTo, string, error) {
	type answer struct {
		source string
		c      events.Component
		deploy.Resolved
	}
	var found []answer
	var firstErr error
	var sources []string
	for _, c := range a.Spec.Components() {
		src := sourceOf(c)
		if component != "" && c.Name != component || slices.Contains(sources, src) {
			continue
		}
		sources = append(sources, src)
		r, err := s.Resolver.Ref(ctx, a, c, ref)
		switch {
		case err == nil && !r.Target.IsZero():
			found = append(found, answer{src, c, r})
		case err == nil:
			err = invalid("%s is nothing that %s knows", ref, src)
		default:
			err = unresolved(c, ref, err)
		}
		if firstErr == nil {
			firstErr = err
		}
	}
	switch {
	case len(found) == 0 && firstErr == nil:
		return deploy.PinTo{}, "", invalid("app %s has no component that %s could be of", a.Name, ref)
	case len(found) == 0:
		if _, _, ok := releaseNumber(ref); ok && len(a.Releases) > 0 {
			firstErr = invalid("app %s has no release %s (the newest is v%d), and %v", a.Name, ref, len(a.Releases), firstErr)
		}
		return deploy.PinTo{}, "", firstErr
	case len(found) > 1:
		return deploy.PinTo{}, "", invalid("%s is in %s and in %s: say which component is meant (--component)", ref, found[0].source, found[1].source)
	}
	f := found[0]
	cmd := deploy.PinTo{Component: component, Kind: f.Kind, Ref: ref, Mode: events.BuildReuse}
	if url, _, isGit := f.c.Repository(); isGit {
		cmd.Targets = spread(a, component, url, f.Target)
	} else {
		cmd.Targets = map[string]events.Target{f.c.Name: f.Target}
		if len(a.Spec.Components()) > 1 {
			cmd.Component = f.c.Name
		}
	}
	return cmd, f.Note, nil
}

func sourceOf(c events.Component) string {
	if url, _, isGit := c.Repository(); isGit {
		return url
	}
	return strings.TrimPrefix(c.Image.Registry+"/"+c.Image.Repository, "/")
}
