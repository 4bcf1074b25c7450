package api

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"shiplog/events"
	"shiplog/internal/deploy"
)

// choose finds what a pin's ref means for an app. What the app's own history answers is never asked of anybody else, so
// that going back works while git server and registry are down:
//
//	sha256:…         an image that was built or ran here (12 digits are enough)
//	v3, release:3    a release; a tag of that name is meant by tag:v3
//	7 to 64 hex      a commit that was built here
//	anything else    a branch, a tag or a commit, as the component's git server knows it; tag: and branch: choose
//
// note tells the person which of several meanings was taken.
func (s *server) choose(ctx context.Context, a deploy.App, req pinRequest) (cmd deploy.PinTo, note string, err error) {
	if err := knownComponent(a, req.Component); err != nil {
		return cmd, "", err
	}
	if req.Ref == "" {
		cmd, note, err = previousRelease(a, req.Component)
	} else if cmd, note, err = known(a, req.Component, req.Ref); err == nil && cmd.Ref == "" {
		cmd, note, err = s.asked(ctx, a, req.Component, req.Ref)
	}
	if err == nil && req.Rollback {
		note = strings.TrimPrefix(note+"; "+neverBuilt(a, cmd), "; ")
		note = strings.TrimSuffix(note, "; ")
	}
	return cmd, note, err
}

// known finds a ref in the app's own history. It is pure. A zero PinTo without an error means: not known here.
func known(a deploy.App, component, ref string) (cmd deploy.PinTo, note string, err error) {
	if strings.HasPrefix(ref, "sha256:") {
		return knownDigest(a, component, ref)
	}
	if number, forced, ok := releaseNumber(ref); ok && (forced || number <= len(a.Releases)) {
		cmd, note, err = pinToRelease(a, number, component)
		if cmd.Ref = ref; !forced {
			note = fmt.Sprintf("%s is taken for release %d; a tag of that name is tag:%s", ref, number, ref)
		}
		return cmd, note, err
	}
	hex, forced := strings.CutPrefix(ref, "commit:")
	if isCommitPrefix(hex) {
		cmd, note, err = knownCommit(a, component, hex)
		if cmd.Ref != "" {
			cmd.Ref = ref
		}
	}
	if forced && err == nil && cmd.Ref == "" && !isCommitPrefix(hex) {
		err = invalid("%q is not a commit: give 7 to 64 hex digits", hex)
	}
	return cmd, note, err
}

// releaseNumber reads "v3" and "release:3"; forced is true for the second, which can mean nothing else.
func releaseNumber(ref string) (n int, forced, ok bool) {
	digits, forced := strings.CutPrefix(ref, "release:")
	if !forced {
		digits, ok = strings.CutPrefix(ref, "v")
		if !ok {
			return 0, false, false
		}
	} else {
		digits = strings.TrimPrefix(digits, "v")
	}
	n, err := strconv.Atoi(digits)
	if err != nil || n < 1 || digits != strconv.Itoa(n) {
		return 0, forced, forced
	}
	return n, forced, true
}

// pinToRelease pins to release n: its images and, for the whole app, its configuration.
func pinToRelease(a deploy.App, n int, component string) (cmd deploy.PinTo, note string, err error) {
	if n < 1 || n > len(a.Releases) {
		if len(a.Releases) == 0 {
			return cmd, "", invalid("app %s has no release yet", a.Name)
		}
		return cmd, "", invalid("app %s has no such release; the newest is v%d (shiplog releases %s lists them)", a.Name, len(a.Releases), a.Name)
	}
	rel := a.Releases[n-1]
	cmd = deploy.PinTo{Component: component, Kind: events.RefRelease, Ref: fmt.Sprintf("v%d", n), Targets: rel.Have, SpecHash: rel.SpecHash, Mode: events.BuildReuse}
	if component != "" {
		t, ok := rel.Have[component]
		if !ok {
			return deploy.PinTo{}, "", invalid("release %d had no component %s", n, component)
		}
		cmd.Targets, cmd.SpecHash = map[string]events.Target{component: t}, ""
	}
	for name, t := range cmd.Targets {
		if gone(a, name, t) {
			return deploy.PinTo{}, "", imageGone("the image of %s in release %d (%s) was removed; pin to commit %s to build it again",
				name, n, t.Digest.Short(), t.Revision.Commit.Short())
		}
	}
	return cmd, "", nil
}

// gone reports whether an image that we built was removed since.
func gone(a deploy.App, component string, t events.Target) bool {
	return !t.Revision.IsZero() && !slices.ContainsFunc(a.Images[component], func(i deploy.Image) bool { return i.Digest == t.Digest })
}

// previousRelease is the release that a rollback without a ref goes to: the newest before what serves that is not the
// same again. What serves may itself be a rollback; then it counts as the release it brought back, so that going back
// twice goes back two steps and not to and fro.
func previousRelease(a deploy.App, component string) (cmd deploy.PinTo, note string, err error) {
	now, ok := a.Running()
	if !ok {
		return cmd, "", invalid("app %s has never run: there is nothing to go back to", a.Name)
	}
	from := now
	for from.RolledFrom > 0 && from.RolledFrom < from.Number {
		from = a.Releases[from.RolledFrom-1]
	}
	for n := from.Number - 1; n >= 1; n-- {
		rel := a.Releases[n-1]
		if sameContent(rel, now, component) {
			continue
		}
		if cmd, note, err = pinToRelease(a, n, component); err == nil {
			return cmd, note, nil
		}
	}
	if err == nil {
		err = invalid("there is no release before v%d that is any different; shiplog releases %s lists them", from.Number, a.Name)
	}
	return deploy.PinTo{}, "", err
}

func sameContent(r, now deploy.Release, component string) bool {
	if component != "" {
		return r.Have[component] == now.Have[component]
	}
	if r.SpecHash != now.SpecHash || len(r.Have) != len(now.Have) {
		return false
	}
	for name, t := range r.Have {
		if !t.Same(now.Have[name]) {
			return false
		}
	}
	return true
}

// neverBuilt tells, of a rollback, what has to be built for it: a person in a hurry should know that it takes longer.
func neverBuilt(a deploy.App, cmd deploy.PinTo) string {
	for _, name := range slices.Sorted(maps.Keys(cmd.Targets)) {
		t := cmd.Targets[name]
		if t.Digest == "" && !slices.ContainsFunc(a.Images[name], func(i deploy.Image) bool { return i.Revision.Commit == t.Revision.Commit }) {
			return fmt.Sprintf("%s (commit %s) was never built for %s: it is built first", cmd.Ref, t.Revision.Commit.Short(), name)
		}
	}
	return ""
}
