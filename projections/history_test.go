package projections

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"shiplog/events"
)

// tape is an events.Log that plays recorded events, of which only the first few are visible yet. Its events are decoded
// anew for every reader.
type tape struct {
	all   []events.Recorded
	quick bool // hand out what was recorded, for benchmarks

	mu      sync.Mutex
	epoch   uint64
	visible int
	grown   chan struct{}
	fail    error // what reads answer
}

var _ events.Log = (*tape)(nil)

func newTape(all []events.Recorded) *tape {
	return &tape{all: all, epoch: 1, visible: len(all), grown: make(chan struct{})}
}

func (t *tape) show(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.visible = min(n, len(t.all))
	close(t.grown)
	t.grown = make(chan struct{})
}

func (t *tape) refuse(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.fail = err
}

func (t *tape) now() (events.Position, chan struct{}, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return events.Position{Epoch: t.epoch, Sequence: uint64(t.visible)}, t.grown, t.fail
}

func (t *tape) at(i int) (events.Recorded, error) {
	r := t.all[i]
	if t.quick {
		return r, nil
	}
	headers := r.Headers()
	epoch, _, _ := t.now()
	return events.Open(events.Position{Epoch: epoch.Epoch, Sequence: r.Position.Sequence}, r.Subject,
		func(name string) string { return headers[name] }, r.Body)
}

func (t *tape) Last(context.Context) (events.Position, error) {
	last, _, err := t.now()
	return last, err
}

func (t *tape) Replay(ctx context.Context, after events.Position) iter.Seq2[events.Recorded, error] {
	return t.play(ctx, after, false)
}

func (t *tape) Follow(ctx context.Context, after events.Position) iter.Seq2[events.Recorded, error] {
	return t.play(ctx, after, true)
}

func (t *tape) play(ctx context.Context, after events.Position, follow bool) iter.Seq2[events.Recorded, error] {
	return func(yield func(events.Recorded, error) bool) {
		last, grown, err := t.now()
		if err == nil {
			err = events.CheckAfter(after, last)
		}
		if err != nil {
			yield(events.Recorded{}, err)
			return
		}
		for i := int(after.Sequence); ; {
			for ; i < int(last.Sequence); i++ {
				r, err := t.at(i)
				if ctx.Err() != nil || !yield(r, err) || err != nil {
					return
				}
			}
			if !follow {
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-grown:
			}
			last, grown, _ = t.now()
		}
	}
}

func (t *tape) Append(context.Context, ...events.Append) ([]events.Recorded, error) {
	return nil, errors.New("a tape is not written to")
}

func (t *tape) Head(context.Context, events.Subject) (events.Head, error) {
	return events.Head{}, errors.New("a tape has no heads")
}

func (t *tape) Read(context.Context, events.Subject, events.Position) iter.Seq2[events.Recorded, error] {
	return func(yield func(events.Recorded, error) bool) { yield(events.Recorded{}, errors.New("not on a tape")) }
}

// author writes histories. The same seed gives the same history.
type author struct {
	rng   *rand.Rand
	seed  uint64
	now   time.Time
	heads map[events.Subject]events.Head
	all   []events.Recorded
	apps  []*life
}

// life is what the author knows of an app.
type life struct {
	id         events.ID
	name       string
	spec       events.Spec
	pushes     int
	unjudged   []events.PushReceived
	generation uint64
	releases   int
	open       []events.DeploymentRequested
	stage      map[events.ID]int
}

var start = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// write returns a history of n events of some apps.
func write(seed uint64, n, apps int) []events.Recorded {
	a := &author{rng: rand.New(rand.NewPCG(seed, 7)), seed: seed, now: start, heads: map[events.Subject]events.Head{}}
	for i := range apps {
		a.create(fmt.Sprintf("app-%d-%03d", seed, i))
	}
	for len(a.all) < n {
		a.step(a.apps[a.rng.IntN(len(a.apps))])
	}
	return a.all[:n]
}

func (a *author) add(subject events.Subject, deployment events.ID, e events.Event) events.Recorded {
	a.now = a.now.Add(time.Duration(a.rng.IntN(5000)) * time.Millisecond)
	r, err := events.Seal(subject, a.heads[subject].Hash, events.Draft{
		ID: events.NamedID("event", fmt.Sprint(a.seed), fmt.Sprint(len(a.all))), At: a.now, Actor: "token:ann", Cause: "test",
		Deployment: deployment, Event: e,
	})
	if err != nil {
		panic(err)
	}
	r.Position = events.Position{Epoch: 1, Sequence: uint64(len(a.all) + 1)}
	a.all, a.heads[subject] = append(a.all, r), r.Head()
	return r
}

func commitOf(n int) events.Commit { return events.Commit(fmt.Sprintf("%040x", n+1)) }

func digestOf(n int) events.Digest { return events.Digest(fmt.Sprintf("sha256:%064x", n+1)) }

func (a *author) create(name string) *life {
	l := &life{id: events.NamedID("app", name), name: name, stage: map[events.ID]int{}}
	l.spec = events.Spec{Name: name, Services: []events.Component{
		{Name: "web", HTTPPort: 8080, Git: &events.GitSource{RepoCloneURL: "https://git.example/" + name + ".git", Branch: "main"}},
	}}
	a.add(events.NameSubject("app", name), "", events.NameClaimed{App: l.id})
	a.add(events.AppSubject(l.id), "", events.AppCreated{Name: name, Spec: l.spec})
	a.apps = append(a.apps, l)
	return l
}

func (a *author) step(l *life) {
	subject := events.AppSubject(l.id)
	switch roll := a.rng.IntN(20); {
	case roll < 4:
		p := events.PushReceived{
			Provider: "github", Delivery: fmt.Sprintf("%s-%d", l.name, l.pushes), Repository: "https://git.example/" + l.name + ".git",
			Ref: "refs/heads/main", After: commitOf(l.pushes), Message: "Change \"things\" and — more", Paths: []string{"a.go", "b/c.go"},
		}
		l.pushes++
		l.unjudged = append(l.unjudged, p)
		a.add(subject, "", p)
	case roll < 8 && len(l.unjudged) > 0:
		p := l.unjudged[0]
		l.unjudged = l.unjudged[1:]
		e := events.PushJudged{
			Delivery: p.Delivery, Change: p.Change, Ref: p.Ref, Repository: p.Repository, Verdict: events.VerdictDeploys,
			Revision: events.Revision{Ref: p.Ref, Commit: p.After}, Components: []string{"web"},
		}
		a.add(subject, "", e)
		a.request(l, events.IntentPush, map[string]events.Target{"web": {Revision: e.Revision}})
	case roll == 8:
		a.request(l, events.IntentRestart, nil)
	case roll == 9:
		kind := []events.Event{
			events.Pinned{Kind: events.RefCommit, Ref: "abc", Reason: "bad \x01 day", Resolved: map[string]events.Target{"web": {Revision: events.Revision{Commit: commitOf(3)}}}},
			events.Unpinned{Why: events.UnpinByHand}, events.AppStopped{Reason: "night"}, events.AppStarted{},
			events.SpecChanged{Spec: l.spec}, events.Quarantined{Commit: commitOf(9), Reason: "broken"},
			events.InstanceFailed{Component: "web", Instance: "web-1", Reason: "exit 1", Count: 1},
		}[a.rng.IntN(7)]
		a.add(subject, "", kind)
	case roll == 10 && a.rng.IntN(200) == 0:
		a.add(subject, "", events.AppDeleted{})
		a.add(events.NameSubject("app", l.name), "", events.NameFreed{App: l.id})
		for i, other := range a.apps {
			if other == l {
				a.apps[i] = a.create(strings.Replace(l.name, "app", "again", 1))
				a.apps = a.apps[:len(a.apps)-1]
			}
		}
	case len(l.open) > 0:
		a.advance(l, a.rng.IntN(len(l.open)))
	}
}

func (a *author) request(l *life, intent events.Intent, want map[string]events.Target) {
	l.generation++
	id := events.NamedID("deployment", string(l.id), fmt.Sprint(l.generation))
	e := events.DeploymentRequested{
		Work: events.Work{Deployment: id, Generation: l.generation}, Intent: intent, Cause: "a test", Want: want,
		SpecHash: l.spec.Hash(), Mode: events.BuildReuse,
	}
	a.add(events.AppSubject(l.id), id, e)
	if len(l.open) == 3 {
		old := l.open[0]
		a.add(events.AppSubject(l.id), old.Deployment, events.DeploymentSuperseded{Work: old.Work, By: id})
		l.open = l.open[1:]
	}
	l.open = append(l.open, e)
}

func (a *author) advance(l *life, i int) {
	d := l.open[i]
	subject, rev := events.AppSubject(l.id), d.Want["web"].Revision
	have := map[string]events.Target{"web": {Revision: rev, Digest: digestOf(int(d.Generation))}}
	l.stage[d.Deployment]++
	stage := l.stage[d.Deployment]
	if d.Intent == events.IntentRestart && stage < 3 {
		stage, l.stage[d.Deployment] = 3, 3
	}
	over := true
	switch {
	case a.rng.IntN(12) == 0:
		a.add(subject, d.Deployment, events.DeploymentFailed{Work: d.Work, Component: "web", Step: "build", Reason: "no luck"})
	case stage == 1:
		over = false
		a.add(subject, d.Deployment, events.BuildStarted{Work: d.Work, Component: "web", Attempt: 1, Builder: "b1", Until: a.now.Add(time.Minute)})
	case stage == 2:
		over = false
		key := l.spec.BuildKey(l.spec.Services[0], rev.Commit)
		a.add(subject, d.Deployment, events.ImageBuilt{Work: d.Work, Component: "web", Attempt: 1, Revision: rev, Digest: have["web"].Digest, Key: key})
	case stage == 3:
		over = false
		a.add(subject, d.Deployment, events.RolloutStarted{Work: d.Work, Attempt: 1, Have: have})
	default:
		e := events.Released{Work: d.Work, SpecHash: d.SpecHash, Have: have}
		if d.Intent != events.IntentRestart {
			l.releases++
			e.Number = l.releases
		}
		a.add(subject, d.Deployment, e)
	}
	if over {
		l.open = append(l.open[:i:i], l.open[i+1:]...)
		delete(l.stage, d.Deployment)
	}
}
