package gitwatch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"shiplog/events"
	"shiplog/internal/deploy"
	"shiplog/internal/git"
)

// Newest returns the newest revision or digest of a component's source: of the branch (or tag, or commit) of its branch
// field, or of the branch that a pin follows. A branch that a built-in repository does not have yet is a zero Target
// without an error: it waits for a push. The repository of a built-in source is made when it is missing.
//
// Errors name the source and the next step.
func (w *Watch) Newest(ctx context.Context, app deploy.App, _ events.Spec, c events.Component) (events.Target, error) {
	if c.Image != nil {
		return w.newestImage(ctx, c)
	}
	url, branch, ok := c.Repository()
	if !ok {
		return events.Target{}, fmt.Errorf("component %s has no source", c.Name)
	}
	src, builtIn := w.Source(url)
	if builtIn != "" {
		if err := w.Remote.Ensure(builtIn); err != nil {
			return events.Target{}, err
		}
	}
	if commit, err := events.ParseCommit(branch); err == nil {
		return w.commit(ctx, app, c, commit)
	}
	refs, err := git.Refs(ctx, src)
	if err != nil {
		return events.Target{}, err
	}
	ref := follows(app, c, branch, refs)
	commit, found := refs[ref]
	switch {
	case found:
		return w.kept(ctx, builtIn, events.Revision{Ref: ref, Commit: commit})
	case builtIn != "":
		return events.Target{}, nil
	}
	return events.Target{}, fmt.Errorf("%s has no branch or tag called %s%s; push it, or change the component's branch", git.Redact(url), ref.Short(), has(refs))
}

// follows is the ref that a component follows: that of a pin to a branch, else what its branch field means. The field is a
// short name, which a branch and a tag can share; then the one that the component runs from counts, else the branch.
func follows(app deploy.App, c events.Component, branch string, refs map[events.RefName]events.Commit) events.RefName {
	if pin, pinned := app.PinOf(c.Name); pinned && pin.Kind == events.RefBranch {
		if ref := pin.Resolved[c.Name].Revision.Ref; ref != "" {
			return ref
		}
	}
	from := app.Want[c.Name].Revision.Ref
	if _, there := refs[from]; there && from.Short() == branch {
		return from
	}
	if _, there := refs[events.Branch(branch)]; !there {
		if _, there := refs[events.Tag(branch)]; there {
			return events.Tag(branch)
		}
	}
	return events.Branch(branch)
}

// kept makes a target of a revision, which a force-push may not take away where we can help it.
func (w *Watch) kept(ctx context.Context, builtIn string, r events.Revision) (events.Target, error) {
	if builtIn != "" {
		if err := w.Remote.Keep(ctx, builtIn, r.Commit); err != nil {
			return events.Target{}, err
		}
	}
	return events.Target{Revision: r}, nil
}

// commit returns a full commit as a target, once it is known to be there. What was built here is taken for that.
func (w *Watch) commit(ctx context.Context, app deploy.App, c events.Component, commit events.Commit) (events.Target, error) {
	url, _, _ := c.Repository()
	src, builtIn := w.Source(url)
	r := events.Revision{Commit: commit}
	for _, known := range revisions(app, url) {
		if known.Commit == commit {
			return events.Target{Revision: known}, nil
		}
	}
	there, err := git.HasCommit(ctx, src, commit)
	if err != nil {
		return events.Target{}, err
	}
	if !there {
		return events.Target{}, fmt.Errorf("%s has no commit %s; push it, or choose another", git.Redact(url), commit)
	}
	return w.kept(ctx, builtIn, r)
}

// Ref returns what a person's ref means in a component's source. "branch:NAME", "tag:NAME", "commit:DIGITS" and full ref
// names say what is meant; a bare name is a branch or a tag, and an error where it is both; 40 or 64 hex digits are a
// commit, and 7 or more the beginning of one that the app or a built-in repository knows.
//
// When the git server cannot be reached and the log knows where the ref was seen last, that is taken, and Note says so.
func (w *Watch) Ref(ctx context.Context, app deploy.App, c events.Component, ref string) (deploy.Resolved, error) {
	if c.Image != nil {
		return w.imageRef(ctx, c, ref)
	}
	url, _, ok := c.Repository()
	if !ok {
		return deploy.Resolved{}, fmt.Errorf("component %s has no source", c.Name)
	}
	digits, isCommit := strings.CutPrefix(ref, "commit:")
	if commit, err := events.ParseCommit(digits); err == nil {
		t, err := w.commit(ctx, app, c, commit)
		return deploy.Resolved{Target: t, Kind: events.RefCommit}, err
	}
	if isCommit {
		return w.short(ctx, app, c, digits)
	}
	candidates, err := candidateRefs(ref)
	if err != nil {
		return deploy.Resolved{}, err
	}
	src, builtIn := w.Source(url)
	refs, err := git.Refs(ctx, src)
	note := ""
	if errors.Is(err, git.ErrUnreachable) {
		if refs = knownRefs(app, url); len(pick(refs, candidates)) > 0 {
			note = fmt.Sprintf("the git server cannot be reached: this is where %s was seen last", ref)
			err = nil
		}
	}
	if err != nil && !(builtIn != "" && errors.Is(err, git.ErrNoRef)) {
		return deploy.Resolved{}, err
	}
	switch found := pick(refs, candidates); {
	case len(found) == 2:
		return deploy.Resolved{}, fmt.Errorf("%s has a branch and a tag called %s: write branch:%s or tag:%s", git.Redact(url), ref, ref, ref)
	case len(found) == 1 && note != "":
		return resolved(events.Target{Revision: events.Revision{Ref: found[0], Commit: refs[found[0]]}}, found[0], note), nil
	case len(found) == 1:
		t, err := w.kept(ctx, builtIn, events.Revision{Ref: found[0], Commit: refs[found[0]]})
		return resolved(t, found[0], note), err
	case isShort(ref):
		return w.short(ctx, app, c, ref)
	}
	return deploy.Resolved{}, fmt.Errorf("%s has nothing called %s%s", git.Redact(url), cut(ref, 100), has(refs))
}

func resolved(t events.Target, ref events.RefName, note string) deploy.Resolved {
	kind := events.RefBranch
	if ref.IsTag() {
		kind = events.RefTag
	}
	return deploy.Resolved{Target: t, Kind: kind, Note: note}
}

// candidateRefs lists the full names that a person's ref can mean.
func candidateRefs(ref string) ([]events.RefName, error) {
	full := []string{"refs/heads/" + ref, "refs/tags/" + ref}
	if name, ok := strings.CutPrefix(ref, "branch:"); ok {
		full = []string{"refs/heads/" + name}
	} else if name, ok := strings.CutPrefix(ref, "tag:"); ok {
		full = []string{"refs/tags/" + name}
	} else if strings.HasPrefix(ref, "refs/") {
		full = []string{ref}
	}
	var out []events.RefName
	for _, f := range full {
		r, err := events.ParseRefName(f)
		if err != nil || !r.IsBranch() && !r.IsTag() {
			return nil, fmt.Errorf("%q cannot be the name of a branch, a tag or a commit", cut(ref, 100))
		}
		out = append(out, r)
	}
	return out, nil
}

func pick(refs map[events.RefName]events.Commit, candidates []events.RefName) (found []events.RefName) {
	for _, c := range candidates {
		if refs[c] != "" {
			found = append(found, c)
		}
	}
	return found
}

// isShort reports whether a ref can be the beginning of a commit.
func isShort(ref string) bool {
	return len(ref) >= 7 && len(ref) <= 64 && strings.Trim(ref, "0123456789abcdef") == ""
}

// short finds the commit that begins with digits among those the app knows, and in a built-in repository.
func (w *Watch) short(ctx context.Context, app deploy.App, c events.Component, digits string) (deploy.Resolved, error) {
	if !isShort(digits) {
		return deploy.Resolved{}, fmt.Errorf("%q is not a commit: give 7 to 64 lower-case hex digits", cut(digits, 100))
	}
	url, _, _ := c.Repository()
	var found []events.Commit
	for _, r := range revisions(app, url) {
		if strings.HasPrefix(string(r.Commit), digits) {
			found = append(found, r.Commit)
		}
	}
	if src, builtIn := w.Source(url); builtIn != "" {
		switch commit, err := git.Expand(src.Local, digits); {
		case err == nil:
			found = append(found, commit)
		case !errors.Is(err, git.ErrNoRef):
			return deploy.Resolved{}, err
		}
	}
	commit, err := git.Only(digits, found, git.Redact(url))
	if err != nil {
		return deploy.Resolved{}, err
	}
	t, err := w.commit(ctx, app, c, commit)
	return deploy.Resolved{Target: t, Kind: events.RefCommit}, err
}

// revisions lists the revisions that the app's log knows of a repository.
func revisions(app deploy.App, url string) []events.Revision {
	var out []events.Revision
	for _, c := range app.Spec.Components() {
		if u, _, ok := c.Repository(); !ok || u != url {
			continue
		}
		for _, i := range app.Images[c.Name] {
			out = append(out, i.Revision)
		}
		for _, r := range app.Releases {
			out = append(out, r.Have[c.Name].Revision)
		}
		out = append(out, app.Want[c.Name].Revision, app.Held[c.Name].Revision)
	}
	for ref, commit := range knownRefs(app, url) {
		out = append(out, events.Revision{Ref: ref, Commit: commit})
	}
	return slices.DeleteFunc(out, events.Revision.IsZero)
}

// has lists a few branches, for a message.
func has(refs map[events.RefName]events.Commit) string {
	var names []string
	for _, r := range slices.Sorted(maps.Keys(refs)) {
		if r.IsBranch() && len(names) < 5 {
			names = append(names, r.Short())
		}
	}
	if len(names) == 0 {
		return " (it has no branches)"
	}
	if len(names) == 1 {
		return " (it has the branch " + names[0] + ")"
	}
	return " (it has the branches " + strings.Join(names, ", ") + ")"
}
