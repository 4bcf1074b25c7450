package reactor_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"shiplog/events"
	"shiplog/internal/deploy"
	"shiplog/internal/memlog"
	"shiplog/internal/reactor"
)

const source = "http://localhost/git/hello.git"

// shop is a service in small: a log, the mind, and hands that only report.
type shop struct {
	t       *testing.T
	log     *memlog.Log
	handler *deploy.Handler
	app     events.ID
	hands   map[deploy.ActionKind]reactor.Hand
	reactor *reactor.Reactor
	n       atomic.Int64
}

func open(t *testing.T) *shop {
	log := memlog.New()
	s := &shop{t: t, log: log, handler: deploy.NewHandler(log, nil)}
	spec := events.Spec{Name: "hello", Services: []events.Component{{Name: "web", Git: &events.GitSource{RepoCloneURL: source, Branch: "main"}}}}
	res, err := s.handler.Create(t.Context(), "hello", deploy.Order{ID: "create", Actor: "token:ann", At: time.Now(), Command: deploy.CreateApp{Spec: spec}})
	if err != nil {
		t.Fatal(err)
	}
	s.app = res.App.ID
	s.hands = map[deploy.ActionKind]reactor.Hand{
		deploy.ActJudge:   s.judge,
		deploy.ActBuild:   s.build,
		deploy.ActRollout: s.roll,
		deploy.ActHold:    func(context.Context, deploy.App, deploy.Action) error { return nil },
		deploy.ActUnpin:   s.unpin,
	}
	return s
}

func (s *shop) do(c deploy.Command) error {
	_, err := s.handler.Do(context.Background(), s.app, deploy.Order{
		ID: fmt.Sprint("o", s.n.Add(1)), Actor: "token:ann", At: time.Now(), Command: c,
	})
	return err
}

func (s *shop) push(digit string) {
	s.t.Helper()
	err := s.do(deploy.ReceivePush{Push: events.PushReceived{
		Provider: "git", Delivery: "d" + digit, Repository: source, Ref: events.Branch("main"), After: events.Commit(strings.Repeat(digit, 40)),
	}})
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *shop) judge(_ context.Context, app deploy.App, a deploy.Action) error {
	p := app.Pending[a.Push]
	return s.do(deploy.JudgePush{Push: a.Push, Resolved: events.Revision{Ref: p.Ref, Commit: p.After}})
}

func (s *shop) build(_ context.Context, app deploy.App, a deploy.Action) error {
	if err := s.do(deploy.ClaimBuild{Deployment: a.Deployment, Component: a.Component, Builder: "b", Until: time.Now().Add(time.Hour)}); err != nil {
		return err
	}
	attempt := app.Deployments[a.Deployment].Parts[a.Component].Attempt + 1
	return s.do(deploy.FinishBuild{Deployment: a.Deployment, Component: a.Component, Attempt: attempt, Digest: events.Digest("sha256:" + strings.Repeat("a", 64))})
}

func (s *shop) roll(_ context.Context, _ deploy.App, a deploy.Action) error {
	if err := s.do(deploy.StartRollout{Deployment: a.Deployment}); err != nil {
		return err
	}
	return s.do(deploy.FinishRollout{Deployment: a.Deployment})
}

func (s *shop) unpin(_ context.Context, _ deploy.App, a deploy.Action) error {
	return s.do(deploy.Unpin{Component: a.Component, Why: events.UnpinExpired})
}

// run starts a reactor that ends with the test; stop ends it sooner.
func (s *shop) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	r := reactor.New(reactor.Options{
		Desk: s.handler, Log: s.log, Hands: s.hands, Slog: slog.New(slog.DiscardHandler),
		Apps: func() ([]events.ID, events.Position) { return []events.ID{s.app}, events.Position{} },
	})
	s.reactor = r
	go func() {
		defer close(done)
		if err := r.Run(ctx); !errors.Is(err, context.Canceled) {
			s.t.Errorf("the reactor ended: %v", err)
		}
	}()
	stop = func() { cancel(); <-done }
	s.t.Cleanup(stop)
	return stop
}

// until waits for a state of the app, at most 10 s.
func (s *shop) until(what string, is func(deploy.App) bool) {
	s.t.Helper()
	for range 1000 {
		state, err := s.handler.State(s.t.Context(), s.app)
		if err != nil {
			s.t.Fatal(err)
		}
		if is(state) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.t.Fatalf("never: %s", what)
}

func releases(n int) func(deploy.App) bool {
	return func(a deploy.App) bool { return len(a.Releases) == n && len(a.Live()) == 0 }
}

func TestAPushGoesAllTheWay(t *testing.T) {
	s := open(t)
	s.run()
	s.push("1")
	s.until("release 1", releases(1))
	s.push("2")
	s.until("release 2", releases(2))
}

func TestWhatWasDecidedBeforeTheStartIsDone(t *testing.T) {
	s := open(t)
	s.push("1")
	s.run()
	s.until("release 1", releases(1))
}

func TestAnActionThatIsNotWantedAnyMoreEnds(t *testing.T) {
	s := open(t)
	began, ended := make(chan struct{}), make(chan struct{})
	s.hands[deploy.ActBuild] = func(ctx context.Context, _ deploy.App, _ deploy.Action) error {
		close(began)
		<-ctx.Done()
		close(ended)
		return ctx.Err()
	}
	s.run()
	s.push("1")
	<-began
	state, _ := s.handler.State(t.Context(), s.app)
	if err := s.do(deploy.Cancel{Deployment: state.Live()[0].ID}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("the build goes on after the cancel")
	}
}

func TestWhatFailsIsTriedAgain(t *testing.T) {
	s := open(t)
	var tries atomic.Int64
	s.hands[deploy.ActRollout] = func(ctx context.Context, app deploy.App, a deploy.Action) error {
		if tries.Add(1) < 3 {
			return errors.New("the engine is away")
		}
		return s.roll(ctx, app, a)
	}
	s.run()
	s.push("1")
	s.until("release 1", releases(1))
	if n := tries.Load(); n != 3 {
		t.Errorf("%d tries, want 3", n)
	}
}

func TestNothingElseTouchesTheInstancesDuringARollout(t *testing.T) {
	s := open(t)
	var inside sync.Mutex
	alone := func(hand reactor.Hand) reactor.Hand {
		return func(ctx context.Context, app deploy.App, a deploy.Action) error {
			if !inside.TryLock() {
				t.Error("a rollout and a hold at once")
				return nil
			}
			defer inside.Unlock()
			time.Sleep(5 * time.Millisecond)
			return hand(ctx, app, a)
		}
	}
	for _, k := range []deploy.ActionKind{deploy.ActRollout, deploy.ActHold} {
		s.hands[k] = alone(s.hands[k])
	}
	s.run()
	for _, digit := range []string{"1", "2", "3", "4", "5"} {
		s.push(digit)
		s.until("the newest serves", func(a deploy.App) bool {
			return strings.HasPrefix(string(a.Serving["web"].Target.Revision.Commit), digit) && len(a.Live()) == 0
		})
	}
}

func TestAPinExpiresByItself(t *testing.T) {
	s := open(t)
	s.run()
	s.push("1")
	s.until("release 1", releases(1))
	target := events.Target{Revision: events.Revision{Commit: events.Commit(strings.Repeat("1", 40))}}
	if err := s.do(deploy.PinTo{
		Kind: events.RefCommit, Ref: "1111111", Targets: map[string]events.Target{"web": target}, Mode: events.BuildReuse,
		Expires: time.Now().Add(300 * time.Millisecond),
	}); err != nil {
		t.Fatal(err)
	}
	s.until("no pin", func(a deploy.App) bool { return len(a.Pins) == 0 })
}

func TestWhatChangedByItselfIsHeldAgain(t *testing.T) {
	s := open(t)
	var holds atomic.Int64
	s.hands[deploy.ActHold] = func(context.Context, deploy.App, deploy.Action) error { holds.Add(1); return nil }
	s.run()
	s.until("the first hold", func(deploy.App) bool { return holds.Load() == 1 })
	s.reactor.Changed(s.app)
	s.until("another hold", func(deploy.App) bool { return holds.Load() == 2 })
}

func TestAChangeDuringAHoldIsHeldAgain(t *testing.T) {
	s := open(t)
	var holds atomic.Int64
	began, goOn := make(chan struct{}), make(chan struct{})
	s.hands[deploy.ActHold] = func(context.Context, deploy.App, deploy.Action) error {
		if holds.Add(1) == 1 {
			close(began)
			<-goOn
		}
		return nil
	}
	s.run()
	<-began
	s.reactor.Changed(s.app)
	close(goOn)
	s.until("another hold", func(deploy.App) bool { return holds.Load() == 2 })
}

func TestStopWaitsForItsHands(t *testing.T) {
	s := open(t)
	began := make(chan struct{})
	var ended atomic.Bool
	s.hands[deploy.ActBuild] = func(ctx context.Context, _ deploy.App, _ deploy.Action) error {
		close(began)
		<-ctx.Done()
		time.Sleep(50 * time.Millisecond)
		ended.Store(true)
		return ctx.Err()
	}
	stop := s.run()
	s.push("1")
	<-began
	stop()
	if !ended.Load() {
		t.Error("the reactor ended before its build did")
	}
}

// An app whose git server hangs leaves places for the pushes of others.
func TestJudgesOfOneAppAreBounded(t *testing.T) {
	s := open(t)
	var under, most atomic.Int64
	s.hands[deploy.ActJudge] = func(ctx context.Context, _ deploy.App, _ deploy.Action) error {
		n := under.Add(1)
		defer under.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		select { // hangs a while
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
		return errors.New("the git server hangs")
	}
	for _, digit := range strings.Split("123456789abc", "") {
		s.push(digit)
	}
	stop := s.run()
	defer stop()
	time.Sleep(300 * time.Millisecond)
	if n := most.Load(); n < 2 || n > 4 {
		t.Errorf("%d judged at once, want at most 4", n)
	}
}
