package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/client"
)

// Roll starts what is missing, waits, and on failure leaves things as they were.
func (d *Docker) Roll(ctx context.Context, r Rollout, progress io.Writer) ([]Instance, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	image, err := d.find(ctx, r.Image)
	if err != nil {
		return nil, err
	}
	if image == "" {
		return nil, fmt.Errorf("roll %s of %s: image %s: %w", r.Component, r.AppName, r.Image.Ref(), ErrNoImage)
	}
	if err := d.ensureNetwork(ctx, r.App); err != nil {
		return nil, err
	}
	have, err := d.generation(ctx, r)
	if err != nil {
		return nil, err
	}
	roll := &rolling{Docker: d, Rollout: r, image: image, progress: &lines{w: progress}, slots: make(chan struct{}, atOnce), mine: map[string]bool{}}
	return roll.run(ctx, have)
}

// check refuses what no spec that was checked can say.
func (r Rollout) check() error {
	if r.App == "" || r.AppName == "" || r.Component == "" || r.Count < 1 || r.Port < 0 || r.Port > 65535 {
		return fmt.Errorf("roll %s of %s: not a complete rollout", r.Component, r.AppName)
	}
	return nil
}

func (r Rollout) memory() int64 { return cmp.Or(r.Memory, DefaultMemory) }

// generation returns what is there of this component and generation.
func (d *Docker) generation(ctx context.Context, r Rollout) ([]Instance, error) {
	all, err := d.Instances(ctx, r.App)
	return slices.DeleteFunc(all, func(i Instance) bool { return i.Component != r.Component || i.Generation != r.Generation }), err
}

// rolling is one call of Roll.
type rolling struct {
	*Docker
	Rollout
	image    string // local name
	progress *lines
	slots    chan struct{} // starts at the same time

	mu   sync.Mutex
	mine map[string]bool // ids that were there before; true: started by this call all the same, or not healthy
}

// run brings up every instance, all at the same time. The first failure ends the others' waiting.
func (r *rolling) run(ctx context.Context, have []Instance) ([]Instance, error) {
	byIndex := map[int]Instance{}
	for _, i := range have {
		byIndex[i.Index] = i
		r.mine[i.ID] = false
	}
	deadline := r.Deadline
	if deadline == 0 {
		deadline = DefaultDeadline
	}
	limited, cancel := context.WithTimeoutCause(ctx, deadline, fmt.Errorf("the rollout took longer than %v", deadline))
	defer cancel()
	limited, fail := context.WithCancelCause(limited)
	defer fail(nil)

	up := make([]Instance, r.Count)
	errs := make([]error, r.Count)
	var wg sync.WaitGroup
	for n := range up {
		wg.Go(func() {
			if up[n], errs[n] = r.one(limited, n+1, byIndex[n+1]); errs[n] != nil {
				fail(&failure{errs[n]}) // the first one becomes the cause
			}
		})
	}
	wg.Wait()
	if errors.Join(errs...) == nil {
		return up, nil
	}
	err := errs[slices.IndexFunc(errs, func(err error) bool { return err != nil })]
	if first := (*failure)(nil); errors.As(context.Cause(limited), &first) {
		err = first.error
	}
	if left := r.undo(context.WithoutCancel(ctx)); left != nil {
		r.Docker.log.Warn("instances of a failed rollout could not be removed; the reconciler will", "app", r.AppName, "component", r.Component, "error", left)
	}
	return nil, err
}

// failure is what ended the waiting of the other instances.
type failure struct{ error }

// one brings up one instance: was, if it can be adopted, or a new one.
func (r *rolling) one(ctx context.Context, index int, was Instance) (Instance, error) {
	begin := time.Now()
	adopted := was.ID != "" && was.Digest == r.Image.Digest && was.Running()
	i, err := was, error(nil)
	if !adopted {
		if i, err = r.start(ctx, index, was); err != nil {
			return i, err
		}
	}
	i, err = r.await(ctx, i)
	if err != nil {
		if adopted {
			r.undoable(i)
		}
		return i, err
	}
	r.steadyBridge(ctx, i)
	how := "started and healthy after"
	if adopted {
		how = "was there, healthy after"
	}
	r.progress.printf("%s %s %v", i.Name, how, time.Since(begin).Round(time.Millisecond))
	return i, nil
}

// start makes and starts an instance. One of the same index that runs something else, or has ended, goes first; one that
// was made and not started is used.
func (r *rolling) start(ctx context.Context, index int, was Instance) (Instance, error) {
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		return was, r.interrupted(ctx, Instance{Name: instanceName(r.Rollout, index)}, nil)
	}
	// What follows is short, and not interrupted: the engine would go on with it, and we would not know.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	i := was
	if was.ID == "" || was.Digest != r.Image.Digest || was.State != "created" {
		if was.ID != "" {
			if err := r.remove(ctx, was, 0); err != nil {
				return was, err
			}
		}
		var err error
		if i, err = r.create(ctx, r.Rollout, index, r.image); err != nil {
			return i, err
		}
	}
	r.undoable(i)
	r.progress.printf("%s starts from %s", i.Name, r.Image.Digest)
	if _, err := r.api.ContainerStart(ctx, i.ID, client.ContainerStartOptions{}); err != nil {
		err = r.failed("start "+i.Name, err)
		if errors.Is(err, ErrDown) {
			return i, err
		}
		return i, &Unhealthy{Instance: i.Name, Step: "start", Reason: clip(err.Error()), Log: r.tail(ctx, i.ID), Err: err}
	}
	return i, nil
}

func (r *rolling) undoable(i Instance) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mine[i.ID] = true
}

// undo removes what this call started, the ones too of which it does not know whether the engine started them. It goes on
// when the caller is gone.
func (r *rolling) undo(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	all, err := r.generation(ctx, r.Rollout)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(i Instance) bool {
		mine, before := r.mine[i.ID]
		return before && !mine
	})
	return each(len(all), func(n int) error { return r.remove(ctx, all[n], 0) })
}

// clip keeps an engine's error readable; some hold a whole program's output.
func clip(s string) string {
	if len(s) > 1024 {
		s = strings.ToValidUTF8(s[:1024], "") + "…"
	}
	return s
}

// lines writes whole lines from several goroutines.
type lines struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lines) printf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.w, format+"\n", args...)
}
