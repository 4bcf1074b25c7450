package api

import (
	"maps"
	"slices"
	"strings"

	"shiplog/events"
	"shiplog/internal/deploy"
)

// minDigest and minCommit are the fewest hex digits that a digest and a commit may be shortened to.
const (
	minDigest = 12
	minCommit = 7
)

// knownDigest finds an image among those built or run here.
func knownDigest(a deploy.App, component, ref string) (deploy.PinTo, string, error) {
	hex := strings.TrimPrefix(ref, "sha256:")
	if len(hex) < minDigest || len(hex) > 64 || strings.Trim(hex, "0123456789abcdef") != "" {
		return deploy.PinTo{}, "", invalid("%q is not an image digest: sha256: and 64 lower-case hex digits, or the first %d or more of them", ref, minDigest)
	}
	found := map[string]events.Target{} // by component
	digests := map[events.Digest]bool{}
	for name, targets := range history(a) {
		for _, t := range targets {
			if strings.HasPrefix(string(t.Digest), ref) && (component == "" || component == name) {
				found[name] = t
				digests[t.Digest] = true
			}
		}
	}
	switch {
	case len(digests) > 1:
		return deploy.PinTo{}, "", invalid("%s begins the digests of %d images: give more digits", ref, len(digests))
	case len(found) == 0 && len(hex) == 64 && hasImageSource(a, component):
		return deploy.PinTo{}, "", nil // its registry may know it
	case len(found) == 0:
		return deploy.PinTo{}, "", invalid("no image %s is known for app %s%s; shiplog releases %s lists those that are, and a commit can be pinned to build it",
			ref, a.Name, of(component), a.Name)
	}
	for name, t := range found {
		if gone(a, name, t) {
			return deploy.PinTo{}, "", imageGone("image %s of %s was removed; pin to commit %s to build it again", t.Digest.Short(), name, t.Revision.Commit.Short())
		}
	}
	cmd := deploy.PinTo{Component: component, Kind: events.RefDigest, Ref: ref, Targets: found, Mode: events.BuildReuse}
	if names := slices.Collect(maps.Keys(found)); len(names) == 1 && len(a.Spec.Components()) > 1 {
		cmd.Component = names[0] // the one it was built for; the others go on
	}
	return cmd, "", nil
}

// knownCommit finds a commit, or its first digits, among those built, run or held here. It applies to every component
// that is built from the same repository.
func knownCommit(a deploy.App, component, hex string) (deploy.PinTo, string, error) {
	commits := map[events.Commit]string{} // to the repository it was found in
	revisions := map[events.Commit]events.Revision{}
	for name, targets := range history(a) {
		c, exists := a.Spec.Component(name)
		url, _, isGit := c.Repository()
		if !exists || !isGit || component != "" && !sharesRepository(a, component, url) {
			continue
		}
		for _, t := range targets {
			if commit := t.Revision.Commit; commit != "" && strings.HasPrefix(string(commit), hex) {
				commits[commit], revisions[commit] = url, t.Revision
			}
		}
	}
	if len(commits) > 1 {
		var names []string
		for c := range commits {
			names = append(names, string(c))
		}
		slices.Sort(names)
		return deploy.PinTo{}, "", invalid("%s begins several commits: %s; give more digits", hex, strings.Join(names, ", "))
	}
	for commit, url := range commits {
		target := events.Target{Revision: revisions[commit]}
		return deploy.PinTo{
			Component: component, Kind: events.RefCommit, Ref: hex, Targets: spread(a, component, url, target), Mode: events.BuildReuse,
		}, "", nil
	}
	return deploy.PinTo{}, "", nil
}

// history lists by component everything the app has images or releases of, or holds back, the newest first.
func history(a deploy.App) map[string][]events.Target {
	all := map[string][]events.Target{}
	for name, images := range a.Images {
		for _, i := range slices.Backward(images) {
			all[name] = append(all[name], events.Target{Revision: i.Revision, Digest: i.Digest})
		}
	}
	for _, r := range slices.Backward(a.Releases) {
		for name, t := range r.Have {
			all[name] = append(all[name], t)
		}
	}
	for name, t := range a.Want {
		all[name] = append(all[name], t)
	}
	for name, h := range a.Held {
		all[name] = append(all[name], events.Target{Revision: h.Revision})
	}
	return all
}

// spread gives a target to the components that are built from a repository: to one of them, or to all.
func spread(a deploy.App, component, url string, t events.Target) map[string]events.Target {
	targets := map[string]events.Target{}
	for _, c := range a.Spec.Components() {
		if u, _, isGit := c.Repository(); isGit && u == url && (component == "" || component == c.Name) {
			targets[c.Name] = t
		}
	}
	return targets
}

func sharesRepository(a deploy.App, component, url string) bool {
	c, _ := a.Spec.Component(component)
	u, _, isGit := c.Repository()
	return isGit && u == url
}

func hasImageSource(a deploy.App, component string) bool {
	return slices.ContainsFunc(a.Spec.Components(), func(c events.Component) bool {
		return c.Image != nil && (component == "" || component == c.Name)
	})
}

func isCommitPrefix(s string) bool {
	return len(s) >= minCommit && len(s) <= 64 && strings.Trim(s, "0123456789abcdef") == ""
}

func of(component string) string {
	if component == "" {
		return ""
	}
	return ", component " + component
}
