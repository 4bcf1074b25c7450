package gitwatch

import (
	"context"
	"errors"
	"fmt"

	"shiplog/events"
	"shiplog/internal/deploy"
	"shiplog/internal/git"
)

// Judge resolves a pending push's ref at its source and reports what it is at. It returns nil when the push waits no more.
// An error means that nothing was reported: the server cannot be reached, or is behind what it told; try again later. A
// server that answers that there is no such ref, or refuses, is an answer, and reported.
func (w *Watch) Judge(ctx context.Context, app events.ID, push string) error {
	state, err := w.Desk.State(ctx, app)
	if err != nil {
		return err
	}
	p, waiting := state.Pending[push]
	if !waiting {
		return nil
	}
	verdict, err := w.resolve(ctx, p)
	if err != nil {
		return fmt.Errorf("judge push %s to %s: %w", push, p.Ref.Short(), err)
	}
	verdict.Push = push
	_, err = w.Desk.Do(ctx, app, deploy.Order{
		ID: "judge:" + push, Actor: p.Actor, Cause: string(p.Event), At: w.Now(), Command: verdict,
	})
	return err
}

// resolve finds out what a push's ref is at. Filters and skip marks will look at p here, and at the commit.
func (w *Watch) resolve(ctx context.Context, p deploy.PendingPush) (deploy.JudgePush, error) {
	src, builtIn := w.Source(p.Repository)
	found, err := git.Resolve(ctx, src, p.Ref)
	if final(err) {
		return deploy.JudgePush{Err: err.Error()}, nil
	}
	if err != nil {
		return deploy.JudgePush{}, err
	}
	commit := found[p.Ref]
	if builtIn == "" && w.behind(p, commit) {
		return deploy.JudgePush{}, fmt.Errorf("the git server does not show yet what it told: %s is not at %s", p.Ref.Short(), p.After.Short())
	}
	switch {
	case commit != "" && builtIn != "":
		if err := w.Remote.Keep(ctx, builtIn, commit); err != nil {
			return deploy.JudgePush{}, err
		}
	case commit == "" && p.After != "":
		return deploy.JudgePush{Err: fmt.Sprintf("there is no %s at %s any more; push it again", kindName(p.Ref), git.Redact(p.Repository))}, nil
	case commit == "":
		return deploy.JudgePush{}, nil
	}
	return deploy.JudgePush{Resolved: events.Revision{Ref: p.Ref, Commit: commit}}, nil
}

// behind reports whether a server still shows the state from before a push that it has just told of.
func (w *Watch) behind(p deploy.PendingPush, now events.Commit) bool {
	return now == p.Before && now != p.After && w.Now().Sub(p.At) < w.patience
}

// final reports whether an error of package git is an answer: asking again would give the same.
func final(err error) bool {
	return errors.Is(err, git.ErrNoRef) || errors.Is(err, git.ErrRefused) || errors.Is(err, git.ErrDenied) || errors.Is(err, git.ErrTooBig)
}

func kindName(ref events.RefName) string {
	switch {
	case ref.IsBranch():
		return "branch " + ref.Short()
	case ref.IsTag():
		return "tag " + ref.Short()
	}
	return string(ref)
}
