package gitwatch

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"shiplog/events"
	"shiplog/internal/deploy"
	"shiplog/internal/git"
)

// maxChanges is how many changes of refs one comparison records, those that components follow first. The rest is recorded
// by the next.
const maxChanges = 100

// Compare makes sure that an app's log knows where the refs of its built-in repositories are: each difference becomes a
// received push of the actor's. It makes the repositories where they are missing. It waits for pushes that are being
// taken, so it must not be called from within one (see Pushed). Errors are those of the log and of the repository.
func (w *Watch) Compare(ctx context.Context, app events.ID, actor events.Actor) error {
	state, err := w.Desk.State(ctx, app)
	if err != nil || !state.Exists() {
		return err
	}
	for url, name := range w.builtIn(state.Spec) {
		err := w.Remote.Exclusive(ctx, name, func() error {
			if _, err := w.compare(ctx, app, url, name, actor); err != nil {
				return err
			}
			return w.Remote.Tidy(ctx, name)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// CompareAll compares every app that takes its code from a built-in repository. A client that is about to push has it
// called, so that what an earlier push left unrecorded is recorded, or nothing more is taken.
func (w *Watch) CompareAll(ctx context.Context, name string) error {
	apps, err := w.using(ctx, name)
	if err != nil {
		return err
	}
	for _, a := range apps {
		if err := w.Compare(ctx, a.ID, events.Self); err != nil {
			return err
		}
	}
	return nil
}

// Pushed records a push that the built-in remote has just stored, in the log of every app that uses the repository. say
// tells the person who pushed what comes of it. It is the remote's AfterPush: the push is being taken while it runs.
func (w *Watch) Pushed(ctx context.Context, name string, actor events.Actor) (say string, err error) {
	apps, err := w.using(ctx, name)
	if err != nil {
		return "", err
	}
	var lines []string
	for _, a := range apps {
		for url, repository := range w.builtIn(a.Spec) {
			if repository != name {
				continue
			}
			pushes, err := w.compare(ctx, a.ID, url, name, actor)
			if err != nil {
				return "", err
			}
			for _, p := range pushes {
				lines = append(lines, says(a, url, p))
			}
		}
	}
	if len(apps) == 0 {
		lines = append(lines, "shiplog: no app uses this repository")
	}
	const most = 6
	if len(lines) > most {
		lines = append(lines[:most], fmt.Sprintf("shiplog: and %d more", len(lines)-most))
	}
	return strings.Join(lines, "\n"), nil
}

// says is the line for the person who pushed. What comes of the push is decided after it is recorded.
func says(a deploy.App, url string, p events.PushReceived) string {
	switch {
	case p.After == "":
		return fmt.Sprintf("shiplog: %s: %s is gone; what runs goes on running", a.Name, p.Ref.Short())
	case !followed(a, url, p.Ref):
		return fmt.Sprintf("shiplog: %s: %s@%s is recorded; no component follows it", a.Name, p.Ref.Short(), p.After.Short())
	}
	return fmt.Sprintf("shiplog: %s: %s@%s is recorded; follow it with: shiplog logs %s", a.Name, p.Ref.Short(), p.After.Short(), a.Name)
}

// builtIn lists the built-in repositories of a spec: clone URL, as the spec writes it -> name.
func (w *Watch) builtIn(spec events.Spec) map[string]string {
	found := map[string]string{}
	if w.Remote == nil {
		return found
	}
	for _, c := range spec.Components() {
		if url, _, ok := c.Repository(); ok {
			if name, ours := git.Match(url, w.Bases); ours {
				found[url] = name
			}
		}
	}
	return found
}

// Uses reports whether an app takes code from a built-in repository.
func (w *Watch) Uses(ctx context.Context, name string) (bool, error) {
	apps, err := w.using(ctx, name)
	return len(apps) > 0, err
}

// using returns the apps that take code from a built-in repository.
func (w *Watch) using(ctx context.Context, name string) ([]deploy.App, error) {
	ids, err := w.Apps(ctx)
	if err != nil {
		return nil, err
	}
	var apps []deploy.App
	for _, id := range ids {
		a, err := w.Desk.State(ctx, id)
		if err != nil {
			return nil, err
		}
		if !a.Exists() {
			continue
		}
		for _, repository := range w.builtIn(a.Spec) {
			if repository == name {
				apps = append(apps, a)
				break
			}
		}
	}
	return apps, nil
}

// compare records the differences between a repository's refs and what the app's log knows of them.
func (w *Watch) compare(ctx context.Context, app events.ID, url, name string, actor events.Actor) ([]events.PushReceived, error) {
	fail := func(err error) ([]events.PushReceived, error) {
		return nil, fmt.Errorf("compare the git repository %s with the log: %w", name, err)
	}
	if err := w.Remote.Ensure(name); err != nil {
		return fail(err)
	}
	refs, err := w.Remote.Refs(ctx, name)
	if err != nil {
		return fail(err)
	}
	state, err := w.Desk.State(ctx, app)
	if err != nil {
		return fail(err)
	}
	var pushes []events.PushReceived
	for _, p := range differences(state, url, refs) {
		p.Delivery = string(events.NamedID("git", name, string(p.Ref), string(p.Before), string(p.After), state.Head.Hash.String()))
		w.describe(ctx, name, &p)
		p.Pusher = string(actor)
		fit(&p)
		_, err := w.Desk.Do(ctx, app, deploy.Order{
			ID: orderID(p), Actor: actor, At: w.Now(), Command: deploy.ReceivePush{Push: p},
		})
		if err != nil {
			return fail(err)
		}
		pushes = append(pushes, p)
	}
	return pushes, nil
}

// differences lists the refs that are elsewhere than the log knows, at most maxChanges: those that components follow first.
func differences(a deploy.App, url string, refs map[events.RefName]events.Commit) []events.PushReceived {
	recorded := recordedRefs(a, url)
	var out []events.PushReceived
	add := func(ref events.RefName) {
		if recorded[ref] != refs[ref] {
			out = append(out, events.PushReceived{Provider: "git", Repository: url, Ref: ref, Before: recorded[ref], After: refs[ref]})
		}
	}
	for ref := range refs {
		add(ref)
	}
	for ref := range recorded {
		if _, there := refs[ref]; !there {
			add(ref)
		}
	}
	slices.SortFunc(out, func(x, y events.PushReceived) int {
		if fx, fy := followed(a, url, x.Ref), followed(a, url, y.Ref); fx != fy {
			if fx {
				return -1
			}
			return 1
		}
		return cmp.Compare(x.Ref, y.Ref)
	})
	return out[:min(len(out), maxChanges)]
}

// recordedRefs is where the pushes in the log put a built-in repository's refs. What a verdict or a person's deploy has
// seen of a ref does not count: it may have seen a push that is stored and not recorded yet.
func recordedRefs(a deploy.App, url string) map[events.RefName]events.Commit {
	recorded := map[events.RefName]events.Commit{}
	for key, commit := range a.Received {
		if ref, ok := strings.CutPrefix(key, deploy.SeenKey(url, "")); ok {
			recorded[events.RefName(ref)] = commit
		}
	}
	return recorded
}

// knownRefs is where the log knows a repository's refs to be: by the newest push that waits for its verdict, else by the
// last verdict.
func knownRefs(a deploy.App, url string) map[events.RefName]events.Commit {
	known := map[events.RefName]events.Commit{}
	for key, seen := range a.Seen {
		if ref, ok := strings.CutPrefix(key, deploy.SeenKey(url, "")); ok && seen.Commit != "" {
			known[events.RefName(ref)] = seen.Commit
		}
	}
	newest := map[events.RefName]deploy.PendingPush{}
	for _, p := range a.Pending {
		if p.Repository == url && !p.At.Before(newest[p.Ref].At) {
			newest[p.Ref] = p
		}
	}
	for ref, p := range newest {
		known[ref] = p.After
	}
	return known
}

// followed reports whether a component's source is the ref, or may be.
func followed(a deploy.App, url string, ref events.RefName) bool {
	return slices.ContainsFunc(a.Spec.Components(), func(c events.Component) bool {
		u, branch, ok := c.Repository()
		pin, pinned := a.PinOf(c.Name)
		return ok && u == url && (branch == ref.Short() || pinned && pin.Resolved[c.Name].Revision.Ref == ref)
	})
}

// describe adds what the repository knows of a change.
func (w *Watch) describe(ctx context.Context, name string, p *events.PushReceived) {
	if p.After == "" {
		return
	}
	if d, err := git.Describe(w.Remote.Path(name), p.After); err == nil {
		p.Message, p.Author = d.Message, d.Author
	}
	if p.Before == "" {
		p.MorePaths = true
		return
	}
	follows, err := w.Remote.Follows(ctx, name, p.After, p.Before)
	p.Forced = err != nil || !follows
	p.Paths, p.MorePaths = w.Remote.Changed(ctx, name, p.Before, p.After, maxPaths)
}
